"""Poses as recordings store them."""

from __future__ import annotations

import logging
from pathlib import Path

from mono_depth.camera.poses import StampedPose, pose_from
from mono_depth.camera.trajectory import Trajectory
from mono_depth.errors import ConfigError

_LOG = logging.getLogger(__name__)


def read_poses(path: Path) -> Trajectory:
    """Return the poses of a text file with lines `t tx ty tz qx qy qz qw`, t in seconds.

    Source: TUM RGB-D benchmark, "File Formats", trajectories.

    Raises:
        ConfigError: a line is something else.
    """
    poses: list[StampedPose] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            stamp_text, *rest = line.split()
            x, y, z, qx, qy, qz, qw = (float(word) for word in rest)
            pose = pose_from((x, y, z), (qx, qy, qz, qw))
            if pose is None:
                raise ValueError("not a pose")
            poses.append((stamp_ns_of(stamp_text), pose))
        except ValueError:
            raise ConfigError(
                f"{path}, line {number}: {line!r}, expected t tx ty tz qx qy qz qw"
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


def stamp_ns_of(seconds: str) -> int:
    """Return "1305031246.429654" as nanoseconds, exactly.

    Raises:
        ValueError: it is not a number of seconds.
    """
    whole, _, fraction = seconds.partition(".")
    if not (whole.isdecimal() and (fraction.isdecimal() or not fraction)):
        return round(float(seconds) * 1e9)
    return int(whole) * 10**9 + int(f"{fraction[:9]:0<9}")
