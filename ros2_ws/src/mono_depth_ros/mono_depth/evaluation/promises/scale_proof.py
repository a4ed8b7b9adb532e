"""How near the metric scale comes to the truth: from points, from the ground, by the focal length.

Points are drawn from the true depth, with noise and errors as a bad front end would give them.
Ground and focal length are measured on synthetic robots whose seeds no training has seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import DepthImage, Frame, OutputKind, Prediction
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.evaluation.replay import predict
from mono_depth.models.protocol import DepthModel
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame
from mono_depth.scale.kinds import with_focal_rule
from mono_depth.scale.scale_shift import Pivot, ScaleShift, regressor
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.dataset import HELD_OUT_SEED
from mono_depth.synthetic.frame import SyntheticFrame

_NUMBER = 5
_POINT_NOISE = 0.02  # relative
_WRONG_M = (0.2, 20.0)  # where wrong points are
_FARTHEST_M = 20.0  # depth beyond, or behind infinity, counts as this
_SEARCHED = 400  # pixels that the best law is searched with
_NETWORK_NOISE = 0.03  # of the simulated network, relative and smooth
_ROBOT_SCENES = ("room", "office", "corridor", "warehouse", "street", "yard")
_PITCH_ERROR_DEG = 1.0
_ZOOM = 1.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PointsCase:
    """Points of one kind, and what they have to reach."""

    name: str
    count: int
    wrong: float  # share of points anywhere in 0.2 to 20 m
    too_near: bool = False  # wrong points are all nearer than they should be
    limit: float  # of AbsRel over that of the best scale and shift of each frame
    silent: float  # largest share of frames without metres


CASES = (
    PointsCase(name="50 points, 30 % wrong", count=50, wrong=0.3, limit=1.10, silent=0.1),
    PointsCase(
        name="50 points, 30 % too near",
        count=50,
        wrong=0.3,
        too_near=True,
        limit=1.10,
        silent=0.1,
    ),
    PointsCase(name="10 points, 30 % wrong", count=10, wrong=0.3, limit=1.30, silent=0.25),
)
ALL_WRONG = PointsCase(name="50 points, all wrong", count=50, wrong=1.0, limit=0.0, silent=1.0)


def points_rows(
    sequence: FrameSequence, model: DepthModel, cases: Sequence[PointsCase] = CASES
) -> list[BoundRow]:
    """Return how near a few points come to the best scale and shift of each frame."""
    frames = [_thin(frame, model) for frame in sequence]
    rows = []
    for case in cases:
        ratio, silent = _with_points(frames, case)
        rows.append(_row(f"{case.name}: AbsRel / best", sequence.name, ratio, case.limit))
        rows.append(_row(f"{case.name}: frames without metres", sequence.name, silent, case.silent))
    _, silent = _with_points(frames, ALL_WRONG)
    measure = f"{ALL_WRONG.name}: frames with metres"
    return [*rows, _row(measure, sequence.name, 1.0 - silent, 0.0)]


def ground_rows(
    scenes: Sequence[str] = _ROBOT_SCENES, seeds: int = 2, seconds: float = 2.0
) -> list[BoundRow]:
    """Return how near the ground under synthetic robots comes to the true scale [%]."""
    robots = [
        list(_robot(scene, HELD_OUT_SEED + seed, rate_hz=6.0, seconds=seconds))
        for scene in scenes
        for seed in range(1, seeds + 1)
    ]
    where, rows = f"{len(robots)} robots", []
    for pitch_deg, limit in ((0.0, 2.0), (_PITCH_ERROR_DEG, 3.0), (-_PITCH_ERROR_DEG, 3.0)):
        errors = [error for frames in robots for error in _ground_errors(frames, pitch_deg)]
        tilt = f", pitch wrong by {pitch_deg:+g} deg" if pitch_deg else ""
        value = 100.0 * float(np.median(errors)) if errors else math.nan
        rows.append(_row(f"ground plane{tilt}: scale error [%]", where, value, limit))
    return rows


def focal_rows(sequence: FrameSequence, model: DepthModel) -> list[BoundRow]:
    """Return how far the metres of the middle of an image are from those of the whole [%]."""
    ratios = [longer_lens_ratio(frame, model) for frame in sequence]
    value = 100.0 * abs(float(np.median(ratios)))
    return [_row(f"focal length x{_ZOOM:g}: change of metres [%]", sequence.name, value, 5.0)]


def longer_lens_ratio(frame: SequenceFrame, model: DepthModel) -> float:
    """Return log(metres through a longer lens / metres), the median over what both see.

    The middle at the size of the whole is what a lens of `_ZOOM` times the focal length sees.
    Without the focal rule a network says that all of it is nearer by that factor.
    """
    whole, near = (_by_focal_rule(seen, model) for seen in (frame, _zoomed(frame)))
    rows, columns = (_middle(size) for size in whole.shape)
    same = cv2.resize(near, whole[rows, columns].shape[::-1], interpolation=cv2.INTER_AREA)
    return float(np.median(np.log(same / whole[rows, columns])))


def _by_focal_rule(frame: SequenceFrame, model: DepthModel) -> DepthImage:
    prediction, _ = predict(model, frame.as_camera_frame())
    ruled = with_focal_rule(prediction, ScaleConfig(reference_focal=1.0), frame.intrinsics)
    return np.asarray(ruled.values.cpu().numpy(), np.float32)


def _zoomed(frame: SequenceFrame) -> SequenceFrame:
    K, (height, width) = frame.intrinsics, frame.depth_m.shape
    rows, columns = _middle(height), _middle(width)
    part = frame.rgb[rows, columns]
    cut = replace(
        K,
        width=part.shape[1],
        height=part.shape[0],
        cx=K.cx - columns.start,
        cy=K.cy - rows.start,
    )
    rgb = cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)
    return replace(frame, rgb=np.asarray(rgb, np.uint8), intrinsics=cut.scaled_to(width, height))


def _middle(size: int) -> slice:
    margin = round(0.5 * size * (1.0 - 1.0 / _ZOOM))
    return slice(margin, size - margin)


@dataclass(frozen=True, kw_only=True)
class _Thin:
    """A frame at the size of the network's output."""

    frame: SequenceFrame
    prediction: Prediction
    truth_m: Floats
    best: float  # AbsRel of the best scale and shift


