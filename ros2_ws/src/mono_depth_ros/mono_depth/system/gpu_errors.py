"""Which errors of a GPU end its use for the whole process."""

from __future__ import annotations

import re

# Source: CUDA Runtime API, cudaError: "the process must be terminated and relaunched"; texts of
# cudaGetErrorString, which torch, ONNX Runtime and TensorRT pass on.
_TEXTS = (
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "hardware stack error",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "invalid access of peer GPU memory over nvlink",
    "the remote procedural call between the MPS server and the MPS client failed",
    "MPS client process terminated by",
    "GPU has fallen off the bus",
    "GPU is lost",
)
_UNRECOVERABLE = re.compile("|".join(map(re.escape, _TEXTS)), re.IGNORECASE)
_OF_A_GPU = re.compile("cuda|gpu|nvlink|hip error", re.IGNORECASE)


def is_gpu_lost(error: BaseException) -> bool:
    """Tell whether an error, or what it came from, leaves no use of the GPU to this process."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = str(cause)
        if _OF_A_GPU.search(text) and _UNRECOVERABLE.search(text):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
