"""Sessions of ONNX Runtime, for networks that are files and for engines alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mono_depth.system.gpu_turns import wait_for_stream

_TYPES = {
    "tensor(float)": (np.float32, torch.float32),
    "tensor(float16)": (np.float16, torch.float16),
    "tensor(double)": (np.float64, torch.float64),
    "tensor(int64)": (np.int64, torch.int64),
    "tensor(uint8)": (np.uint8, torch.uint8),
}
_NUMPY = {torch_type: numpy_type for numpy_type, torch_type in _TYPES.values()}


class BoundSession:
    """A session that reads and writes tensors where they lie, on a GPU as well.

    Shapes of outputs that the file leaves open are found out by a first run of each shape of the
    inputs, which goes through the memory of the CPU.
    """

    def __init__(self, session: Any, device: torch.device, outputs: Sequence[str] = ()) -> None:  # noqa: ANN401
        """Bind the `outputs` of a session that runs on `device`; none named = all.

        Raises:
            ValueError: an output is of a type that is no number, or a sequence.
        """
        self._session, self._device = session, device
        self._inputs = [node.name for node in session.get_inputs()]
        nodes = {node.name: node for node in session.get_outputs()}
        self._outputs = [nodes[name] for name in outputs or nodes]
        for node in self._outputs:
            if node.type not in _TYPES:
                raise ValueError(f"output {node.name} is a {node.type}")
        self._binding = session.io_binding()
        self._sizes: dict[tuple[torch.Size, ...], list[tuple[int, ...]]] = {}

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs as float32 for inputs on the device, of the types of the file."""
        given = [tensor.contiguous() for tensor in inputs]
        for name, tensor in zip(self._inputs, given, strict=True):
            self._bind(self._binding.bind_input, name, _NUMPY[tensor.dtype], tensor)
        made = []
        for node, size in zip(self._outputs, self._sizes_for(given), strict=True):
            numpy_type, torch_type = _TYPES[node.type]
            made.append(torch.empty(size, dtype=torch_type, device=self._device))
            self._bind(self._binding.bind_output, node.name, numpy_type, made[-1])
        wait_for_stream(self._device)  # the session has its own
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return tuple(tensor.float() for tensor in made)

    def _bind(self, bind: Any, name: str, dtype: type, tensor: torch.Tensor) -> None:  # noqa: ANN401
        place = tensor.device.type, tensor.device.index or 0
        bind(name, *place, dtype, tuple(tensor.shape), tensor.data_ptr())

    def _sizes_for(self, given: list[torch.Tensor]) -> list[tuple[int, ...]]:
        shapes = tuple(tensor.shape for tensor in given)
        if shapes not in self._sizes:
            told = [tuple(node.shape) for node in self._outputs]
            if any(not isinstance(side, int) or side < 1 for size in told for side in size):
                arrays = [tensor.cpu().numpy() for tensor in given]
                names = [node.name for node in self._outputs]
                found = self._session.run(names, dict(zip(self._inputs, arrays, strict=True)))
                told = [array.shape for array in found]
            self._sizes[shapes] = told
        return self._sizes[shapes]


def session_options(threads: int) -> Any:  # noqa: ANN401
    """Return options of a session that shares the machine with others.

    Args:
        threads: CPU threads of one operator, 0 = one for each core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads sleep: spinning took half of the CPU time, and on a machine that has
    # more to do the network was slower for it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only: warnings are about graph details
    return options


def runtime_errors() -> tuple[type[Exception], ...]:
    """Return the errors of ONNX Runtime, which have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(
        item
        for item in vars(state).values()
        if isinstance(item, type) and issubclass(item, Exception)
    )
