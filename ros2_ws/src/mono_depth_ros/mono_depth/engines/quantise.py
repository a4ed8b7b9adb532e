"""int8 files for OpenVINO, calibrated on images of the place where they will be used.

Post-training quantisation by NNCF: weights and activations of convolutions and matrix products
become 8-bit integers, whose ranges the calibration images show. What costs much accuracy and
little time stays in floating point from the start: the first and the last layers, those before the
last where they are cheap, and layers on a single pixel (the summary of the whole image). Where
that is not enough, NNCF looks for the layers that cost the most accuracy and takes them back, one
after the other.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mono_depth.engines import openvino_engine
from mono_depth.engines.protocol import EngineError, Network

# Layers with weights; the others follow them.
_LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
_CHECKED = 10  # images that NNCF judges layers by
_MAX_SAMPLES = 100_000
# Of all multiplications, what a layer before the last may cost to stay in floating point. That of
# nano costs 2.4 %, and the error was 6.5 % of depth in place of 0.9 %.
_CHEAP = 0.03

Arrays = list[npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A network with int8 layers."""

    model: Any  # openvino.Model
    error: float  # mean `difference` on images that it was not calibrated with
    layers: int  # convolutions and matrix products
    float_layers: int  # those that stayed in floating point
    searched: bool  # layers were taken back for their error


def quantise(
    network: Network,
    calibration: Sequence[Arrays],
    held_out: Sequence[Arrays],
    *,
    max_error: float,
) -> Quantised:
    """Quantise a network.

    Args:
        network: on the CPU.
        calibration: inputs that show the ranges of values; may be computed when asked for.
        held_out: other inputs, to measure the error.
        max_error: layers are taken back until the error is at most this.

    Raises:
        EngineError: a package is missing, or the network cannot be quantised.
    """
    nncf = _nncf()
    model = float_model(network)
    options: dict[str, Any] = {
        "preset": nncf.QuantizationPreset.MIXED,  # activations may have another range below 0
        "subset_size": len(calibration),
        "ignored_scope": nncf.IgnoredScope(names=sorted(delicate_layers(model))),
        "model_type": nncf.ModelType.TRANSFORMER if is_transformer(model) else None,
    }
    # The whole range that was seen. The default, its mean over the images, cuts off what a place
    # of another kind brings: errors of 17 % in place of 1.6 % for nano.
    ranges = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=_whole_range())
    run = _runner(model)
    truth = [run(inputs) for inputs in held_out]

    def errors(compiled: Any, indices: Iterable[int]) -> list[float]:  # noqa: ANN401
        run = partial(_run, compiled)
        return [difference(run(held_out[index]), truth[index]) for index in indices]

    def score(compiled: Any, indices: Iterable[int]) -> tuple[float, list[float]]:  # noqa: ANN401
        scores = [1.0 - error for error in errors(compiled, indices)]
        return float(np.mean(scores)), scores

    everything = range(len(held_out))
    try:
        found = nncf.quantize(
            model.clone(), nncf.Dataset(calibration), advanced_parameters=ranges, **options
        )
        error = float(np.mean(errors(_compiled(found), everything)))
        searched = not error <= max_error
        if searched:
            found = nncf.quantize_with_accuracy_control(
                model.clone(),
                calibration_dataset=nncf.Dataset(calibration),
                validation_dataset=nncf.Dataset(list(everything[:_CHECKED]), held_out.__getitem__),
                validation_fn=score,
                max_drop=max_error,
                advanced_quantization_parameters=ranges,
                **options,
            )
            error = float(np.mean(errors(_compiled(found), everything)))
    except Exception as problem:  # NNCF and OpenVINO have errors of many kinds
        raise EngineError(f"NNCF cannot quantise {network.name}: {problem}") from problem
    layers = [node for node in found.get_ordered_ops() if node.get_type_name() in _LAYERS]
    return Quantised(
        model=found,
        error=error,
        layers=len(layers),
        float_layers=sum(not _is_quantised(layer) for layer in layers),
        searched=searched,
    )


def float_model(network: Network) -> Any:  # noqa: ANN401
    """Return a network as an `openvino.Model` of fixed shape."""
    if network.onnx_path is None:
        return openvino_engine.convert(network)
    return openvino_engine.read_onnx(network)


