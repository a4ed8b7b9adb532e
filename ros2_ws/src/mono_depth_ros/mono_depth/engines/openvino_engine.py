"""OpenVINO on the CPU: the fastest way there, in fp32, bf16 or int8."""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mono_depth.engines.export import exported
from mono_depth.engines.protocol import (
    ONNX_FILE,
    OPENVINO_FILE,
    BuildContext,
    Engine,
    EngineError,
    Network,
    NotInstalledError,
    Plan,
    Tensors,
    last_line,
)

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": None}
_CAPABILITIES = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_LOG = logging.getLogger(__name__)


def check(precision: str, device: torch.device) -> None:
    """Raise `EngineError` if OpenVINO cannot compute so on this machine."""
    _openvino()
    if device.type != "cpu":
        raise EngineError(f"engine openvino runs on the CPU, not on {device}: set device to cpu")
    wanted = _CAPABILITIES.get(precision)
    capabilities = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted is not None and wanted not in capabilities:
        raise EngineError(f"OpenVINO has no {precision} on this CPU: use fp32")


def build(network: Network, plan: Plan, context: BuildContext) -> Engine:
    """Return the network compiled for this CPU.

    Raises:
        EngineError: OpenVINO cannot convert or compile it, or there is no int8 file.
    """
    openvino = _openvino()
    check(plan.precision, context.device)
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": context.threads,
        "ENABLE_CPU_PINNING": False,  # two processes would pin themselves to the same core
    }
    # An int8 file says itself which operations are int8; the others take the fast format.
    hint = _HINTS[plan.precision] or _HINTS[_best_float()]
    options["INFERENCE_PRECISION_HINT"] = hint
    try:
        model = _read(network, plan, context)
        compiled = core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile it: {last_line(error)}") from error
    return Engine(call=_Call(compiled), detail=f"OpenVINO {openvino.__version__.split('-')[0]}")


class _Call:
    """One request, so one call at a time."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401
        self._request = compiled.create_infer_request()
        self._count = len(compiled.outputs)

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        self._request.infer(arrays, share_inputs=True)
        found = [self._request.get_output_tensor(index).data for index in range(self._count)]
        # copied: the request writes the next frame to the same place
        return tuple(torch.from_numpy(np.array(data, np.float32)) for data in found)


def _read(network: Network, plan: Plan, context: BuildContext) -> Any:  # noqa: ANN401
    key = network.key(plan, context.device_name, versions())
    if plan.precision == "int8":
        folder = context.store.find(key)
        if folder is None:
            raise EngineError(
                f"no int8 file for {network.shapes}; make it with: "
                f"mono-depth engine build {network.name} --precision int8 --calibrate PICTURES"
            )
        return core().read_model(folder / OPENVINO_FILE)
    if network.onnx_path is not None:
        return read_onnx(network)
    # The file is the same for all formats that are computed in.
    key = network.key(Plan(engine=plan.engine, precision="fp32"), context.device_name, versions())
    folder = context.store.find(key)
    if folder is not None:
        return core().read_model(folder / OPENVINO_FILE)
    model = convert(network)

    def write(made: Path) -> None:
        try:
            _openvino().save_model(model, made / OPENVINO_FILE, compress_to_fp16=False)
        except RuntimeError as error:  # a full disk
            raise OSError(f"OpenVINO cannot write it: {last_line(error)}") from error

    try:
        context.store.put(key, write)
    except EngineError as error:  # it runs all the same
        _LOG.warning("%s: %s", network.name, error)
    return model


@cache
def core() -> Any:  # noqa: ANN401
    """Return the one `openvino.Core` of this process, which is never freed.

    It gives the thread that first asks it for the CPU a stack for signals, and unmaps that in
    whichever thread frees it: after that, Ctrl-C ended the process with a segmentation fault.

    Raises:
        EngineError: OpenVINO is not installed.
    """
    return _openvino().Core()


def read_onnx(network: Network) -> Any:  # noqa: ANN401
    """Return a network that is an ONNX file as an `openvino.Model`: its shapes, its one output."""
    model = core().read_model(network.onnx_path)
    shapes = [list(tensor.shape) for tensor in network.inputs]
    model.reshape(dict(zip(model.inputs, shapes, strict=True)))
    if len(model.outputs) > 1:
        result = model.output(network.onnx_output).node
        model = _openvino().Model([result], model.get_parameters(), model.get_friendly_name())
    return model


def convert(network: Network) -> Any:  # noqa: ANN401
    """Return the network as an `openvino.Model` of fixed shape.

    It goes by an ONNX file: that takes no longer than `openvino.convert_model`, which reports its
    use to a server of the makers.

    Raises:
        EngineError: torch cannot export it, or OpenVINO does not know one of its operations.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ONNX_FILE
        exported(network, path)
        try:
            return core().read_model(path)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot read it: {last_line(error)}") from error


def versions() -> dict[str, str]:
    """Return the versions that a stored file depends on."""
    from mono_depth import __version__

    return {
        "openvino": _openvino().__version__,
        "torch": torch.__version__,
        "mono_depth": __version__,
    }


def _best_float() -> str:
    capabilities = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "fp32"


def _openvino() -> Any:  # noqa: ANN401
    try:
        import openvino
    except ImportError as error:
        raise NotInstalledError("engine openvino is not installed: pip install openvino") from error
    return openvino
