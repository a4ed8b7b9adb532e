"""Compare the built-in network with what it has to beat, on real and on rendered frames."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.data import DepthImage
from mono_depth.evaluation.measures.metrics import DepthScores, depth_scores, mean_scores
from mono_depth.evaluation.nano.baselines import DepthPrior, FastDepth, learn_prior
from mono_depth.models.nano.model import Nano
from mono_depth.recordings.real_frames import lingbot_frames, realsense_frames
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.recordings.synthetic_sequence import as_sequence_frame
from mono_depth.recordings.tum import open_tum
from mono_depth.synthetic.dataset import HELD_OUT_SEED, training_views
from mono_depth.synthetic.frame import SyntheticFrame
from mono_depth.system.resources import share_dir

MAX_SENSOR_DEPTH_M = 10.0  # what the sensors of the real recordings can measure
MAX_SYNTHETIC_DEPTH_M = 80.0

_PRIOR_SCENES = 150
_SCENES = 80
_SIZE = (320, 240)  # of rendered frames
_HELD_OUT = {"room": "robot", "office": "handheld", "corridor": "robot", "street": "drone"}

Predict = Callable[[SequenceFrame], DepthImage]


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """Mean scores of one predictor on one set of frames."""

    frames: str
    predictor: str
    count: int
    raw: DepthScores  # metres as predicted
    aligned: DepthScores  # after the ratio of medians is taken out of each frame


def compare(data: Path | None, weights: Sequence[Path] | None) -> list[ScoreRow]:
    """Score networks and what they have to beat on every set of frames, with means over sets.

    Args:
        data: folder with the real recordings; None = only synthetic camera sequences, which no
            training has seen.
        weights: a file for each seed; None = the one that ships.
    """
    recordings = data or Path("no recordings")
    predictors = build_predictors(
        load_named(weights),
        synthetic_prior(),
        recordings / "fastdepth" / "fastdepth_nyu_224.onnx",
    )
    rows: list[ScoreRow] = []
    for name, frames in (real_sets(data) if data else {}).items():
        rows += evaluate(name, frames, predictors, MAX_SENSOR_DEPTH_M)
    if rows:
        rows += mean_rows("mean of the real kinds", rows)
    for name, frames in synthetic_sets().items():
        rows += evaluate(name, frames, predictors, MAX_SYNTHETIC_DEPTH_M)
    return [*rows, *mean_of_seeds(rows)]


def evaluate(
    name: str, frames: Iterable[SequenceFrame], predictors: dict[str, Predict], max_depth_m: float
) -> list[ScoreRow]:
    """Score every predictor on every frame, where the truth is `max_depth_m` or less."""
    raw: dict[str, list[DepthScores]] = {key: [] for key in predictors}
    aligned: dict[str, list[DepthScores]] = {key: [] for key in predictors}
    for frame in tqdm(frames, desc=name, unit="frame", file=sys.stderr):
        truth_m = frame.depth_m.copy()
        truth_m[truth_m > max_depth_m] = np.nan
        if np.isfinite(truth_m).mean() < 0.05:
            continue
        height, width = truth_m.shape
        for key, predict in predictors.items():
            small = predict(frame)
            depth_m = _resize(small, width, height)
            raw[key].append(depth_scores(depth_m, truth_m))
            aligned[key].append(depth_scores(depth_m, truth_m, align_median=True))
    return [
        ScoreRow(
            frames=name,
            predictor=key,
            count=len(raw[key]),
            raw=mean_scores(raw[key]),
            aligned=mean_scores(aligned[key]),
        )
        for key in predictors
    ]


def mean_rows(name: str, rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Return the mean over sets of frames, each set counting the same, of each predictor."""
    return [
        ScoreRow(
            frames=name,
            predictor=predictor,
            count=sum(row.count for row in rows if row.predictor == predictor),
            raw=mean_scores(row.raw for row in rows if row.predictor == predictor),
            aligned=mean_scores(row.aligned for row in rows if row.predictor == predictor),
        )
        for predictor in dict.fromkeys(row.predictor for row in rows)
    ]


