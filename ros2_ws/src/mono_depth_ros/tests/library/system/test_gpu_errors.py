"""What errors of a GPU mean, by the texts of those who pass them on."""

import pytest
import torch

from mono_depth.errors import ModelError
from mono_depth.system.gpu_errors import is_gpu_lost, is_out_of_memory

LOST = [
    "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: misaligned address",
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=robot",
    "[TensorRT] Error Code 1: Cuda Runtime (an illegal instruction was encountered)",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: the launch timed out and was terminated",
]
NOT_LOST = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: invalid argument",
    "CUDA error: device lost",
    "misaligned address of a buffer on the CPU",
    "shape '[1, 3]' is invalid for input of size 4",
]


@pytest.mark.parametrize("text", LOST)
def test_an_error_after_which_cuda_wants_a_new_process_is_one(text):
    assert is_gpu_lost(RuntimeError(text))


@pytest.mark.parametrize("text", NOT_LOST)
def test_an_error_that_passes_is_none(text):
    assert not is_gpu_lost(RuntimeError(text))


def run_on_a_lost_gpu() -> None:
    try:
        raise RuntimeError(LOST[0])
    except RuntimeError as error:
        raise ModelError("nano could not run") from error


def test_it_is_seen_behind_an_error_of_ours():
    with pytest.raises(ModelError) as caught:
        run_on_a_lost_gpu()
    assert is_gpu_lost(caught.value)


def test_errors_that_name_each_other_as_cause_end_the_search():
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__cause__ = second, first
    assert not is_gpu_lost(first)


SPENT = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.43 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 1",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=robot ; expr=cudaMalloc((void**)&p, size)",
    "NVML_SUCCESS == r INTERNAL ASSERT FAILED, CUDA driver error: out of memory",
]
NOT_SPENT = [
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: operation not permitted when stream is capturing",
    "out of range",
    "the camera is out of memory cards",
]


@pytest.mark.parametrize("text", SPENT)
def test_memory_that_is_spent_is_known_by_whoever_says_it(text):
    assert is_out_of_memory(RuntimeError(text))
    assert not is_gpu_lost(RuntimeError(text))


@pytest.mark.parametrize("text", NOT_SPENT)
def test_another_error_is_none_of_memory(text):
    assert not is_out_of_memory(RuntimeError(text))


def test_the_error_of_torch_is_one_whatever_it_says():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("full"))


def test_memory_that_runs_out_in_a_capture_is_seen_behind_the_error_of_the_capture():
    def capture():
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error in capture")

    with pytest.raises(RuntimeError, match="due to a previous error") as caught:
        capture()
    assert is_out_of_memory(caught.value)
