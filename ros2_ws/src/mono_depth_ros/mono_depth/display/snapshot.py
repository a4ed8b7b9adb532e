"""One frame and its depth as files that people and programs can open."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from mono_depth.config import CloudConfig
from mono_depth.data import DepthImage, RgbImage
from mono_depth.display.colormap import DisplayRange, add_color_bar, colorize_depth
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.files.cloud_files import cloud_ply
from mono_depth.outputs.files.depth_png import depth_png
from mono_depth.outputs.point_cloud import CloudBuilder


def write_snapshot(result: DepthResult, root: Path) -> Path:
    """Write one result into a new folder of `root`.

    Files: rgb.png; relative.npy; color.png; info.json; with a metric scale also depth_mm.png
    (16 bit, 0 = unknown, 65535 = beyond), depth_m.npy and cloud.ply.

    Returns:
        The folder, named by the stamp of the frame.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    seconds, nanoseconds = divmod(result.stamp_ns, 1_000_000_000)
    name = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y%m%d_%H%M%S")
    folder = root / f"{name}_{nanoseconds:09d}"
    folder.mkdir(parents=True, exist_ok=True)
    _write_image(folder / "rgb.png", result.rgb)
    relative: DepthImage = result.relative.cpu().numpy()
    np.save(folder / "relative.npy", relative)
    depth = np.asarray(1.0 / relative, np.float32)
    if result.depth_m is not None:
        depth = result.depth_m.cpu().numpy()
        np.save(folder / "depth_m.npy", depth)
        (folder / "depth_mm.png").write_bytes(depth_png(depth))
        _write_cloud(folder / "cloud.ply", result)
    near, far = DisplayRange().update(depth)
    painted = colorize_depth(depth, near, far)
    unit = "m" if result.scale.is_metric else ""
    _write_image(folder / "color.png", add_color_bar(painted, near, far, unit=unit))
    (folder / "info.json").write_text(json.dumps(_info(result), indent=2) + "\n")
    return folder


def _write_cloud(path: Path, result: DepthResult) -> None:
    if result.depth_m is None or result.intrinsics is None:
        return
    cloud = CloudBuilder().build(result.depth_m, result.intrinsics, CloudConfig())
    points = cloud.points.cpu().numpy().reshape(-1, 3)
    known = np.isfinite(points[:, 2])
    path.write_bytes(cloud_ply(points[known], result.rgb.reshape(-1, 3)[known]))


def _write_image(path: Path, rgb: RgbImage) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {path}")


def _info(result: DepthResult) -> dict[str, object]:
    intrinsics = result.intrinsics
    return {
        "stamp_ns": result.stamp_ns,
        "frame_id": result.frame_id,
        "kind": result.kind.value,
        "scale": {"source": result.scale.source, "state": result.scale.state},
        "planner_use": result.planner_use.value,
        "intrinsics": None if intrinsics is None else vars(intrinsics),
        "stage_ms": dict(result.stage_ms),
    }
