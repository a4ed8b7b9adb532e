"""Any network in an ONNX file that a registry entry describes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.batch import check_batch, one_by_one
from mono_depth.models.family import Family, LoadRequest
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.onnx_session import BoundSession, runtime_errors, session_options
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights_file import open_weights
from mono_depth.system.threads import torch_threads

if TYPE_CHECKING:
    import onnxruntime

_LOG = logging.getLogger(__name__)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxNet:
    """The network of an ONNX file, run by ONNX Runtime: a tensor in, a tensor out."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        input_name: str,
        output_name: str,
        path: Path,
    ) -> None:
        self.path = path
        self.session = session
        self._input_name, self._output_name = input_name, output_name
        self._bound: BoundSession | None = None

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the output: on a GPU if image and session are there, else on the CPU."""
        if image.device.type == "cuda" and self.session.get_providers()[0] == _CUDA:
            if self._bound is None:
                self._bound = BoundSession(self.session, image.device, (self._output_name,))
            return self._bound(image)[0]
        feed = {self._input_name: image.cpu().numpy()}
        (output,) = self.session.run([self._output_name], feed)
        return torch.from_numpy(output)


class OnnxDepth:
    """A network run by ONNX Runtime: one image in, one map out."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        path: Path,
        entry: ModelEntry,
        device: torch.device,
        sha256: str,
    ) -> None:
        if entry.input is None:
            raise ModelError(f"the registry entry {entry.name} has no `input`, which onnx needs")
        if entry.kind is OutputKind.COMPLETION:
            raise ModelError(f"{entry.name}: an onnx model has one input, completion needs two")
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.scale_sigma_rel = entry.scale_sigma_rel
        self._preprocess = Preprocess(entry.input, device)
        self._output_name = _output_name(session, entry)
        input_name = _input_name(session, entry, entry.input)
        self._takes_batches = _takes_batches(session, input_name, self._output_name)
        self.net = ReplaceableNet(OnnxNet(session, input_name, self._output_name, path))

    @property
    def networks(self) -> Sequence[ReplaceableNet[OnnxNet]]:
        """See `HasNetworks.networks`."""
        return (self.net,)

    @classmethod
    def load(
        cls,
        entry: ModelEntry,
        weights: Path,
        device: torch.device,
        *,
        sha256: str = "",
        threads: int | None = None,
    ) -> OnnxDepth:
        """Load an ONNX file; on a CUDA device with the CUDA provider if it is installed.

        Args:
            entry: describes the file.
            weights: the ONNX file. It must hold its weights itself, not in a second file.
            device: where images come from and depth goes to.
            sha256: what the file must hash to, "" = anything.
            threads: CPU threads of one operator, None = one for each core.

        Raises:
            ModelError: onnxruntime is missing, or the file is not what `entry` describes.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"model {entry.name} needs onnxruntime: pip install 'mono-depth-ros[onnx]'"
            ) from error
        with open_weights(weights, sha256) as (file, digest):
            content = file.read()
        try:
            session = onnxruntime.InferenceSession(
                content,
                session_options(threads or 0),
                providers=_providers(onnxruntime.get_available_providers(), device),
            )
        except runtime_errors() as error:
            raise ModelError(f"ONNX Runtime cannot load {weights}: {error}") from error
        if device.type == "cuda" and session.get_providers()[0] != _CUDA:
            _LOG.warning("%s: ONNX Runtime runs it on the CPU, not on %s", entry.name, device)
        return cls(session, weights, entry, device, digest)

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        with torch_threads(1):  # not a second pool beside ONNX Runtime's
            image = self._preprocess(rgb).contiguous()
        (prediction,) = self._predict(image, 1)
        return prediction

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images, one by one where the file takes no more at a time.

        See `DepthModel.infer_batch`.
        """
        if not self._takes_batches:
            return one_by_one(self.infer, rgb, intrinsics)
        check_batch(rgb, intrinsics)
        with torch_threads(1):
            images = self._preprocess.batch(rgb)
        return self._predict(images, len(rgb))

    def _predict(self, images: torch.Tensor, count: int) -> list[Prediction]:
        """Run the network on the (count, 3, h, w) input for so many images."""
        try:
            values = self.net(images)
        except runtime_errors() as error:
            size = "x".join(map(str, images.shape))
            raise FrameError(
                f"{self.name}: ONNX Runtime failed on a {size} input: {error}"
            ) from error
        if values.ndim < 2 or values.shape[:-2].numel() != count:
            wanted = f"({count}, 1, h, w), ({count}, h, w)" + (" or (h, w)" if count == 1 else "")
            raise FrameError(
                f"{self.name}: output {self._output_name} has shape {tuple(values.shape)}, "
                f"expected {wanted}"
            )
        values = values.reshape(count, *values.shape[-2:]).to(self.device, torch.float32)
        return [Prediction(values=plane, kind=self.kind) for plane in values]


