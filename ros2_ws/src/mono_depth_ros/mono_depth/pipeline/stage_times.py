"""How long each stage of a frame took, without waiting for any of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import torch


class StageTimes(Mapping[str, float]):
    """Time between laps [ms] by stage: of the wall clock, or on a GPU of its stream.

    The work of a GPU is only queued when a stage ends. So its laps are events among that work,
    and their times are read when they are first asked for: once an output of the frame is in
    the memory of the CPU that waits for nothing.
    """

    def __init__(self, device: torch.device) -> None:
        """Start the clock on `device`."""
        self._clock = _StreamClock(device) if device.type == "cuda" else _WallClock()
        self._stages: list[str] = []
        self._times_ms: dict[str, float] | None = None

    def lap(self, stage: str) -> None:
        """Record the time since the lap before as `stage`."""
        self._clock.mark()
        self._stages.append(stage)
        self._times_ms = None

    def __getitem__(self, stage: str) -> float:
        return self._read()[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def _read(self) -> dict[str, float]:
        if self._times_ms is None:
            self._times_ms = dict(zip(self._stages, self._clock.between_ms(), strict=True))
        return self._times_ms


class _WallClock:
    def __init__(self) -> None:
        self._marks_s = [time.perf_counter()]

    def mark(self) -> None:
        self._marks_s.append(time.perf_counter())

    def between_ms(self) -> list[float]:
        pairs = zip(self._marks_s, self._marks_s[1:], strict=False)
        return [(end - start) * 1e3 for start, end in pairs]


class _StreamClock:
    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.current_stream(device)
        self._marks: list[torch.cuda.Event] = []
        self.mark()

    def mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        self._marks.append(event)

    def between_ms(self) -> list[float]:
        self._marks[-1].synchronize()
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return [float(start.elapsed_time(end)) for start, end in pairs]
