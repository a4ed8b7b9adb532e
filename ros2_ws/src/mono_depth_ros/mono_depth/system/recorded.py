"""Many small operations on a GPU as one: a CUDA graph, recorded once and replayed.

A launch costs 5 us of the host, and the maps around a network take less than that on the device:
what counts there is how many operations there are.

Source: Gray, "Getting Started with CUDA Graphs", NVIDIA developer blog, 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

import torch

from mono_depth.system.gpu_turns import GPU_TURNS

_LOG = logging.getLogger(__name__)
_WARM_UP_RUNS = 3
_SEEN = 2  # calls of a shape before it is recorded: the first of a stream are often its only ones
_MAX_SHAPES = 4

Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]


def recorded(function: Function, inputs: Tensors, *, copies: bool = True) -> Function:
    """Record `function` of tensors like `inputs`; the result replays it in one launch.

    Args:
        function: waits for nothing, and does the same whatever the values of its inputs.
        inputs: on one CUDA device.
        copies: return copies of the outputs; else the next call overwrites them.
    """
    device = inputs[0].device
    with torch.cuda.device(device), torch.inference_mode():
        held = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                function(*held)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Frames wait meanwhile; what other threads do beside them may go on.
        with GPU_TURNS.alone(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            made = function(*held)

    def replay(*inputs: torch.Tensor) -> Tensors:
        with torch.cuda.device(device), torch.inference_mode():
            for place, tensor in zip(held, inputs, strict=True):
                place.copy_(tensor, non_blocking=True)
            graph.replay()
            return tuple(tensor.clone() for tensor in made) if copies else made

    return replay


class Recorded:
    """A function of tensors that is recorded on a GPU once a stream of one shape calls it.

    On a CPU, for the first frames, and where it cannot be recorded it just runs. One thread calls.
    """

    def __init__(self, function: Function, *, copies: bool = True) -> None:
        """Take a function that `recorded` takes."""
        self._function, self._copies = function, copies
        self._seen: dict[Hashable, int] = {}
        self._replays: dict[Hashable, Function] = {}

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        """Return what the function returns."""
        if inputs[0].device.type != "cuda":
            return self._function(*inputs)
        key = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in inputs)
        replay = self._replays.get(key)
        if replay is None:
            replay = self._made(key, inputs)
        return replay(*inputs)

    def _made(self, key: Hashable, inputs: Tensors) -> Function:
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        if seen != _SEEN + 1 or len(self._replays) >= _MAX_SHAPES:
            return self._function
        try:
            self._replays[key] = recorded(self._function, inputs, copies=self._copies)
        except RuntimeError as error:  # out of memory, too: then no memory is asked for
            _LOG.info("no CUDA graph: %s", str(error).partition("\n")[0])
            self._replays[key] = self._function
        return self._replays[key]
