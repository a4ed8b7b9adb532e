"""Real RGB-D frames with ground truth, in the layouts of their publishers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import FrameError

# Source: TUM RGB-D benchmark, "Intrinsic Camera Calibration of the Kinect", freiburg 1 RGB
_TUM_FR1 = Intrinsics(width=640, height=480, fx=517.3, fy=516.5, cx=318.6, cy=255.3)
_TUM_FR1_DISTORTION = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)  # plumb_bob: k1 k2 p1 p2 k3
_TUM_UNITS_PER_M = 5000.0
_MILLIMETRES_PER_M = 1000.0


@dataclass(frozen=True, kw_only=True)
class RgbdFrame:
    """A rectified image with measured depth."""

    name: str
    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: DepthImage  # (H, W), NaN = not measured
    intrinsics: Intrinsics


def tum_frames(folder: Path, every: int = 1) -> Iterator[RgbdFrame]:
    """Yield every n-th frame of a freiburg1 sequence of the TUM RGB-D benchmark.

    The colour camera is distorted and the depth is registered to it, so both are rectified with
    the same map to the same camera matrix: colour linearly, depth by the nearest pixel.

    Args:
        folder: holds `associations.txt` with lines `stamp rgb_file stamp depth_file`.
        every: 1 = all frames.
    """
    K, size = _TUM_FR1.matrix(), (_TUM_FR1.width, _TUM_FR1.height)
    distortion = np.array(_TUM_FR1_DISTORTION)
    map_x, map_y = cv2.initUndistortRectifyMap(K, distortion, np.eye(3), K, size, cv2.CV_32FC1)
    lines = (folder / "associations.txt").read_text().splitlines()
    for line in lines[::every]:
        _, rgb_file, _, depth_file = line.split()
        rgb = _read_rgb(folder / rgb_file)
        depth_m = _read_depth(folder / depth_file, _TUM_UNITS_PER_M)
        yield RgbdFrame(
            name=Path(rgb_file).stem,
            rgb=np.asarray(cv2.remap(rgb, map_x, map_y, cv2.INTER_LINEAR), dtype=np.uint8),
            depth_m=np.asarray(
                cv2.remap(depth_m, map_x, map_y, cv2.INTER_NEAREST, borderValue=np.nan),
                dtype=np.float32,
            ),
            intrinsics=_TUM_FR1,
        )


def realsense_frames(folder: Path) -> Iterator[RgbdFrame]:
    """Yield frames of a folder with `color/`, `depth/` and `cam_params_realsense.json`.

    The JSON holds the camera matrix column by column, as Open3D writes it. RealSense depth aligned
    to colour has no distortion to remove.
    """
    camera = json.loads((folder / "cam_params_realsense.json").read_text())
    K = np.array(camera["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
    for path in sorted((folder / "color").glob("*.png")):
        yield _frame(path.stem, path, folder / "depth" / path.name, K)


def lingbot_frames(folder: Path, names: tuple[str, ...] = ("0", "4")) -> Iterator[RgbdFrame]:
    """Yield examples of LingBot-Depth: per name `rgb.png` or `.jpg`, `raw_depth.png`, 3x3 K."""
    for name in names:
        example = folder / name
        rgb = next(path for path in sorted(example.glob("rgb.*")))
        K = np.loadtxt(example / "intrinsics.txt").reshape(3, 3)
        yield _frame(name, rgb, example / "raw_depth.png", K)


def _frame(name: str, rgb_path: Path, depth_path: Path, K: npt.NDArray[np.float64]) -> RgbdFrame:
    rgb = _read_rgb(rgb_path)
    height, width = rgb.shape[:2]
    return RgbdFrame(
        name=name,
        rgb=rgb,
        depth_m=_read_depth(depth_path, _MILLIMETRES_PER_M),
        intrinsics=Intrinsics(
            width=width, height=height, fx=K[0, 0], fy=K[1, 1], cx=K[0, 2], cy=K[1, 2]
        ),
    )


def _read_rgb(path: Path) -> RgbImage:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FrameError(f"cannot read an image from {path}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _read_depth(path: Path, units_per_m: float) -> DepthImage:
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
        raise FrameError(f"{path} is not a 16-bit depth image")
    depth_m = raw.astype(np.float32) / np.float32(units_per_m)
    depth_m[raw == 0] = np.nan
    return depth_m
