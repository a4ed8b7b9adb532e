"""Scans of estimated depth against those of a depth sensor, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import PipelineConfig, ScaleConfig, ScanConfig, TemporalConfig
from mono_depth.data import DepthImage, Intrinsics
from mono_depth.errors import ModelError
from mono_depth.evaluation.robot.sensor_ground import SensorGround, sensor_ground
from mono_depth.outputs.scan import Scan, scan_of
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.real_frames import lingbot_frames, realsense_frames
from mono_depth.recordings.rgbd_folder import open_folder
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.recordings.tum import open_tum

Ranges = npt.NDArray[np.float64]  # (n,) [m], +Inf = clear, NaN = not seen

FAR_M = 0.3  # so much farther than the sensor says is dangerous
NEAR_M = 1.0  # obstacles that a robot must not miss

_HEAD = (
    "| set | told | frames | bearings | median error [m] | clear, but an obstacle [%] | "
    "too far by 0.3 m [%] | too near by 0.3 m [%] | nearer than 1 m, missed by 0.3 m [%] | "
    "obstacle, but clear [%] |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class ScanErrors:
    """Counts over bearings of which the sensor tells something."""

    frames: int
    bearings: int  # where the sensor sees an obstacle
    median_error_m: float  # where both see one
    said_clear: float  # shares of `bearings`: called clear
    too_far: float  # farther by more than FAR_M, clear or not seen
    too_near: float  # nearer by more than FAR_M
    near_missed: float  # share of those nearer than NEAR_M that are too far
    phantom: float  # share of the bearings that are clear by the sensor, where an obstacle is seen

    @classmethod
    def of(cls, pairs: Iterable[tuple[Ranges, Ranges]]) -> ScanErrors:
        """Return the errors of pairs of ranges: by the sensor, and by the estimate."""
        kept = list(pairs)
        true = np.concatenate([pair[0] for pair in kept] or [np.empty(0)])
        told = np.concatenate([pair[1] for pair in kept] or [np.empty(0)])
        is_hit = np.isfinite(true)
        farther = np.where(np.isfinite(told), told - true, np.inf)[is_hit]
        both = np.isfinite(farther)
        near = true[is_hit] < NEAR_M
        return cls(
            frames=len(kept),
            bearings=int(is_hit.sum()),
            median_error_m=_median(np.abs(farther[both])),
            said_clear=_share(np.isposinf(told[is_hit])),
            too_far=_share(farther > FAR_M),
            too_near=_share(farther < -FAR_M),
            near_missed=_share(farther[near] > FAR_M),
            phantom=_share(np.isfinite(told[np.isposinf(true)])),
        )

    def row(self, name: str, told: str) -> str:
        """Return a row of the table."""
        shares = (self.said_clear, self.too_far, self.too_near, self.near_missed, self.phantom)
        cells = " | ".join("" if np.isnan(share) else f"{100 * share:.1f}" for share in shares)
        return (
            f"| {name} | {told} | {self.frames} | {self.bearings} | "
            f"{self.median_error_m:.2f} | {cells} |"
        )


def markdown(data: Path, model: str = "nano", every: int = 5) -> str:
    """Return the table of a model on the real recordings under a folder.

    Args:
        data: folder with the recordings.
        model: entry of the registry.
        every: of recordings, every n-th frame is taken.
    """
    rows = [_HEAD]
    pipeline = build_pipeline(_config(model, 0.0))
    for name, frames in _sets(data, every).items():
        known = list(with_ground(frames))
        for told in ("image", "image, height, gravity"):
            errors = ScanErrors.of(
                compare(pipeline, model, frame, ground, has_hints=told != "image")
                for frame, ground in known
            )
            rows.append(errors.row(name, told))
    return "\n".join(rows)


def with_ground(
    frames: Iterable[SequenceFrame],
) -> Iterator[tuple[SequenceFrame, SensorGround]]:
    """Yield the frames whose sensor sees the ground, with gravity and the camera's height."""
    for frame in frames:
        ground = sensor_ground(frame.depth_m, frame.intrinsics)
        if ground is not None:
            yield frame, ground


def compare(
    pipeline: DepthPipeline,
    model: str,
    frame: SequenceFrame,
    ground: SensorGround,
    *,
    has_hints: bool,
) -> tuple[Ranges, Ranges]:
    """Return the ranges of one frame by its sensor, and by the depth of its image."""
    known = replace(
        frame.as_camera_frame(),
        T_odom_camera=None,
        sparse_points_m=None,
        gravity_camera=ground.gravity_camera if has_hints else None,
        camera_height_m=ground.camera_height_m if has_hints else None,
    )
    pipeline.reset()
    pipeline.reconfigure(_config(model, ground.camera_height_m if has_hints else 0.0))
    result = pipeline.process(known)
    small_m = result.network_depth_m
    if small_m is None:
        raise ModelError(f"{model} gives no metres: {result.scale.reason}")
    camera = frame.intrinsics.scaled_to(small_m.shape[1], small_m.shape[0])
    by_sensor = scan(_thinned(frame.depth_m, camera), camera, ground)
    by_image = scan(small_m.cpu(), camera, ground)
    return (
        by_sensor.ranges_m.numpy().astype(np.float64),
        by_image.ranges_m.numpy().astype(np.float64),
    )


def scan(depth_m: torch.Tensor, camera: Intrinsics, ground: SensorGround) -> Scan:
    """Return the scan of a depth map over the ground that its sensor sees."""
    return scan_of(
        depth_m, None, camera, ground.R_level_camera, ground.camera_height_m, ScanConfig()
    )


def _thinned(depth_m: DepthImage, camera: Intrinsics) -> torch.Tensor:
    """Return the pixels of a map at the middles of those of a smaller one."""
    height, width = depth_m.shape
    rows = ((np.arange(camera.height) + 0.5) * height / camera.height).astype(int)
    columns = ((np.arange(camera.width) + 0.5) * width / camera.width).astype(int)
    return torch.from_numpy(depth_m[rows[:, None], columns[None, :]])


def _config(model: str, height_m: float) -> PipelineConfig:
    return PipelineConfig(
        model=model,
        scale=ScaleConfig(source="auto", camera_height_m=height_m, keep=False),
        temporal=TemporalConfig(mode="none"),
    )


def _sets(data: Path, every: int) -> Mapping[str, Iterable[SequenceFrame]]:
    return {
        "floor (RealSense)": realsense_frames(data / "realsense_floor"),
        "rooms (LingBot)": lingbot_frames(data / "lingbot_rgbd"),
        "lab, carried low": open_folder(data / "lab_motion").thinned(every=every),
        "desk (TUM fr1/rpy)": open_tum(data / "tum_fr1_rpy").thinned(every=every),
    }


def _median(values: Ranges) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else np.nan
