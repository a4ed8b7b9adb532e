"""What errors of a GPU mean: its use is over for this process, or its memory is spent."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
# Of torch's allocator, of the CUDA runtime ("CUDA error: out of memory"), of the libraries behind
# layers (CUBLAS_STATUS_ALLOC_FAILED), of ONNX Runtime's arena and of TensorRT.
_OUT_OF_MEMORY = re.compile(
    r"(cuda|hip|gpu).*out of memory|\b(cublas|cudnn|cusolver|cusparse|cufft)\w*_ALLOC_FAILED"
    r"|cudaErrorMemoryAllocation|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    r"|BFCArena|Failed to allocate memory for requested buffer"
    r"|(tensorrt|trt)\b.*(out of memory|insufficient memory)",
    re.IGNORECASE | re.DOTALL,
)
_OF_TORCH = "OutOfMemoryError"  # `torch.cuda.OutOfMemoryError`, whatever it says


def is_gpu_lost(error: BaseException) -> bool:
    """Tell whether an error, or what it came from, leaves no use of the GPU to this process."""
    texts = map(str, _with_causes(error))
    return any(_OF_A_GPU.search(text) and _UNRECOVERABLE.search(text) for text in texts)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or what it came from, says that the memory of the GPU is spent.

    A capture of a graph that runs out of memory ends with another error, about the capture.
    """
    return any(
        type(cause).__name__ == _OF_TORCH or _OUT_OF_MEMORY.search(str(cause))
        for cause in _with_causes(error)
    )


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
