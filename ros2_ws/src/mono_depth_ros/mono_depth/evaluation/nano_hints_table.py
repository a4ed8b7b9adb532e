"""Show what the built-in network makes of what it is told beside the image.

`python -m mono_depth.evaluation.nano_hints_table --data DIR` prints one Markdown table of real
frames. What is told comes from the truth: some of its points, its depth with patches taken out,
or height and gravity from the plane of the floor. FastDepth beside it has the best scale and
shift that there is for each frame, from all of the truth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.data import DepthImage, Mask
from mono_depth.evaluation.baselines import FastDepth
from mono_depth.evaluation.metrics import DepthScores, depth_scores, mean_scores
from mono_depth.evaluation.nano_table import MAX_SENSOR_DEPTH_M, real_sets
from mono_depth.evaluation.sequence import SequenceFrame
from mono_depth.models.nano import Nano
from mono_depth.models.protocol import Hints
from mono_depth.resources import share_dir
from mono_depth.synthetic.arrays import F64

_POINTS = (10, 50, 300)
_PATCH_SHARE = 0.4  # of the image, taken out of what a sensor gives
_PLANE_TRIALS = 400
_PLANE_M = 0.01  # distance from the plane, per metre of depth, up to which a point lies on it
_LEAST_FALL = 0.5  # cosine between the normal of the floor and the y axis of the image

Answer = Callable[[SequenceFrame, DepthImage, np.random.Generator], DepthImage | None]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The floor before a camera."""

    height_m: float
    down_camera: F64  # (3,) unit vector


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
    return Ground(height_m=float(normal @ middle), down_camera=normal)


def best_fit(prediction: DepthImage, truth_m: DepthImage) -> DepthImage:
    """Return a * prediction + b with the least sum of squared relative errors."""
    known = np.isfinite(truth_m)
    p, t = prediction[known].astype(np.float64), truth_m[known].astype(np.float64)
    design = np.stack((p / t, 1.0 / t), axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(t)), rcond=None)
    return np.asarray(np.maximum(a * prediction + b, 0.01), np.float32)


def answers(model: Nano, fastdepth: Path) -> dict[str, Answer]:
    """Return the ways to predict depth, by name; None = it cannot be told for this frame."""

    def guided(frame: SequenceFrame, hints: Hints) -> DepthImage:
        prediction = model.infer_guided(torch.from_numpy(frame.rgb), frame.intrinsics, hints)
        return np.asarray(prediction.values.numpy(), np.float32)

    def with_points(count: int) -> Answer:
        def answer(
            frame: SequenceFrame, truth_m: DepthImage, rng: np.random.Generator
        ) -> DepthImage:
            size = model.depth_size(frame.intrinsics.width, frame.intrinsics.height)
            return guided(frame, Hints(depth_m=_drawn(known_points(truth_m, count, rng), size)))

        return answer

    def with_ground(
        frame: SequenceFrame, truth_m: DepthImage, rng: np.random.Generator
    ) -> DepthImage | None:
        ground = find_ground(frame, rng)
        if ground is None:
            return None
        hints = Hints(camera_height_m=ground.height_m, down_camera=ground.down_camera)
        return guided(frame, hints)

    table: dict[str, Answer] = {"image": lambda frame, truth_m, rng: guided(frame, Hints())}
    table["image, height, gravity"] = with_ground
    for count in _POINTS:
        table[f"image, {count} points"] = with_points(count)
    if fastdepth.is_file():
        network = FastDepth(fastdepth)
        table["FastDepth, best scale and shift"] = lambda frame, truth_m, rng: best_fit(
            _resized(network(frame.rgb), truth_m.shape), truth_m
        )
    return table


def score(
    name: str, frames: Iterable[SequenceFrame], table: dict[str, Answer]
) -> dict[str, tuple[DepthScores, int]]:
    """Return the mean raw scores of each answer and of how many frames; no scale is aligned."""
    scores: dict[str, list[DepthScores]] = {key: [] for key in table}
    for number, frame in enumerate(tqdm(frames, desc=name, unit="frame", file=sys.stderr)):
        truth_m = np.where(frame.depth_m > MAX_SENSOR_DEPTH_M, np.nan, frame.depth_m)
        for key, answer in table.items():
            depth_m = answer(frame, truth_m, np.random.default_rng([number, 7]))
            if depth_m is not None:
                scores[key].append(depth_scores(_resized(depth_m, truth_m.shape), truth_m))
    return {key: (mean_scores(found), len(found)) for key, found in scores.items() if found}


def score_holes(
    name: str, frames: Iterable[SequenceFrame], model: Nano
) -> tuple[DepthScores, DepthScores]:
    """Return the mean raw scores within holes and elsewhere, when the rest of the depth is told."""
    inside, outside = [], []
    for number, frame in enumerate(tqdm(frames, desc=name, unit="frame", file=sys.stderr)):
        truth_m = np.where(frame.depth_m > MAX_SENSOR_DEPTH_M, np.nan, frame.depth_m)
        hole = random_patches(truth_m.shape, np.random.default_rng([number, 8]))
        told = torch.from_numpy(np.where(hole, np.nan, truth_m).astype(np.float32))
        hints = Hints(depth_m=told, keeps_depth=True)
        prediction = model.infer_guided(torch.from_numpy(frame.rgb), frame.intrinsics, hints)
        depth_m = _resized(prediction.values.numpy(), truth_m.shape)
        inside.append(depth_scores(depth_m, np.where(hole, truth_m, np.nan)))
        outside.append(depth_scores(depth_m, np.where(hole, np.nan, truth_m)))
    return mean_scores(inside), mean_scores(outside)


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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with real recordings")
    parser.add_argument("--weights", type=Path, help="default: the ones that ship")
    given = parser.parse_args(arguments)
    weights = given.weights or share_dir() / "models" / "nano.safetensors"
    model = Nano.load(weights, torch.device("cpu"))
    table = answers(model, given.data / "fastdepth" / "fastdepth_nyu_224.onnx")
    lines = ["| frames | told | raw AbsRel | raw delta1 | log corr. |", "|---|---|---|---|---|"]
    for name, frames in real_sets(given.data).items():
        held = list(frames)
        rows = score(name, held, table)
        holes = f"image, depth with {_PATCH_SHARE:.0%} holes: "
        inside, outside = score_holes(name, held, model)
        rows[holes + "in them"] = inside, len(held)
        rows[holes + "elsewhere"] = outside, len(held)
        for key, (found, count) in rows.items():
            values = (found.abs_rel, found.delta1, found.log_correlation)
            cells = " | ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {name} ({count}) | {key} | {cells} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