def _thin(frame: SequenceFrame, model: DepthModel) -> _Thin:
    prediction, _ = predict(model, frame.as_camera_frame())
    height, width = prediction.values.shape
    rows = ((np.arange(height) + 0.5) * frame.depth_m.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * frame.depth_m.shape[1] / width).astype(int)
    truth_m = frame.depth_m[np.ix_(rows, columns)].astype(np.float64)
    truth_m[truth_m > _FARTHEST_M] = np.nan
    best = _best_abs_rel(prediction, truth_m)
    return _Thin(frame=frame, prediction=prediction, truth_m=truth_m, best=best)


def _with_points(frames: Sequence[_Thin], case: PointsCase) -> tuple[float, float]:
    """Return AbsRel over the best possible, and the share of frames without metres."""
    rng, tracker = np.random.default_rng(0), ScaleTracker()
    config, errors, best = ScaleConfig(source="sparse_points"), [], []
    for seen in frames:
        known = replace(seen.frame, sparse_points_m=_points(seen.frame, case, rng))
        depth_m, _ = tracker.update(seen.prediction, known.as_camera_frame(), config)
        if depth_m is not None:
            errors.append(_abs_rel(depth_m.cpu().numpy(), seen.truth_m))
            best.append(seen.best)
    ratio = float(np.mean(errors) / np.mean(best)) if errors else math.nan
    return ratio, 1.0 - len(errors) / len(frames)


