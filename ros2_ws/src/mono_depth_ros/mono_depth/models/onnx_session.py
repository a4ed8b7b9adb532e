"""Sessions of ONNX Runtime, for networks that are files and for engines alike."""

from __future__ import annotations

from typing import Any


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
