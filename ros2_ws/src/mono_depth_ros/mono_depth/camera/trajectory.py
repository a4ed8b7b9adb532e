"""Poses of a camera that are all known beforehand, as recordings have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, StampedPose, pose_at

_MAX_GAP_NS = 250_000_000  # between two poses, to interpolate
_MAX_AHEAD_NS = 100_000_000  # beyond the last, which is carried on
# A step that is faster is no motion of a robot, nor is one that differs from the usual by so much
# distance, or angle, at so much acceleration. The first two keep out the noise of fast trackers.
_MAX_SPEED_MPS = 50.0
_LEAST_JUMP_M, _MAX_ACCELERATION_MPS2 = 0.3, 50.0
_LEAST_TURN_RAD, _MAX_ACCELERATION_RADPS2 = float(np.radians(20.0)), 100.0
_USUAL_STEPS = 5  # around a step, for the median
_MOST_STRAYS = 5  # in a row
_NEXT = 3  # poses on each side, to see whether they go on

Floats = npt.NDArray[np.float64]


class Trajectory:
    """Poses by stamp, whatever their order in the file.

    A few poses that neither their neighbours lead to nor they go on from, while the neighbours fit
    one another, are left out: so does a motion capture flip for some lines. Where poses jump for
    good, nothing is interpolated.
    """

    def __init__(self, poses: Iterable[StampedPose] = ()) -> None:
        """Take in poses; of those with one stamp the first counts."""
        by_stamp: dict[int, Pose] = {}
        for stamp_ns, pose in poses:
            by_stamp.setdefault(stamp_ns, pose)
        ordered = sorted(by_stamp.items(), key=lambda item: item[0])
        self._pieces = _without_strays(_pieces(ordered))
        self.strays = len(ordered) - sum(map(len, self._pieces))  # poses that were left out

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


def _pieces(poses: list[StampedPose]) -> list[list[StampedPose]]:
    """Split poses where they jump."""
    starts = [0, *(int(step) + 1 for step in np.flatnonzero(_are_jumps(poses)))]
    ends = [*starts[1:], len(poses)]
    return [poses[a:b] for a, b in zip(starts, ends, strict=True) if b > a]


def _without_strays(pieces: list[list[StampedPose]]) -> list[list[StampedPose]]:
    """Leave out short pieces between two that fit one another, and lone poses at the ends."""
    kept: list[list[StampedPose]] = []
    for piece in pieces:
        kept.append(piece)
        for strays in range(1, min(_MOST_STRAYS, len(kept) - 2) + 1):
            left_out, before = kept[-1 - strays : -1], kept[-2 - strays]
            is_short = sum(map(len, left_out)) <= _MOST_STRAYS
            if is_short and _goes_on(before, piece):
                kept[-2 - strays :] = [before + piece]
                break
    if len(kept) > 1 and len(kept[0]) == 1 and len(kept[1]) > 1:
        del kept[0]
    if len(kept) > 1 and len(kept[-1]) == 1 and len(kept[-2]) > 1:
        del kept[-1]
    return kept


def _goes_on(before: Sequence[StampedPose], after: Sequence[StampedPose]) -> bool:
    near = [*before[-_NEXT:], *after[:_NEXT]]
    return not _are_jumps(near)[min(_NEXT, len(before)) - 1]


def _are_jumps(poses: Sequence[StampedPose]) -> npt.NDArray[np.bool_]:
    """Tell for each of the N - 1 steps between poses whether it is no motion of a robot."""
    if len(poses) < 2:
        return np.zeros(0, bool)
    T = np.stack([pose for _, pose in poses])
    seconds = np.maximum(np.diff(np.array([stamp for stamp, _ in poses], np.int64)) * 1e-9, 1e-9)
    velocity = np.diff(T[:, :3, 3], axis=0) / seconds[:, None]
    cosine = (np.einsum("nij,nij->n", T[:-1, :3, :3], T[1:, :3, :3]) - 1.0) / 2.0
    rate = np.arccos(np.clip(cosine, -1.0, 1.0))[:, None] / seconds[:, None]
    jump_m = np.linalg.norm(velocity - _usual(velocity), axis=1) * seconds
    turn_rad = (rate - _usual(rate))[:, 0] * seconds
    return np.asarray(
        (np.linalg.norm(velocity, axis=1) > _MAX_SPEED_MPS)
        | (jump_m > np.maximum(_LEAST_JUMP_M, _MAX_ACCELERATION_MPS2 * seconds**2))
        | (turn_rad > np.maximum(_LEAST_TURN_RAD, _MAX_ACCELERATION_RADPS2 * seconds**2))
    )


def _usual(steps: Floats) -> Floats:
    """Return the median of the (N, D) steps around each, of all where there are few."""
    if len(steps) < _USUAL_STEPS:
        return np.broadcast_to(np.median(steps, axis=0), steps.shape)
    around = _USUAL_STEPS // 2
    padded = np.pad(steps, ((around, around), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _USUAL_STEPS, axis=0)
    return np.asarray(np.median(windows, axis=-1))
