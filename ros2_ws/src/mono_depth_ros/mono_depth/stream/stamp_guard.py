"""Judges the stamps of a stream: late frames, repeated frames, gaps and clock jumps."""

from __future__ import annotations

from mono_depth.config import StreamConfig
from mono_depth.errors import FrameError


class StampGuard:
    """Remembers the newest stamp of one stream."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None

    def admit(self, stamp_ns: int, config: StreamConfig) -> str:
        """Accept the next stamp.

        Returns:
            "" if the stream goes on; else why its past must be forgotten.

        Raises:
            FrameError: the frame is unstamped, repeated or late.
        """
        if stamp_ns <= 0:
            raise FrameError("the stamp is zero: the camera driver does not stamp its images")
        previous_ns, step_s = self._newest_ns, 0.0
        if previous_ns is not None:
            step_s = (stamp_ns - previous_ns) * 1e-9
            if stamp_ns == previous_ns:
                raise FrameError("the stamp repeats that of the frame before")
            if -config.late_s <= step_s < 0.0:
                raise FrameError(f"the frame is late: its stamp goes back by {-step_s:.3f} s")
        self._newest_ns = stamp_ns
        if previous_ns is not None and step_s < 0.0:
            return f"the clock jumped back by {-step_s:.3f} s"
        if step_s > config.reset_gap_s:
            return f"no frame for {step_s:.3f} s"
        return ""
