"""Judge whether the built-in network shows things, on real and on rendered frames."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.data import DepthImage
from mono_depth.evaluation.measures.boundaries import boundary_f1
from mono_depth.evaluation.measures.metrics import abs_rel, depth_scores, median_scale
from mono_depth.evaluation.measures.obstacles import (
    ObstacleCounts,
    count_obstacles,
    find_obstacles,
    near_floor,
    total_of,
)
from mono_depth.evaluation.nano.table import (
    MAX_SENSOR_DEPTH_M,
    MAX_SYNTHETIC_DEPTH_M,
    Predict,
    build_predictors,
    load_named,
    real_sets,
    synthetic_prior,
    unseen_scenes,
)
from mono_depth.recordings.sequence import SequenceFrame

_WIDTH_PX = 224  # at which all are judged: about the size that the networks see
_EDGE_STEP_PX, _EDGE_REACH_PX = 4, 2
_LEAST_KNOWN = 0.05  # of a frame
_LEAST_FLOOR_PX = 50
_SCENES = 30


@dataclass(frozen=True, kw_only=True)
class ThingRow:
    """What one predictor shows on one set of frames, the ratio of medians taken out of each."""

    frames: str
    predictor: str
    count: int
    abs_rel: float
    delta1: float
    log_correlation: float
    boundary_f1: float
    obstacles: ObstacleCounts
    floor_abs_rel: float  # of the floor within 2.5 m, NaN = there is none
    floor_bias: float  # median of prediction / truth - 1 there: above 0 = too far


def judge(
    data: Path | None, weights: Sequence[Path] | None, scenes: int = _SCENES
) -> list[ThingRow]:
    """Judge networks and what they have to beat on every set of frames.

    Args:
        data: folder with the real recordings; None = only scenes that no training has seen.
        weights: files to compare; None = the one that ships.
        scenes: how many of those scenes, 0 = none.
    """
    recordings = data or Path("no recordings")
    predictors = build_predictors(
        load_named(weights), synthetic_prior(), recordings / "fastdepth" / "fastdepth_nyu_224.onnx"
    )
    del predictors["constant"]  # shows nothing, by definition
    rows: list[ThingRow] = []
    for name, frames in (real_sets(data) if data else {}).items():
        rows += judge_frames(name, frames, predictors, MAX_SENSOR_DEPTH_M)
    if scenes:
        rows += judge_frames(
            "unseen scenes", unseen_scenes(scenes), predictors, MAX_SYNTHETIC_DEPTH_M
        )
    return rows


def judge_frames(
    name: str, frames: Iterable[SequenceFrame], predictors: dict[str, Predict], max_depth_m: float
) -> list[ThingRow]:
    """Judge every predictor on every frame, where the truth is `max_depth_m` or less."""
    single: dict[str, list[ThingRow]] = {key: [] for key in predictors}
    for frame in tqdm(frames, desc=name, unit="frame", file=sys.stderr):
        small = _small(frame)
        truth_m = np.where(small.depth_m <= max_depth_m, small.depth_m, np.nan)
        if np.isfinite(truth_m).mean() < _LEAST_KNOWN:
            continue
        obstacles = find_obstacles(truth_m, small.intrinsics)
        floor = near_floor(truth_m, small.intrinsics)
        size = small.intrinsics.width, small.intrinsics.height
        for key, predict in predictors.items():
            said_m = np.asarray(
                cv2.resize(predict(frame), size, interpolation=cv2.INTER_LINEAR), np.float32
            )
            said_m *= np.float32(median_scale(said_m, truth_m))
            scores = depth_scores(said_m, truth_m)
            has_floor = int(floor.sum()) >= _LEAST_FLOOR_PX
            single[key].append(
                ThingRow(
                    frames=name,
                    predictor=key,
                    count=1,
                    abs_rel=scores.abs_rel,
                    delta1=scores.delta1,
                    log_correlation=scores.log_correlation,
                    boundary_f1=boundary_f1(said_m, truth_m, _EDGE_REACH_PX, _EDGE_STEP_PX),
                    obstacles=count_obstacles(said_m, truth_m, small.intrinsics, obstacles),
                    floor_abs_rel=abs_rel(said_m[floor], truth_m[floor]) if has_floor else np.nan,
                    floor_bias=_bias(said_m[floor], truth_m[floor]) if has_floor else np.nan,
                )
            )
    return [_mean(name, key, rows) for key, rows in single.items()]


def _small(frame: SequenceFrame) -> SequenceFrame:
    """Return camera and truth of a frame at the width at which all are judged."""
    camera = frame.intrinsics
    size = _WIDTH_PX, round(_WIDTH_PX * camera.height / camera.width)
    depth_m = cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST)
    return replace(
        frame,
        depth_m=np.asarray(depth_m, np.float32),
        rgb=np.zeros((size[1], size[0], 3), np.uint8),
        intrinsics=camera.scaled_to(*size),
    )


def _bias(said_m: DepthImage, truth_m: DepthImage) -> float:
    return float(np.median(said_m / truth_m) - 1.0)


def _mean(name: str, predictor: str, rows: Sequence[ThingRow]) -> ThingRow:
    def mean(field: str) -> float:
        values = np.array([getattr(row, field) for row in rows], np.float64)
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else np.nan

    return ThingRow(
        frames=name,
        predictor=predictor,
        count=len(rows),
        abs_rel=mean("abs_rel"),
        delta1=mean("delta1"),
        log_correlation=mean("log_correlation"),
        boundary_f1=mean("boundary_f1"),
        obstacles=total_of(row.obstacles for row in rows),
        floor_abs_rel=mean("floor_abs_rel"),
        floor_bias=mean("floor_bias"),
    )


def markdown(rows: Sequence[ThingRow]) -> str:
    """Return the table, one line per set and predictor."""
    lines = [
        "| frames | predictor | AbsRel | delta1 | log corr. | boundary F1 | obstacles | found "
        "| and stand out | thin found | low found | invented | near floor: AbsRel | bias |",
        "|" + "---|" * 14,
    ]
    for row in rows:
        o = row.obstacles
        cells = (
            f"{row.abs_rel:.3f}",
            f"{row.delta1:.3f}",
            _number(row.log_correlation),
            _number(row.boundary_f1),
            str(o.all),
            _share(o.found, o.all),
            _share(o.seen, o.all),
            f"{o.thin_found} of {o.thin}",
            f"{o.low_found} of {o.low}",
            f"{o.invented}",
            _number(row.floor_abs_rel),
            _number(row.floor_bias),
        )
        lines.append(f"| {row.frames} ({row.count}) | {row.predictor} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"
