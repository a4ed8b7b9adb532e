"""Colour and depth as a consumer of the node sees them, without the filter and with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.camera.poses import Pose
from mono_depth.config import PipelineConfig
from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import ConfigError
from mono_depth.evaluation.measures.thinning import stride_of, thinned_camera
from mono_depth.evaluation.recorded_run import fitted_scale
from mono_depth.evaluation.replay import ReplayedPipeline, predict
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.sequence import FrameSequence

TRUTH = "truth"
_LEAST_FRAMES = 3  # that a trajectory has


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What consumers see of n frames: one colour stream, and depth by mode and true."""

    rgb: tuple[RgbImage, ...]
    intrinsics: Intrinsics
    T_odom_camera: tuple[Pose, ...]
    depth_m: dict[str, list[DepthImage]]


def record(
    sequence: FrameSequence,
    config: PipelineConfig,
    modes: Sequence[str],
    *,
    scale_by_truth: bool = False,
) -> Streams:
    """Run the network and every mode of the filter.

    Frames without a true pose go through the filter, but not to the consumers.

    Raises:
        ConfigError: fewer than three frames have a pose.
    """
    model = build_pipeline(config).model
    if scale_by_truth:
        config = replace(config, scale=fitted_scale(sequence, model))
    pipelines = {mode: ReplayedPipeline(model, config, mode) for mode in modes}
    rgb: list[RgbImage] = []
    poses: list[Pose] = []
    depth_m: dict[str, list[DepthImage]] = {key: [] for key in (*modes, TRUTH)}
    for frame in tqdm(sequence, desc=sequence.name, unit="frame", file=sys.stderr):
        step = stride_of(frame.rgb.shape[1])
        camera_frame = frame.as_camera_frame()
        prediction, _ = predict(model, camera_frame)
        for mode, pipeline in pipelines.items():
            found_m = pipeline.process(camera_frame, prediction).depth_m
            if frame.T_odom_camera is not None:
                depth_m[mode].append(found_m[::step, ::step].copy())
        if frame.T_odom_camera is None:
            continue
        depth_m[TRUTH].append(frame.depth_m[::step, ::step].copy())
        smooth = cv2.GaussianBlur(frame.rgb, (0, 0), 0.4 * step) if step > 1 else frame.rgb
        rgb.append(np.ascontiguousarray(smooth[::step, ::step], np.uint8))
        poses.append(frame.T_odom_camera)
        intrinsics = thinned_camera(frame.intrinsics, step)
    if len(poses) < _LEAST_FRAMES:
        raise ConfigError(f"{sequence.name}: {len(poses)} frames have a pose, expected 3 or more")
    return Streams(
        rgb=tuple(rgb), intrinsics=intrinsics, T_odom_camera=tuple(poses), depth_m=depth_m
    )
