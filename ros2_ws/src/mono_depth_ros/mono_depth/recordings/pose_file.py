"""Poses as recordings store them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from mono_depth.camera.poses import StampedPose, pose_from
from mono_depth.camera.trajectory import Trajectory
from mono_depth.errors import ConfigError
from mono_depth.recordings.text_lines import numbered_lines, stamp_ns_of

_LOG = logging.getLogger(__name__)
_NUMBERS = 7  # behind the stamp
_OTHER_UNIT = 100.0  # times: poses that last so much longer, or shorter, than the images


def read_poses(path: Path) -> Trajectory:
    """Return the poses of a text file with lines `t tx ty tz qx qy qz qw`, t in seconds.

    Whole numbers that are too large for seconds are milli-, micro- or nanoseconds.

    Source: TUM RGB-D benchmark, "File Formats", trajectories.

    Lines that tell no pose, as trackers that are lost write them (NaN, a rotation of zeros), and a
    last line that was not written to its end are left out, and told; so is a line of titles.

    Raises:
        ConfigError: a line is something else, or none tells a pose.
    """
    poses: list[StampedPose] = []
    lines = list(numbered_lines(path))
    lost = 0
    for place, (number, line) in enumerate(lines):
        words = re.split(r"[\s,;]+", line.strip(",; \t"))
        try:
            stamp_ns, numbers = stamp_ns_of(words[0]), [float(word) for word in words[1:]]
            if len(numbers) != _NUMBERS:
                raise ValueError(f"{len(numbers)} numbers")
            pose = pose_from((numbers[0], numbers[1], numbers[2]), _quaternion(numbers[3:]))
        except (ValueError, OverflowError):
            is_title = place == 0 and not any(map(_is_number, words))
            is_cut_off = 0 < place == len(lines) - 1 and len(words) <= _NUMBERS + 1
            if is_title or is_cut_off:
                lost += is_cut_off
                continue
            raise ConfigError(
                f"{path}, line {number}: {line[:120]!r}, expected t tx ty tz qx qy qz qw"
            ) from None
        if pose is None:
            lost += 1
        else:
            poses.append((stamp_ns, pose))
    if lines and not poses:
        raise ConfigError(
            f"{path}: none of {len(lines)} lines tells a pose, expected t tx ty tz qx qy qz qw"
        )
    if lost:
        _LOG.warning("%s: %d of %d lines tell no pose, and are left out", path, lost, len(lines))
    return trajectory_of(poses, str(path))


def _quaternion(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, z, w = numbers
    return x, y, z, w


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


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
    spans_s = last - first, 1e-9 * (max(stamps_ns) - min(stamps_ns))
    is_doubtful = min(spans_s) * _OTHER_UNIT < max(spans_s)
    _LOG.warning(
        "%s: %d of %d images have a pose: poses reach from %.3f to %.3f s, images from %.3f to "
        "%.3f s%s",
        *(source, count, len(stamps_ns), first, last),
        *(1e-9 * min(stamps_ns), 1e-9 * max(stamps_ns)),
        "" if count and not is_doubtful else " (another clock, or another unit?)",
    )
