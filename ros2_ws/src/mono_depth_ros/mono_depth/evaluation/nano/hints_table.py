"""Measure what the built-in network makes of what it is told beside the image.

What is told comes from the truth: some of its points, its depth with patches taken out, or height
and gravity, for real frames from the plane of the floor. Beside each answer stands that of the
rules alone, without the network for hints. FastDepth has the best scale and shift that there is
for each frame, from all of the truth.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.data import DepthImage, Mask
from mono_depth.evaluation.measures.metrics import DepthScores, depth_scores, mean_scores
from mono_depth.evaluation.measures.temporal_metrics import confidence_ratio
from mono_depth.evaluation.nano.baselines import FastDepth
from mono_depth.evaluation.nano.table import (
    MAX_SENSOR_DEPTH_M,
    MAX_SYNTHETIC_DEPTH_M,
    real_sets,
    synthetic_sets,
)
from mono_depth.models.nano.model import Nano
from mono_depth.models.protocol import Hints
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.synthetic.arrays import F64
from mono_depth.system.resources import share_dir

_POINTS = (10, 50, 300)
_PATCH_SHARE = 0.4  # of the image, taken out of what a sensor gives
_PLANE_TRIALS = 400
_PLANE_M = 0.01  # distance from the plane, per metre of depth, up to which a point lies on it
_LEAST_TRUTH = 0.05  # of an image, of which the depth must be known
_BY_RULE = " (rules)"
_IMAGE, _IMAGE_AND_GROUND = "image", "image, height, gravity"
_DRIVE = "synthetic"  # how the names of drives begin
_OF_A_DRIVE = (_IMAGE, _IMAGE_AND_GROUND, f"{_IMAGE}{_BY_RULE}", f"{_IMAGE_AND_GROUND}{_BY_RULE}")
_FASTDEPTH = "FastDepth, best scale and shift"
_LEAST_FALL = 0.5  # cosine between the normal of the floor and the y axis of the image


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The floor before a camera."""

    height_m: float
    gravity_camera: F64  # (3,) unit vector


@dataclass(frozen=True, kw_only=True)
class HintCase:
    """One frame and what may be told of it."""

    frame: SequenceFrame
    truth_m: DepthImage  # (H, W) NaN = not known
    ground: Ground | None
    seed: int  # of which points and patches are told

    def chance(self, purpose: int) -> np.random.Generator:
        """Return the same numbers each time for one purpose."""
        return np.random.default_rng([self.seed, purpose])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a network makes of a case."""

    depth_m: DepthImage  # (H, W) NaN = not to be scored
    confidence: DepthImage | None = None  # (H, W)


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good the answers to some cases are; no scale is aligned."""

    depth: DepthScores  # mean over frames
    confident_half: float  # error of the more confident half of the pixels over that of all
    count: int


Ask = Callable[[HintCase], Answer | None]
FindGround = Callable[[SequenceFrame, np.random.Generator], Ground | None]


def cases(
    frames: Iterable[SequenceFrame], max_depth_m: float, ground_of: FindGround
) -> Iterator[HintCase]:
    """Yield what may be told of each frame, from the truth up to `max_depth_m`."""
    for number, frame in enumerate(frames):
        truth_m = np.where(frame.depth_m > max_depth_m, np.nan, frame.depth_m)
        if np.isfinite(truth_m).mean() >= _LEAST_TRUTH:
            ground = ground_of(frame, np.random.default_rng([number, 7]))
            yield HintCase(frame=frame, truth_m=truth_m, ground=ground, seed=number)


def pose_ground(frame: SequenceFrame, rng: np.random.Generator) -> Ground | None:
    """Return the ground of a frame whose odometry has z = 0 there."""
    del rng
    if frame.T_odom_camera is None:
        return None
    rotation, height_m = frame.T_odom_camera[:3, :3], float(frame.T_odom_camera[2, 3])
    return Ground(height_m=height_m, gravity_camera=-rotation[2])


def known_points(truth_m: DepthImage, count: int, rng: np.random.Generator) -> DepthImage:
    """Return the truth at `count` random pixels, NaN elsewhere."""
    pixels = rng.choice(np.flatnonzero(np.isfinite(truth_m)), count, replace=False)
    known_m = np.full(truth_m.shape, np.nan, np.float32)
    known_m.flat[pixels] = truth_m.flat[pixels]
    return known_m


