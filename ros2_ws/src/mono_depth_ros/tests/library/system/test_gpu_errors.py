"""Which errors leave no use of the GPU to the process, by the texts of those who pass them on."""

import pytest

from mono_depth.errors import ModelError
from mono_depth.system.gpu_errors import is_gpu_lost

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
