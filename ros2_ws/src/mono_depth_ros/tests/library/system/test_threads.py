from __future__ import annotations

import pytest
import torch

from mono_depth.system.threads import on_one_thread, torch_threads, usable_cores


@pytest.fixture(autouse=True)
def _three_threads() -> None:
    with torch_threads(3):
        yield


def test_a_block_has_its_threads_and_leaves_the_others_as_they_were() -> None:
    with torch_threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3


def test_the_threads_come_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="wrong"), torch_threads(2):
        raise ValueError("wrong")
    assert torch.get_num_threads() == 3


def test_a_function_on_one_thread_gives_its_result_and_the_threads_back() -> None:
    @on_one_thread
    def product(a: int, *, b: int) -> tuple[int, int]:
        return a * b, torch.get_num_threads()

    assert product(2, b=5) == (10, 1)
    assert torch.get_num_threads() == 3


def test_this_process_may_use_a_core() -> None:
    assert usable_cores() >= 1