def _providers(available: list[str], device: torch.device) -> list[Any]:
    if device.type != "cuda":
        return [_CPU]
    if _CUDA not in available:
        _LOG.warning("this onnxruntime has no CUDA provider (onnxruntime-gpu has): running on CPU")
        return [_CPU]
    return [(_CUDA, {"device_id": device.index or 0}), _CPU]


def _input_name(session: onnxruntime.InferenceSession, entry: ModelEntry, spec: InputSpec) -> str:
    """Return the name of the image input after checking that it takes what `spec` makes."""
    node = _pick(session.get_inputs(), entry.input_name, f"{entry.name}: input")
    others = [other.name for other in session.get_inputs() if other.name != node.name]
    if others:
        raise ModelError(f"{entry.name}: the network has further inputs: {', '.join(others)}")
    if node.type != "tensor(float)" or len(node.shape) != 4:
        raise ModelError(
            f"{entry.name}: input {node.name} is {node.type} {node.shape}, "
            "expected tensor(float) [1, 3, height, width]"
        )
    wanted: list[int | None] = [1, 3, None, None]
    if spec.rule == "fixed":
        wanted[2:] = [spec.height, spec.width]
    for given, want in zip(node.shape, wanted, strict=True):
        if not _is_free(given) and given != want:
            raise ModelError(
                f"{entry.name}: input {node.name} has shape {node.shape}, but the registry "
                f"entry makes 1x3x{spec.height}x{spec.width} ({spec.rule})"
            )
    return str(node.name)


def _output_name(session: onnxruntime.InferenceSession, entry: ModelEntry) -> str:
    node = _pick(session.get_outputs(), entry.output_name, f"{entry.name}: output")
    leading = node.shape[:-2]
    if not 2 <= len(node.shape) <= 4 or any(isinstance(n, int) and n > 1 for n in leading):
        raise ModelError(
            f"{entry.name}: output {node.name} has shape {node.shape}, "
            "expected [1, 1, h, w], [1, h, w] or [h, w]"
        )
    return str(node.name)


def _takes_batches(
    session: onnxruntime.InferenceSession, input_name: str, output_name: str
) -> bool:
    """Tell whether the file says that it takes and gives any number of images."""
    nodes = (*session.get_inputs(), *session.get_outputs())
    shapes = [node.shape for node in nodes if node.name in (input_name, output_name)]
    return all(len(shape) > 2 and _is_free(shape[0]) for shape in shapes)


def _is_free(side: object) -> bool:
    return not isinstance(side, int) or side < 1


def _pick(nodes: list[onnxruntime.NodeArg], name: str, what: str) -> onnxruntime.NodeArg:
    names = ", ".join(node.name for node in nodes)
    if name:
        for node in nodes:
            if node.name == name:
                return node
        raise ModelError(f"{what} {name!r} is not in the network, which has: {names}")
    if len(nodes) != 1:
        raise ModelError(f"{what} must be named in the registry entry, one of: {names}")
    return nodes[0]


def load(request: LoadRequest) -> OnnxDepth:
    """Return the model of a file."""
    return OnnxDepth.load(
        request.entry,
        request.weights,
        request.device,
        sha256=request.sha256,
        threads=request.threads,
    )


FAMILY = Family(load=load, make_random=None, golden_cases=None)
