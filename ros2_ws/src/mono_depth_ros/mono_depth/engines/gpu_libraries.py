"""Whether ONNX Runtime finds the libraries of a GPU that it was compiled for.

`get_available_providers` names what was compiled in, not what loads: without the libraries of
CUDA or TensorRT a session falls back to the CPU in silence.
Source: microsoft/onnxruntime issues 13501 and 27177.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

_SHARED = {"linux": "lib{}.so", "win32": "{}.dll"}.get(sys.platform, "lib{}.so")
_TENSORRT = ("libnvinfer.so.10", "libnvinfer.so.8", "nvinfer_10.dll")
_WHEEL_OF_TENSORRT = "tensorrt_libs"  # its import puts the libraries where they are found


@cache
def why_no_cuda() -> str:
    """Return why ONNX Runtime has no CUDA here, "" = it has."""
    onnxruntime = _onnxruntime()
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # those of the wheels of CUDA that torch brings
    return _why_not_loaded("onnxruntime_providers_cuda")


@cache
def why_no_tensorrt() -> str:
    """Return why ONNX Runtime has no TensorRT here, "" = it has."""
    _imported(_WHEEL_OF_TENSORRT)
    if not any(_loads(name) for name in _TENSORRT):
        return "the libraries of TensorRT are not installed: pip install tensorrt"
    return _why_not_loaded("onnxruntime_providers_tensorrt")


def driver_version() -> str:
    """Return what the NVIDIA driver says of its version, "" = there is none that tells."""
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return ""


@cache
def tensorrt_version() -> str:
    """Return the version of TensorRT's library as the number it tells, "0" if it is not there."""
    for name in _TENSORRT:
        try:
            return str(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
    return "0"


def _why_not_loaded(name: str) -> str:
    file = Path(_onnxruntime().__file__).parent / "capi" / _SHARED.format(name)
    if not file.is_file():
        return f"this ONNX Runtime was made without {name}"
    _loads(str(file.with_name(_SHARED.format("onnxruntime_providers_shared"))))
    try:
        ctypes.CDLL(str(file))
    except OSError as error:  # it names the library that is missing
        return str(error)
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _imported(name: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _onnxruntime() -> Any:  # noqa: ANN401
    return importlib.import_module("onnxruntime")