def _points(
    frame: SequenceFrame, case: PointsCase, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Draw points of the true depth."""
    rows, columns = np.nonzero(frame.depth_m <= _FARTHEST_M)
    chosen = rng.choice(rows.size, min(case.count, rows.size), replace=False)
    row, column = rows[chosen], columns[chosen]
    z = frame.depth_m[row, column] * (1.0 + _POINT_NOISE * rng.standard_normal(chosen.size))
    wrong = rng.choice(chosen.size, round(case.wrong * chosen.size), replace=False)
    high = z[wrong] if case.too_near else np.full(wrong.size, _WRONG_M[1])
    z[wrong] = np.exp(rng.uniform(np.log(np.minimum(_WRONG_M[0], 0.5 * high)), np.log(high)))
    K = frame.intrinsics
    return np.stack(((column - K.cx) / K.fx * z, (row - K.cy) / K.fy * z, z), 1).astype(np.float32)


def _best_abs_rel(prediction: Prediction, truth_m: Floats) -> float:
    """Return the least AbsRel of any scale and shift: a search, not a fit."""
    kind = prediction.kind
    x = regressor(prediction.values.cpu().numpy().astype(np.float64), kind)
    pivot = Pivot.of(x)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(truth_m))
    if pivot is None or not known.size:
        return math.nan
    chosen = known[:: max(1, known.size // _SEARCHED)]
    at, true_m = pivot.relative(x.ravel()[chosen]), truth_m.ravel()[chosen]
    middle = np.median(true_m) if kind is OutputKind.DEPTH_AFFINE else np.median(1.0 / true_m)
    levels, slopes = np.log(middle) + np.linspace(-1.0, 1.0, 29), np.linspace(-0.5, 3.0, 29)
    best = (math.inf, 0.0, 0.0)
    for finer in (1.0, 0.15, 0.02):
        y = np.exp(levels)[:, None, None] * (1.0 + slopes[:, None] * at)
        depth_m = y if kind is OutputKind.DEPTH_AFFINE else 1.0 / np.maximum(y, 1.0 / _FARTHEST_M)
        error = np.mean(np.abs(depth_m - true_m) / true_m, axis=-1)
        i, j = np.unravel_index(int(error.argmin()), error.shape)
        best = min(best, (float(error[i, j]), float(levels[i]), float(slopes[j])))
        levels = best[1] + finer * np.linspace(-0.1, 0.1, 21)
        slopes = best[2] + finer * np.linspace(-0.2, 0.2, 21)
    scale_shift: ScaleShift = pivot.scale_shift_of(best[1], best[2])
    return _abs_rel(scale_shift.metres(prediction).cpu().numpy(), truth_m)


def _abs_rel(depth_m: npt.NDArray[np.floating], truth_m: Floats) -> float:
    known = np.isfinite(truth_m)
    found = np.nan_to_num(depth_m, nan=_FARTHEST_M, posinf=_FARTHEST_M).clip(max=_FARTHEST_M)
    return float(np.mean(np.abs(found[known] - truth_m[known]) / truth_m[known]))


def _robot(scene: str, seed: int, *, rate_hz: float, seconds: float) -> SyntheticCamera:
    return SyntheticCamera(
        seed,
        scene=scene,
        width=160,
        height=120,
        rate_hz=rate_hz,
        duration_s=seconds,
        samples_per_pixel=1,
    )


def _ground_errors(frames: Sequence[SyntheticFrame], pitch_deg: float) -> list[float]:
    """Return |log(scale / true scale)| of the frames with a scale from the ground.

    The network is simulated: the truth times one unknown factor and smooth noise.
    """
    rng, tracker = np.random.default_rng(0), ScaleTracker()
    config, errors = ScaleConfig(source="ground_plane"), []
    factor = float(np.exp(rng.uniform(-0.5, 0.5)))
    for recorded in frames:
        noise = _smooth_noise(rng, recorded.depth_m)
        values = torch.from_numpy((recorded.depth_m * factor * noise).astype(np.float32))
        frame = Frame(
            rgb=recorded.rgb,
            stamp_ns=recorded.stamp_ns,
            frame_id="camera",
            intrinsics=recorded.intrinsics,
            gravity_camera=_down(recorded, pitch_deg),
            camera_height_m=float(recorded.T_odom_camera[2, 3]),
        )
        prediction = Prediction(values=values, kind=OutputKind.METRIC)
        depth_m, _ = tracker.update(prediction, frame, config)
        if depth_m is not None:
            with np.errstate(invalid="ignore"):
                ratio = np.log(depth_m.numpy() / recorded.depth_m)
            errors.append(abs(float(np.nanmedian(ratio))))
    return errors


def _smooth_noise(rng: np.random.Generator, like: DepthImage) -> npt.NDArray[np.float32]:
    """Return factors about 1 that change over a sixth of the image."""
    coarse = rng.standard_normal((6, 8)).astype(np.float32)
    noise = cv2.resize(coarse, like.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.exp((noise - noise.mean()) / noise.std() * _NETWORK_NOISE), np.float32)


def _down(recorded: SyntheticFrame, pitch_deg: float) -> Floats:
    """Return gravity in the optical frame, as a mount that is wrong in pitch has it."""
    c, s = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    turn = np.array(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))
    return np.asarray(turn @ -recorded.T_odom_camera[2, :3])  # z of odom is up


def _row(measure: str, where: str, value: float, limit: float) -> BoundRow:
    return BoundRow(number=_NUMBER, measure=measure, where=where, value=value, limit=limit)
