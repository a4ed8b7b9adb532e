"""Poses as recordings store them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mono_depth.camera.poses import StampedPose, pose_from
from mono_depth.camera.trajectory import Trajectory
from mono_depth.errors import ConfigError
from mono_depth.recordings.text_lines import numbered_lines, stamp_ns_of

_LOG = logging.getLogger(__name__)


def read_poses(path: Path) -> Trajectory:
    """Return the poses of a text file with lines `t tx ty tz qx qy qz qw`, t in seconds.

    Whole numbers that are too large for seconds are milli-, micro- or nanoseconds.

    Source: TUM RGB-D benchmark, "File Formats", trajectories.

    Raises:
        ConfigError: a line is something else.
    """
    poses: list[StampedPose] = []
    for number, line in numbered_lines(path):
        try:
            stamp_text, *rest = line.replace(",", " ").split()
            x, y, z, qx, qy, qz, qw = (float(word) for word in rest)
            pose = pose_from((x, y, z), (qx, qy, qz, qw))
            if pose is None:
                raise ValueError("not a pose")
            poses.append((stamp_ns_of(stamp_text), pose))
        except (ValueError, OverflowError):
            raise ConfigError(
                f"{path}, line {number}: {line[:120]!r}, expected t tx ty tz qx qy qz qw"
            ) from None
    return trajectory_of(poses, str(path))


def trajectory_of(poses: list[StampedPose], source: str) -> Trajectory:
    """Return poses by stamp, and say how many of `source` were left out."""
    trajectory = Trajectory(poses)
    if trajectory.strays:
        _LOG.warning(
            "%s: %d of %d poses jump away for a single line, and are left out",
            source,
            trajectory.strays,
            len(poses),
        )
    return trajectory


def tell_coverage(poses: Trajectory, stamps_ns: Sequence[int], source: str) -> None:
    """Say in the log how many images have a pose, where some have none."""
    if poses.span_ns is None or not stamps_ns:
        return
    count = sum(poses.at(stamp_ns) is not None for stamp_ns in stamps_ns)
    if count == len(stamps_ns):
        return
    first, last = (1e-9 * stamp_ns for stamp_ns in poses.span_ns)
    _LOG.warning(
        "%s: %d of %d images have a pose: poses reach from %.3f to %.3f s, images from %.3f to "
        "%.3f s%s",
        *(source, count, len(stamps_ns), first, last),
        *(1e-9 * min(stamps_ns), 1e-9 * max(stamps_ns)),
        "" if count else " (another clock, or another unit?)",
    )
