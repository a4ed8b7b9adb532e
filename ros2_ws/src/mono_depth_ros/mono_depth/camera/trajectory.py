"""Poses of a camera that are all known beforehand, as recordings have them."""

from __future__ import annotations

from collections.abc import Iterable

from mono_depth.camera.poses import Pose, StampedPose, pose_at, speed_mps

_MAX_GAP_NS = 250_000_000  # between two poses, to interpolate
_MAX_AHEAD_NS = 100_000_000  # beyond the last, which is carried on
_MAX_SPEED_MPS = 50.0  # a faster step is no motion of a robot


class Trajectory:
    """Poses by stamp, whatever their order in the file.

    A pose that neither its neighbours lead to nor they go on from, as a motion capture that flips
    for one line gives, is left out. Where poses jump for good, nothing is interpolated.
    """

    def __init__(self, poses: Iterable[StampedPose] = ()) -> None:
        """Take in poses; of those with one stamp the first counts."""
        by_stamp: dict[int, Pose] = {}
        for stamp_ns, pose in poses:
            by_stamp.setdefault(stamp_ns, pose)
        ordered = sorted(by_stamp.items(), key=lambda item: item[0])
        kept = [item for i, item in enumerate(ordered) if not _is_stray(ordered, i)]
        self.strays = len(ordered) - len(kept)  # poses that were left out
        self._pieces: list[list[StampedPose]] = []
        for item in kept:
            if not self._pieces or not _goes_on(self._pieces[-1][-1], item):
                self._pieces.append([])
            self._pieces[-1].append(item)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Stamps of the first and the last pose, None = there is none."""
        return (self._pieces[0][0][0], self._pieces[-1][-1][0]) if self._pieces else None

    def at(self, stamp_ns: int) -> Pose | None:
        """Return the pose at a stamp, None where the poses do not reach or have a gap."""
        for piece in reversed(self._pieces):
            if piece[0][0] <= stamp_ns:
                return pose_at(piece, stamp_ns, max_gap_ns=_MAX_GAP_NS, max_ahead_ns=_MAX_AHEAD_NS)
        return None


def _goes_on(last: StampedPose, new: StampedPose) -> bool:
    return speed_mps(last, new) <= _MAX_SPEED_MPS


def _is_stray(poses: list[StampedPose], i: int) -> bool:
    """Tell whether the neighbours of a pose fit one another, but not it."""
    near = poses[max(0, i - 2) : i] + poses[i + 1 : i + 3]
    before, after = poses[max(0, i - 1) : i], poses[i + 1 : i + 2]
    if before and after:
        fits = _goes_on(before[0], poses[i]) or _goes_on(poses[i], after[0])
        return not fits and _goes_on(before[0], after[0])
    if len(near) < 2:
        return False
    # the first or the last: the two next to it fit one another
    pair = (near[-2], near[-1]) if before else (near[0], near[1])
    joint = (before[0], poses[i]) if before else (poses[i], after[0])
    return not _goes_on(*joint) and _goes_on(*pair)