def random_patches(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Return patches that cover a part of an image, as glass and black things leave them."""
    coarse = rng.random((6, 8)).astype(np.float32)
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth < np.quantile(smooth, _PATCH_SHARE))


def find_ground(frame: SequenceFrame, rng: np.random.Generator) -> Ground | None:
    """Find the floor in the true depth, as a robot would know it from how its camera is mounted.

    Returns:
        The plane, not steeper than 60 degrees in the image, on which most of the lower half lies;
        None if that is less than a quarter of it.
    """
    rows, columns = np.nonzero(np.isfinite(frame.depth_m))
    lower = rows > frame.intrinsics.height // 2
    rows, columns = rows[lower][::7], columns[lower][::7]
    z = frame.depth_m[rows, columns].astype(np.float64)
    camera = frame.intrinsics
    x, y = (columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z
    points = np.stack((x, y, z), axis=1)
    if len(points) < 100:
        return None
    best, best_count = None, 0
    for _ in range(_PLANE_TRIALS):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal) + 1e-12
        normal *= np.sign(normal[1]) or 1.0
        on_plane = np.abs((points - a) @ normal) < _PLANE_M * z
        if normal[1] > _LEAST_FALL and on_plane.sum() > best_count:
            best, best_count = on_plane, int(on_plane.sum())
    if best is None or best_count < len(points) // 4:
        return None
    middle = points[best].mean(axis=0)
    normal = np.linalg.svd(points[best] - middle, full_matrices=False)[2][2]
    normal *= np.sign(normal @ middle)
    return Ground(height_m=float(normal @ middle), gravity_camera=normal)


def best_fit(prediction: DepthImage, truth_m: DepthImage) -> DepthImage:
    """Return a * prediction + b with the least sum of squared relative errors."""
    known = np.isfinite(truth_m)
    p, t = prediction[known].astype(np.float64), truth_m[known].astype(np.float64)
    design = np.stack((p / t, 1.0 / t), axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(t)), rcond=None)
    return np.asarray(np.maximum(a * prediction + b, 0.01), np.float32)


def questions(model: Nano) -> dict[str, Ask]:
    """Return what a network is told, by name; None = it cannot be told for this frame."""
    table: dict[str, Ask] = {
        _IMAGE: lambda case: _guided(model, case, Hints()),
        _IMAGE_AND_GROUND: lambda case: _guided(model, case, _ground_hints(case)),
    }
    for count in _POINTS:
        table[f"image, {count} points"] = partial(_with_points, model, count)
    for place, is_hole in (("in them", True), ("elsewhere", False)):
        name = f"image, depth with {_PATCH_SHARE:.0%} holes: {place}"
        table[name] = partial(_with_holes, model, is_hole)
    return table


def _guided(model: Nano, case: HintCase, hints: Hints | None) -> Answer | None:
    if hints is None:
        return None
    rgb = torch.from_numpy(case.frame.rgb)
    prediction = model.infer_guided(rgb, case.frame.intrinsics, hints)
    depth_m = _resized(prediction.values.numpy(), case.truth_m.shape)
    if prediction.confidence is None:
        return Answer(depth_m=depth_m)
    confidence = _resized(prediction.confidence.numpy(), case.truth_m.shape)
    return Answer(depth_m=depth_m, confidence=confidence)


def _ground_hints(case: HintCase) -> Hints | None:
    if case.ground is None:
        return None
    return Hints(camera_height_m=case.ground.height_m, gravity_camera=case.ground.gravity_camera)


def _with_points(model: Nano, count: int, case: HintCase) -> Answer | None:
    known_m = known_points(case.truth_m, count, case.chance(7))
    size = model.point_size(case.frame.intrinsics)
    return _guided(model, case, Hints(depth_m=_drawn(known_m, size)))


def _with_holes(model: Nano, is_hole: bool, case: HintCase) -> Answer | None:
    hole = random_patches(case.truth_m.shape, case.chance(8))
    told = torch.from_numpy(np.where(hole, np.nan, case.truth_m).astype(np.float32))
    answer = _guided(model, case, Hints(depth_m=told, keeps_depth=True))
    if answer is None:
        return None
    return replace(answer, depth_m=np.where(hole == is_hole, answer.depth_m, np.float32(np.nan)))


def score(name: str, told: Iterable[HintCase], table: dict[str, Ask]) -> dict[str, Score]:
    """Return how good the answers are to each question that some case had one to."""
    depths: dict[str, list[DepthScores]] = {key: [] for key in table}
    halves: dict[str, list[float]] = {key: [] for key in table}
    for case in tqdm(told, desc=name, unit="frame", file=sys.stderr):
        for key, ask in table.items():
            answer = ask(case)
            if answer is None:
                continue
            truth_m = np.where(np.isnan(answer.depth_m), np.nan, case.truth_m)
            depths[key].append(depth_scores(answer.depth_m, truth_m))
            if answer.confidence is not None:
                error = np.abs(answer.depth_m / truth_m - 1.0)
                halves[key].append(confidence_ratio(error[None], answer.confidence[None]))
    return {
        key: Score(
            depth=mean_scores(found),
            confident_half=float(np.mean(halves[key])) if halves[key] else math.nan,
            count=len(found),
        )
        for key, found in depths.items()
        if found
    }


def _drawn(known_m: DepthImage, size: tuple[int, int]) -> torch.Tensor:
    """Return a sparse depth map at another size; every known pixel stays, the nearest wins."""
    width, height = size
    rows, columns = np.nonzero(np.isfinite(known_m))
    drawn = np.full((height, width), np.inf, np.float32)
    places = rows * height // known_m.shape[0], columns * width // known_m.shape[1]
    np.minimum.at(drawn, places, known_m[rows, columns])
    return torch.from_numpy(drawn)  # inf is a hole as well


def _resized(depth_m: DepthImage, shape: tuple[int, ...]) -> DepthImage:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_LINEAR), np.float32)


def all_cases(data: Path | None) -> dict[str, Iterator[HintCase]]:
    """Return the cases of each set of frames."""
    sets = {
        name: cases(frames, MAX_SENSOR_DEPTH_M, find_ground)
        for name, frames in (real_sets(data) if data else {}).items()
    }
    for name, frames in synthetic_sets().items():
        sets[name] = cases(frames, MAX_SYNTHETIC_DEPTH_M, pose_ground)
    return sets


def hints_table(data: Path | None, weights: Path | None) -> str:
    """Measure every answer on every set of frames; return one Markdown table.

    Args:
        data: folder with the real recordings; None = only synthetic frames, of scenes that no
            training has seen. Of drives among them, only height and gravity are told.
        weights: of the network; None = those that ship.
    """
    weights = weights or share_dir() / "models" / "nano.safetensors"
    model, by_rule = (Nano.load(weights, torch.device("cpu")) for _ in range(2))
    by_rule.hint_net = None
    table, ruled = questions(model), questions(by_rule)
    fastdepth = data / "fastdepth" / "fastdepth_nyu_224.onnx" if data else Path()
    if fastdepth.is_file():
        network = FastDepth(fastdepth)
        table[_FASTDEPTH] = lambda case: Answer(
            depth_m=best_fit(_resized(network(case.frame.rgb), case.truth_m.shape), case.truth_m)
        )
    both = table | {f"{key}{_BY_RULE}": ask for key, ask in ruled.items()}
    lines = [
        "| frames | told | raw AbsRel | raw delta1 | log corr. | confident half "
        "| by rules alone: raw AbsRel | raw delta1 | confident half |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, told in all_cases(data).items():
        is_drive = name.startswith(_DRIVE)
        asked = {key: ask for key, ask in both.items() if not is_drive or key in _OF_A_DRIVE}
        rows = score(name, told, asked)
        lines += [_line(name, key, rows) for key in table if key in rows]
    return "\n".join(lines)


def _line(name: str, key: str, rows: dict[str, Score]) -> str:
    found, by_rule = rows[key], rows.get(f"{key}{_BY_RULE}")
    depth = found.depth
    values = [depth.abs_rel, depth.delta1, depth.log_correlation, found.confident_half]
    values += (
        [by_rule.depth.abs_rel, by_rule.depth.delta1, by_rule.confident_half]
        if by_rule
        else [math.nan] * 3
    )
    cells = ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
    return f"| {name} ({found.count}) | {key} | {' | '.join(cells)} |"