def difference(outputs: Arrays, truth: Arrays) -> float:
    """Return the mean absolute error in shares of the range of values, mean over all channels.

    Args:
        outputs: (B, C, h, w), or of any other shape, which is then one channel.
        truth: the same of the network in floating point. The range of values is from its 2nd to
            its 98th percentile.
    """
    shares = []
    for output, true in zip(outputs, truth, strict=True):
        for values, true_values in zip(_channels(output), _channels(true), strict=True):
            low, high = np.percentile(true_values, (2.0, 98.0))
            scale = max(high - low, 1e-2 * float(np.abs(true_values).mean()), 1e-30)
            shares.append(float(np.abs(values - true_values).mean()) / scale)
    return float(np.mean(shares))


def _channels(output: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    planes = [output] if output.ndim != 4 else list(np.moveaxis(output, 1, 0))
    step = 1 + planes[0].size // _MAX_SAMPLES
    return [plane.ravel()[::step] for plane in planes]


def is_transformer(model: Any) -> bool:  # noqa: ANN401
    """Tell whether an `openvino.Model` has attention."""
    kinds = {node.get_type_name() for node in model.get_ops()}
    return bool(kinds & {"ScaledDotProductAttention", "Softmax"})


def delicate_layers(model: Any) -> set[str]:  # noqa: ANN401
    """Return the names of the layers of an `openvino.Model` that had better stay as they are."""
    first = [
        layer
        for start in model.get_parameters()
        for layer in _nearest(start, lambda node: _users(node))
    ]
    last = [
        layer for end in model.get_results() for layer in _nearest(end, lambda node: _givers(node))
    ]
    layers = [node for node in model.get_ordered_ops() if node.get_type_name() in _LAYERS]
    most = _CHEAP * sum(_multiplications(layer) for layer in layers)
    before = [
        layer
        for end in last
        for layer in _nearest(end, lambda node: _givers(node))
        if _multiplications(layer) <= most
    ]
    single = [
        node
        for node in layers
        if node.get_type_name() == "Convolution" and set(node.output(0).shape[2:]) == {1}
    ]
    return {node.get_friendly_name() for node in (*first, *last, *before, *single)}


def _multiplications(layer: Any) -> int:  # noqa: ANN401
    """Return how often a layer multiplies."""
    output, weights = layer.output(0).shape, layer.input(1).get_source_output().shape
    if layer.get_type_name() == "MatMul":
        return int(np.prod(output) * layer.input(0).get_source_output().shape[-1])
    return int(np.prod(weights) * np.prod(output[2:]))


def _nearest(start: Any, following: Callable[[Any], list[Any]]) -> list[Any]:  # noqa: ANN401
    """Return the layers that are met first on the ways from `start`."""
    found: list[Any] = []
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for node in following(waiting.pop()):
            name = node.get_friendly_name()
            if name in seen:
                continue
            seen.add(name)
            (found if node.get_type_name() in _LAYERS else waiting).append(node)
    return found


def _users(node: Any) -> list[Any]:  # noqa: ANN401
    return [user.get_node() for output in node.outputs() for user in output.get_target_inputs()]


def _givers(node: Any) -> list[Any]:  # noqa: ANN401
    return [given.get_source_output().get_node() for given in node.inputs()]


def _is_quantised(layer: Any) -> bool:  # noqa: ANN401
    node = layer.input(0).get_source_output().get_node()
    while node.get_type_name() in ("Reshape", "Transpose", "Split", "Squeeze", "Unsqueeze"):
        node = node.input(0).get_source_output().get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _runner(model: Any) -> Callable[[Arrays], Arrays]:  # noqa: ANN401
    return partial(_run, _compiled(model))


def _compiled(model: Any) -> Any:  # noqa: ANN401
    return openvino_engine.core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _run(compiled: Any, inputs: Arrays) -> Arrays:  # noqa: ANN401
    found = compiled(inputs)
    return [np.array(found[port], np.float32) for port in compiled.outputs]


def _whole_range() -> Any:  # noqa: ANN401
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    return RangeEstimatorParametersSet.MINMAX


def _nncf() -> Any:  # noqa: ANN401
    os.environ.setdefault("NNCF_CI", "1")  # it reports its use to its makers otherwise
    try:
        import nncf
    except ImportError as error:
        raise EngineError("int8 needs NNCF, to quantise with: pip install nncf") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)  # and not, as it does, of its handlers
    return nncf
