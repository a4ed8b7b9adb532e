"""What of a recording, beside its images, a pipeline is given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mono_depth.data import Frame

# Of `INPUTS`, the fields of `Frame` that they stand for.
_FIELDS = {
    "odom": "T_odom_camera",
    "sparse_points": "sparse_points_m",
    "sensor_depth": "sensor_depth_m",
    "gravity": "gravity_camera",
    "height": "camera_height_m",
}


def with_inputs(frame: Frame, inputs: Collection[str]) -> Frame:
    """Return a frame that knows nothing but its image, its camera and some of `INPUTS`."""
    withheld = {
        field: None
        for name, field in _FIELDS.items()
        if name not in inputs and getattr(frame, field) is not None
    }
    return replace(frame, **withheld) if withheld else frame  # type: ignore[arg-type]


def inputs_of(frame: Frame) -> tuple[str, ...]:
    """Return which of `INPUTS` a frame has."""
    return tuple(name for name, field in _FIELDS.items() if getattr(frame, field) is not None)
