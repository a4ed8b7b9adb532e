"""Images and poses as recordings store them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mono_depth.camera.poses import PoseBuffer, pose_from
from mono_depth.data import DepthImage, RgbImage
from mono_depth.errors import ConfigError, FrameError

_KEEP_ALL_S = 1e8


def read_rgb(path: Path) -> RgbImage:
    """Return the (H, W, 3) image of a file.

    Raises:
        FrameError: it is not an image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FrameError(f"cannot read an image from {path}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_depth(path: Path, units_per_m: float) -> DepthImage:
    """Return the (H, W) depth of a 16-bit image, or of a .npy file in metres; NaN = unknown.

    Raises:
        FrameError: it is neither.
    """
    if path.suffix == ".npy":
        stored = np.load(path, allow_pickle=False)
        if stored.ndim != 2 or not np.issubdtype(stored.dtype, np.floating):
            raise FrameError(f"{path} holds {stored.dtype} {stored.shape}, expected (H, W) metres")
        depth_m: DepthImage = stored.astype(np.float32)
    else:
        raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
            raise FrameError(f"{path} is not a 16-bit depth image")
        depth_m = raw.astype(np.float32) / np.float32(units_per_m)
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0.0))] = np.nan
    return depth_m


def read_poses(path: Path) -> PoseBuffer:
    """Return the poses of a text file with lines `t tx ty tz qx qy qz qw`, t in seconds.

    Source: TUM RGB-D benchmark, "File Formats", trajectories.

    Raises:
        ConfigError: a line is something else.
    """
    poses = PoseBuffer(keep_s=_KEEP_ALL_S)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            stamp_text, *rest = line.split()
            x, y, z, qx, qy, qz, qw = (float(word) for word in rest)
            pose = pose_from((x, y, z), (qx, qy, qz, qw))
            if pose is None:
                raise ValueError("not a pose")
            poses.add(stamp_ns_of(stamp_text), pose)
        except ValueError:
            raise ConfigError(
                f"{path}, line {number}: {line!r}, expected t tx ty tz qx qy qz qw"
            ) from None
    return poses


def stamp_ns_of(seconds: str) -> int:
    """Return "1305031246.429654" as nanoseconds, exactly.

    Raises:
        ValueError: it is not a number of seconds.
    """
    whole, _, fraction = seconds.partition(".")
    if not (whole.isdecimal() and (fraction.isdecimal() or not fraction)):
        return round(float(seconds) * 1e9)
    return int(whole) * 10**9 + int(f"{fraction[:9]:0<9}")
