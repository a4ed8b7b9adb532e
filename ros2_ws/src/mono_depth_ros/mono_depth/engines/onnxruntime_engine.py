"""ONNX Runtime: on the CPU, and on a GPU by its CUDA and TensorRT providers."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from mono_depth.engines import gpu_libraries
from mono_depth.engines.export import exported
from mono_depth.engines.protocol import (
    ONNX_FILE,
    BuildContext,
    Engine,
    EngineError,
    Network,
    NotInstalledError,
    Plan,
    Tensors,
)
from mono_depth.models.onnx_session import BoundSession, runtime_errors, session_options

_LOG = logging.getLogger(__name__)
_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_CPU = "CPUExecutionProvider"


def check(precision: str, device: torch.device) -> None:
    """Raise `EngineError` if ONNX Runtime cannot compute so on this machine."""
    available = _onnxruntime().get_available_providers()
    if device.type == "cpu":
        if precision != "fp32":
            raise EngineError(
                f"engine onnxruntime has no {precision} on a CPU: use fp32, or engine openvino"
            )
        return
    if _CUDA not in available:
        raise EngineError(
            "this ONNX Runtime has no CUDA: "
            "pip uninstall onnxruntime && pip install onnxruntime-gpu"
        )
    if precision not in ("fp32", "fp16"):
        raise EngineError(f"engine onnxruntime has no {precision} on a GPU: use fp16 or fp32")
    missing = gpu_libraries.why_no_cuda()
    if missing:
        raise EngineError(f"ONNX Runtime cannot use CUDA: {missing}")
    if precision == "fp16":
        missing = gpu_libraries.why_no_tensorrt()
        if missing or _TENSORRT not in available:
            told = missing or "this ONNX Runtime was made without it"
            raise EngineError(f"engine onnxruntime has fp16 with TensorRT only: {told}")


def build(network: Network, plan: Plan, context: BuildContext) -> Engine:
    """Return the network as a session.

    Raises:
        EngineError: it cannot be exported or loaded.
    """
    onnxruntime = _onnxruntime()
    check(plan.precision, context.device)
    with tempfile.TemporaryDirectory() as scratch:
        path = _file(network, plan, context, Path(scratch))
        providers = _providers(plan, context, network)
        try:
            session = onnxruntime.InferenceSession(
                str(path), session_options(context.threads), providers=providers
            )
        except runtime_errors() as error:
            raise EngineError(f"ONNX Runtime cannot load it: {error}") from error
    used = session.get_providers()[0].removesuffix("ExecutionProvider")
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if used != wanted.removesuffix("ExecutionProvider"):
        raise EngineError(f"ONNX Runtime fell back from {wanted} to {used}; its log says why")
    nodes = [node for node in session.get_outputs() if network.onnx_output in ("", node.name)]
    names = [node.name for node in nodes]
    is_on_cpu = context.device.type == "cpu"
    try:
        call = (
            _CpuCall(session, names) if is_on_cpu else BoundSession(session, context.device, names)
        )
    except ValueError as error:
        raise EngineError(f"it cannot be run on a GPU: {error}") from error
    return Engine(call=call, detail=f"ONNX Runtime {onnxruntime.__version__}, {used}")


class _CpuCall:
    def __init__(self, session: Any, outputs: list[str]) -> None:  # noqa: ANN401
        self._session = session
        self._names = [node.name for node in session.get_inputs()]
        self._outputs = outputs

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        found = self._session.run(self._outputs, dict(zip(self._names, arrays, strict=True)))
        return tuple(torch.from_numpy(array) for array in found)


def _providers(plan: Plan, context: BuildContext, network: Network) -> list[Any]:
    if context.device.type == "cpu":
        return [_CPU]
    index = context.device.index or 0
    cuda = (_CUDA, {"device_id": index})
    if plan.precision != "fp16":
        return [cuda, _CPU]
    options: dict[str, Any] = {
        "device_id": index,
        "trt_fp16_enable": True,
        "trt_layer_norm_fp32_fallback": True,
    }
    # TensorRT takes minutes.
    name = f"{network.title}-{network.sha256[:16]}-{_tensorrt_key(context.device_name)}"
    folder = str(context.store.shared("tensorrt") / name.replace(" ", "-"))
    options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": folder}
    options |= {"trt_timing_cache_enable": True, "trt_timing_cache_path": folder}
    return [(_TENSORRT, options), cuda, _CPU]


def _tensorrt_key(device_name: str) -> str:
    """Name what TensorRT's engines are of use to: this GPU, driver and TensorRT, no other."""
    decides = (device_name, gpu_libraries.driver_version(), gpu_libraries.tensorrt_version())
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def _file(network: Network, plan: Plan, context: BuildContext, scratch: Path) -> Path:
    if network.onnx_path is not None:
        return network.onnx_path
    # The file is the same for all formats that are computed in, and on every device.
    key = network.key(Plan(engine=plan.engine, precision="fp32"), "any", versions())
    folder = context.store.find(key)
    if folder is not None:
        return folder / ONNX_FILE
    exported(network, scratch / ONNX_FILE)

    def write(made: Path) -> None:
        shutil.copyfile(scratch / ONNX_FILE, made / ONNX_FILE)

    try:
        return context.store.put(key, write) / ONNX_FILE
    except EngineError as error:  # it runs all the same
        _LOG.warning("%s: %s", network.name, error)
        return scratch / ONNX_FILE


def versions() -> dict[str, str]:
    """Return the versions that a stored file depends on."""
    from mono_depth import __version__

    return {
        "onnxruntime": _onnxruntime().__version__,
        "torch": torch.__version__,
        "mono_depth": __version__,
    }


def _onnxruntime() -> Any:  # noqa: ANN401
    try:
        import onnxruntime
    except ImportError as error:
        raise NotInstalledError(
            "engine onnxruntime is not installed: pip install onnxruntime"
        ) from error
    return onnxruntime