def mean_of_seeds(rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Return the mean over several networks of their rows, for each set of frames."""
    means = []
    for frames in dict.fromkeys(row.frames for row in rows):
        seeds = [row for row in rows if row.frames == frames and row.predictor.startswith("nano ")]
        if len(seeds) > 1:
            means.append(
                ScoreRow(
                    frames=frames,
                    predictor=f"mean of {len(seeds)} nanos",
                    count=seeds[0].count,
                    raw=mean_scores(row.raw for row in seeds),
                    aligned=mean_scores(row.aligned for row in seeds),
                )
            )
    return means


def _resize(depth_m: DepthImage, width: int, height: int) -> DepthImage:
    resized = cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def markdown(rows: Sequence[ScoreRow]) -> str:
    """Return the table, one line per set and predictor."""
    lines = [
        "| frames | predictor | AbsRel | delta1 | raw AbsRel | raw delta1 | log corr. | contrast |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        values = (
            row.aligned.abs_rel,
            row.aligned.delta1,
            row.raw.abs_rel,
            row.raw.delta1,
            row.aligned.log_correlation,
            row.aligned.log_contrast,
        )
        cells = " | ".join("-" if np.isnan(value) else f"{value:.3f}" for value in values)
        lines.append(f"| {row.frames} ({row.count}) | {row.predictor} | {cells} |")
    return "\n".join(lines)


def as_json(rows: Sequence[ScoreRow]) -> str:
    """Return all measures as JSON."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def build_predictors(
    nanos: dict[str, Nano], prior: DepthPrior, fastdepth: Path
) -> dict[str, Predict]:
    """Return constant, row prior, FastDepth where its file is there, and networks by name."""

    def run(nano: Nano, frame: SequenceFrame) -> DepthImage:
        values = nano.infer(torch.from_numpy(frame.rgb), frame.intrinsics).values
        return np.asarray(values.cpu().numpy(), dtype=np.float32)

    predictors: dict[str, Predict] = {
        "constant": lambda frame: prior.constant(frame.intrinsics),
        "row prior": lambda frame: prior.rows(frame.intrinsics),
    }
    if fastdepth.is_file():
        network = FastDepth(fastdepth)
        predictors["FastDepth"] = lambda frame: network(frame.rgb)
    return predictors | {name: partial(run, nano) for name, nano in nanos.items()}


def synthetic_prior(count: int = _PRIOR_SCENES) -> DepthPrior:
    """Learn the row prior from examples as the training renders them."""
    from mono_depth.training.pool import render_singles

    seeds = tqdm(range(count), desc="row prior", unit="scene", file=sys.stderr)
    return learn_prior(view for seed in seeds for view in render_singles(seed, 96, 72))


def load_named(files: Sequence[Path] | None) -> dict[str, Nano]:
    """Return the networks of weights files by name; of the file that ships if there are none."""
    cpu, weights = torch.device("cpu"), files or [share_dir() / "models" / "nano.safetensors"]
    if len(weights) == 1:
        return {"nano": Nano.load(weights[0], cpu)}
    return {f"nano {path.stem}": Nano.load(path, cpu) for path in weights}


def real_sets(data: Path) -> dict[str, Iterable[SequenceFrame]]:
    """Return the real recordings under a folder, by what they show."""
    return {
        "desk (TUM fr1/rpy)": open_tum(data / "tum_fr1_rpy").thinned(every=4),
        "floor (RealSense)": realsense_frames(data / "realsense_floor"),
        "rooms (LingBot)": lingbot_frames(data / "lingbot_rgbd"),
    }


def synthetic_sets() -> dict[str, Iterable[SequenceFrame]]:
    """Return recordings and images of scenes that no training has seen, by what they show."""
    recordings = {
        f"synthetic {scene}": held_out_frames(scene, trajectory)
        for scene, trajectory in _HELD_OUT.items()
    }
    return {**recordings, "unseen scenes": unseen_scenes()}


def unseen_scenes(count: int = _SCENES) -> Iterator[SequenceFrame]:
    """Yield two images, as training renders them, of each of many scenes that it never draws."""
    for number in range(count):
        for view in training_views(HELD_OUT_SEED + number, *_SIZE, 2):
            yield _without_points(view)


def held_out_frames(scene: str, trajectory: str, count: int = 12) -> Iterator[SequenceFrame]:
    """Yield frames of a synthetic recording whose seed no training draws."""
    from mono_depth.synthetic.camera import SyntheticCamera

    width, height = _SIZE
    camera = SyntheticCamera(HELD_OUT_SEED, scene, trajectory, width=width, height=height)
    for index in np.linspace(0, len(camera) - 1, count).astype(int):
        yield _without_points(camera[int(index)])


def _without_points(frame: SyntheticFrame) -> SequenceFrame:
    """Return a rendered frame of which a model is told the image alone."""
    return replace(as_sequence_frame(frame), sparse_points_m=None)
