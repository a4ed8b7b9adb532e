"""Scale of a real network on a real recording, from points of the measured depth."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.models.loading import load_model
from mono_depth.recordings.open import open_sequence
from mono_depth.scale.fixed_fit import Samples
from mono_depth.scale.tracker import ScaleTracker

pytestmark = pytest.mark.slow

SPARSE = ScaleConfig(source="sparse_points")
FAR_RHO = 0.05  # depth beyond 20 m, or behind infinity, counts as 20 m


@dataclass
class Recording:
    model: object
    frames: list
    predictions: list
    best: list  # AbsRel of the best scale and shift of each frame


@pytest.fixture(scope="module")
def recording(shared_data, fastdepth_registry):
    model = load_model(
        "fastdepth", device=torch.device("cpu"), registry=fastdepth_registry, threads=1
    )
    frames = list(open_sequence(str(shared_data / "tum_fr1_rpy")))
    predictions = [model.infer(torch.from_numpy(f.rgb), f.intrinsics) for f in frames]
    best = [
        best_abs_rel(frame.depth_m, prediction)
        for frame, prediction in zip(frames, predictions, strict=True)
    ]
    return Recording(model, frames, predictions, best)


def full_size(rho):
    return cv2.resize(np.nan_to_num(rho, nan=FAR_RHO), (640, 480))


def abs_rel(rho, depth_m, step=1):
    known = np.isfinite(depth_m)
    z = 1.0 / np.maximum(rho[known][::step], FAR_RHO)
    return float(np.mean(np.abs(z - depth_m[known][::step]) / depth_m[known][::step]))


def best_abs_rel(depth_m, prediction):
    """Return the least AbsRel of any 1 / depth = a / output + b: search, not a fit."""
    x = full_size(1.0 / prediction.values.numpy())
    middle, best = float(np.median(x)), (np.inf, 0.0, 0.0)
    levels, slopes, step = np.linspace(0.2, 3.0, 29), np.linspace(-2.0, 4.0, 31), 997
    known = np.isfinite(depth_m)
    xs, zs = x[known][::step], depth_m[known][::step].astype(float)
    for width in (1.0, 0.1):
        grid = levels[:, None, None] * (1.0 + slopes[:, None] * (xs - middle))
        error = np.mean(np.abs(1.0 / np.maximum(grid, FAR_RHO) - zs) / zs, axis=-1)
        i, j = np.unravel_index(error.argmin(), error.shape)
        best = min(best, (float(error[i, j]), levels[i], slopes[j]))
        levels = best[1] + width * np.linspace(-0.1, 0.1, 21)
        slopes = best[2] + width * np.linspace(-0.2, 0.2, 21)
    return abs_rel(best[1] * (1.0 + best[2] * (x - middle)), depth_m)


def points_of(frame, count, wrong, rng, too_near=False):
    """Draw points of the measured depth with 2 % noise, some of them anywhere in 0.2..20 m.

    With `too_near` the wrong ones are at 20 to 80 % of their depth.
    """
    rows, columns = np.nonzero(np.isfinite(frame.depth_m))
    chosen = rng.choice(rows.size, count, replace=False)
    z = frame.depth_m[rows[chosen], columns[chosen]] * (1.0 + 0.02 * rng.standard_normal(count))
    outliers = rng.choice(count, round(wrong * count), replace=False)
    if too_near:
        z[outliers] *= rng.uniform(0.2, 0.8, outliers.size)
    else:
        z[outliers] = np.exp(rng.uniform(np.log(0.2), np.log(20.0), outliers.size))
    K = frame.intrinsics
    x, y = (columns[chosen] - K.cx) / K.fx * z, (rows[chosen] - K.cy) / K.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


def run(recording, count, wrong, seed, too_near=False):
    """Return AbsRel of the frames with metres over the best possible on them, and the states."""
    rng, tracker = np.random.default_rng(seed), ScaleTracker()
    errors, best, statuses = [], [], []
    for index, (seen, prediction) in enumerate(
        zip(recording.frames, recording.predictions, strict=True)
    ):
        frame = Frame(
            rgb=seen.rgb,
            stamp_ns=seen.stamp_ns,
            frame_id="camera",
            intrinsics=seen.intrinsics,
            sparse_points_m=points_of(seen, count, wrong, rng, too_near),
        )
        depth_m, status = tracker.update(prediction, frame, SPARSE)
        statuses.append(status)
        if depth_m is not None:
            errors.append(abs_rel(full_size(1.0 / depth_m.numpy()), seen.depth_m))
            best.append(recording.best[index])
    return (np.mean(errors) / np.mean(best) if errors else None), statuses


@pytest.mark.parametrize(("count", "limit", "frames"), [(50, 1.1, 55), (10, 1.3, 45)])
def test_a_few_points_are_nearly_as_good_as_all_of_the_truth(recording, count, limit, frames):
    ratio, statuses = run(recording, count, wrong=0.3, seed=0)
    assert ratio < limit
    assert sum(status.is_metric for status in statuses) >= frames


def test_wrong_points_that_are_all_too_near_pull_the_scale_little(recording):
    ratio, statuses = run(recording, 50, wrong=0.3, seed=0, too_near=True)
    assert ratio < 1.16
    assert sum(status.is_metric for status in statuses) >= 55


def test_points_that_are_all_wrong_are_refused(recording):
    ratio, statuses = run(recording, 50, wrong=1.0, seed=0)
    assert ratio is None
    assert not any(status.is_metric for status in statuses)
    assert "points" in statuses[-1].last_reject


def test_a_calibration_from_sensor_depth_improves_the_network(recording):
    samples = Samples(OutputKind.METRIC, with_shift=False)
    for seen in recording.frames[::6]:
        samples.add_frame(recording.model, seen.rgb, seen.intrinsics, seen.depth_m)
    scale = samples.fitted()
    assert scale.shift == 0.0
    assert 0.0 < scale.factor_sigma < 0.1 * scale.factor
    raw, fixed = [], []
    for seen, prediction in zip(recording.frames, recording.predictions, strict=True):
        x = full_size(1.0 / prediction.values.numpy())
        raw.append(abs_rel(x, seen.depth_m))
        config = ScaleConfig(source="fixed", factor=scale.factor)
        depth_m, _ = ScaleTracker().update(
            Prediction(values=prediction.values, kind=OutputKind.METRIC),
            Frame(rgb=seen.rgb, stamp_ns=0, frame_id="camera", intrinsics=seen.intrinsics),
            config,
        )
        fixed.append(abs_rel(full_size(1.0 / depth_m.numpy()), seen.depth_m))
    assert np.mean(fixed) < 0.5 * np.mean(raw)
