"""Any network in an ONNX file that a registry entry describes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.onnx_session import runtime_errors, session_options
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights_file import open_weights
from mono_depth.system.threads import torch_threads

if TYPE_CHECKING:
    import onnxruntime

_LOG = logging.getLogger(__name__)


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

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the output, on the CPU."""
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
        self._preprocess = Preprocess(entry.input, device)
        self._output_name = _output_name(session, entry)
        input_name = _input_name(session, entry, entry.input)
        self.net = OnnxNet(session, input_name, self._output_name, path)

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
        return cls(session, weights, entry, device, digest)

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        with torch_threads(1):  # not a second pool beside ONNX Runtime's
            image = self._preprocess(rgb).contiguous()
        try:
            values = self.net(image)
        except runtime_errors() as error:
            size = "x".join(map(str, image.shape))
            raise FrameError(
                f"{self.name}: ONNX Runtime failed on a {size} input: {error}"
            ) from error
        if values.ndim < 2 or values.shape[:-2].numel() != 1:
            raise FrameError(
                f"{self.name}: output {self._output_name} has shape {tuple(values.shape)}, "
                "expected (1, 1, h, w), (1, h, w) or (h, w)"
            )
        values = values.reshape(values.shape[-2:]).to(self.device, torch.float32)
        return Prediction(values=values, kind=self.kind)


def _providers(available: list[str], device: torch.device) -> list[Any]:
    if device.type != "cuda":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in available:
        _LOG.warning("this onnxruntime has no CUDA provider (onnxruntime-gpu has): running on CPU")
        return ["CPUExecutionProvider"]
    return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]


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
        is_free = not isinstance(given, int) or given < 1
        if not is_free and given != want:
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
