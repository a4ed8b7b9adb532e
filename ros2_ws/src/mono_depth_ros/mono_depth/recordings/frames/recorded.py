"""Recordings with known depth as sources of frames; the depth itself is not given away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from mono_depth.data import Frame
from mono_depth.recordings.frames.source import FrameSource, SourceFrame, numbered
from mono_depth.recordings.input_names import INPUTS
from mono_depth.recordings.sequence import FrameSequence

_USUAL_RATE_HZ = 15.0
_START_NS = 1_000_000_000  # is added where stamps begin at 0, which means "no stamp"


def frames_of(sequence: FrameSequence, source: str) -> FrameSource:
    """Return a recording as a source, with everything that a robot would know."""
    stamps_ns = [sequence[index].stamp_ns for index in range(min(2, len(sequence)))]
    step_ns = stamps_ns[-1] - stamps_ns[0] if stamps_ns else 0
    start_ns = 0 if stamps_ns and stamps_ns[0] > 0 else _START_NS

    def load(index: int) -> Frame:
        frame = sequence[index].as_camera_frame(INPUTS)
        return replace(frame, stamp_ns=frame.stamp_ns + start_ns)

    def frames() -> Iterator[SourceFrame]:
        for index in range(len(sequence)):
            yield SourceFrame(name=numbered(index), load=partial(load, index))

    return FrameSource(
        name=sequence.name.replace("/", "_"),
        is_video=True,
        count=len(sequence),
        rate_hz=1e9 / step_ns if step_ns > 0 else _USUAL_RATE_HZ,
        frames=frames,
        identity={"recording": source, "frames": len(sequence)},
        camera="that of the recording",
    )
