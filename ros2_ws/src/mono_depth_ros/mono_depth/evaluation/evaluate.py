"""All measures of a recording, for every mode of the filter."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.evaluation.measures.metrics import DepthScores, depth_scores, mean_scores
from mono_depth.evaluation.measures.tae import tae_published, tae_zbuffered
from mono_depth.evaluation.measures.temporal_metrics import (
    NEAR_M,
    TemporalScores,
    flicker_of_frames,
    frame_scales,
    log_errors,
    near_limit_m,
    temporal_scores,
)
from mono_depth.evaluation.measures.tracks import Maps, Track, TrueScene, tracks
from mono_depth.evaluation.promises.lag import Lag
from mono_depth.evaluation.recorded_run import Recorded, RecordedRun, fitted_scale, run_modes
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.input_names import USUAL_INPUTS
from mono_depth.recordings.sequence import FrameSequence
from mono_depth.scale.scale_shift import METRIC_KINDS

_LOG = logging.getLogger(__name__)
_DOUBTFUL = 2.5  # times: a network is seldom so wrong, a unit always is
MODES = ("none", "static", "flow", "pose", "auto")


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What is measured, and how."""

    modes: tuple[str, ...] = ("none", "flow", "pose")
    near_m: float = NEAR_M  # what counts as near
    max_depth_m: float = 20.0  # truth beyond is left out
    scale_by_truth: bool = False  # fit scale and shift of the output to the truth, once
    inputs: tuple[str, ...] = USUAL_INPUTS  # what of the recording the pipeline is given
    is_guided: bool = False  # the network is given it, too; else only scale and filter are

    def __post_init__(self) -> None:
        unknown = set(self.modes) - set(MODES)
        if unknown or not self.modes:
            raise ConfigError(f"modes {', '.join(self.modes)}: expected some of {', '.join(MODES)}")


@dataclass(frozen=True, kw_only=True)
class ModeScores:
    """All measures of one mode of the filter."""

    mode: str
    raw: DepthScores  # in metres as given out
    sequence_aligned: DepthScores  # after one scale for the sequence
    frame_aligned: DepthScores  # after the ratio of medians of each frame
    temporal: TemporalScores
    tae_published: float
    tae_zbuffered: float
    lag: Lag
    stages_ms: float  # median of everything but the network
    resets: tuple[str, ...]
    frame_scales: tuple[float, ...]  # median log(depth / truth) of each frame
    frame_flicker: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All measures of one recording."""

    sequence: str
    model: str
    frames: int
    frames_with_pose: int
    size: tuple[int, int]  # width and height of the maps that were measured
    near_m: float  # what counted as near
    infer_ms: float  # median of the network
    truth_median_m: float  # of the true depth
    truth_tae_published: float  # what perfect depth scores
    truth_tae_zbuffered: float
    modes: tuple[ModeScores, ...]
    inputs: tuple[str, ...] = USUAL_INPUTS  # that the pipeline was given, where a frame had them
    inputs_found: tuple[str, ...] = ()  # of those: that at least one frame had
    is_guided: bool = False  # the network was given them, too


def evaluate(sequence: FrameSequence, config: PipelineConfig, options: EvalOptions) -> Evaluation:
    """Measure every mode of the filter on one recording, in one run.

    Raises:
        ConfigError: the recording lacks poses for a mode that needs them, or the model metres.
        ModelError: the model cannot be loaded.
    """
    model = build_pipeline(config).model
    if options.scale_by_truth:
        config = replace(config, scale=fitted_scale(sequence, model))
    run = run_modes(
        sequence,
        model,
        config,
        options.modes,
        options.max_depth_m,
        inputs=options.inputs,
        is_guided=options.is_guided,
    )
    scene = run.scene
    with_pose = sum(pose is not None for pose in scene.T_odom_camera)
    if "pose" in options.modes and not with_pose:
        raise ConfigError(f"{sequence.name} has no poses; leave the mode pose out")
    near_m, found = near_limit_m(scene.depth_m, options.near_m), tracks(scene)
    if model.kind in METRIC_KINDS and not options.scale_by_truth:
        _tell_units(run, sequence.name)
    bar = tqdm(run.by_mode.items(), desc="measures", unit="filter", file=sys.stderr)
    return Evaluation(
        sequence=sequence.name,
        model=model.name,
        frames=len(scene),
        frames_with_pose=with_pose,
        size=(scene.intrinsics.width, scene.intrinsics.height),
        near_m=near_m,
        infer_ms=float(np.median(run.infer_ms)),
        truth_median_m=float(np.nanmedian(scene.depth_m)),
        truth_tae_published=tae_published(scene.depth_m, scene, options.max_depth_m),
        truth_tae_zbuffered=tae_zbuffered(scene.depth_m, scene),
        modes=tuple(
            _measured(mode, recorded, scene, found, near_m, options.max_depth_m)
            for mode, recorded in bar
        ),
        inputs=options.inputs,
        inputs_found=run.inputs_found,
        is_guided=options.is_guided,
    )


def _tell_units(run: RecordedRun, name: str) -> None:
    """Say where the true depth is so far from a network's metres that its unit may be wrong."""
    recorded = next(iter(run.by_mode.values()))
    truth_m = run.scene.depth_m
    if recorded.depth_m.shape != truth_m.shape:
        return
    ratio = float(np.nanmedian(recorded.depth_m / truth_m))
    if ratio > 0.0 and not 1.0 / _DOUBTFUL <= ratio <= _DOUBTFUL:
        _LOG.warning(
            "%s: its depth is %.2g times that of the network, with a median of %.3g m: are its "
            "units right? depth_units_per_m in intrinsics.json, or --depth-units (1000 = mm, 5000 "
            "= TUM, 256 = KITTI)",
            *(name, 1.0 / ratio, float(np.nanmedian(truth_m))),
        )


def _measured(
    mode: str,
    recorded: Recorded,
    scene: TrueScene,
    found: list[Track | None],
    near_m: float,
    max_depth_m: float,
) -> ModeScores:
    depth_m = recorded.depth_m
    temporal = temporal_scores(depth_m, recorded.confidence, scene, found, near_m)
    log_error = log_errors(depth_m * temporal.scale, scene.depth_m)
    return ModeScores(
        mode=mode,
        raw=_scores(depth_m, scene.depth_m),
        sequence_aligned=_scores(depth_m * temporal.scale, scene.depth_m),
        frame_aligned=_scores(depth_m, scene.depth_m, align_median=True),
        temporal=temporal,
        tae_published=tae_published(depth_m, scene, max_depth_m),
        tae_zbuffered=tae_zbuffered(depth_m, scene),
        lag=recorded.lag,
        stages_ms=float(np.median(recorded.stages_ms)),
        resets=recorded.resets,
        frame_scales=tuple(frame_scales(log_error).tolist()),
        frame_flicker=tuple(flicker_of_frames(log_error, found).tolist()),
    )


def _scores(depth_m: Maps, truth_m: Maps, *, align_median: bool = False) -> DepthScores:
    pairs = zip(depth_m, truth_m, strict=True)
    return mean_scores(depth_scores(d, t, align_median=align_median) for d, t in pairs)
