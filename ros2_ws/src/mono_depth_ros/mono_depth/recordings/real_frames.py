"""Real RGB-D frames that are no recordings: single views, in the layouts of their publishers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.recordings.images import read_depth, read_image
from mono_depth.recordings.sequence import SequenceFrame

_MILLIMETRES_PER_M = 1000.0


def realsense_frames(folder: Path) -> Iterator[SequenceFrame]:
    """Yield the views of a folder with `color/`, `depth/` and `cam_params_realsense.json`.

    The JSON holds the camera matrix column by column, as Open3D writes it. RealSense depth aligned
    to colour has no distortion to remove.
    """
    camera = json.loads((folder / "cam_params_realsense.json").read_text(encoding="utf-8"))
    K = np.array(camera["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
    for index, path in enumerate(sorted((folder / "color").glob("*.png"))):
        yield _frame(index, path, folder / "depth" / path.name, K)


def lingbot_frames(folder: Path, names: tuple[str, ...] = ("0", "4")) -> Iterator[SequenceFrame]:
    """Yield examples of LingBot-Depth: per name `rgb.png` or `.jpg`, `raw_depth.png`, 3x3 K."""
    for index, name in enumerate(names):
        example = folder / name
        (rgb,) = example.glob("rgb.*")
        K = np.loadtxt(example / "intrinsics.txt").reshape(3, 3)
        yield _frame(index, rgb, example / "raw_depth.png", K)


def _frame(
    index: int, rgb_path: Path, depth_path: Path, K: npt.NDArray[np.float64]
) -> SequenceFrame:
    rgb = read_image(rgb_path, upright=False)
    height, width = rgb.shape[:2]
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    return SequenceFrame(
        rgb=rgb,
        depth_m=read_depth(depth_path, _MILLIMETRES_PER_M),
        intrinsics=Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy),
        stamp_ns=index,  # separate views: only their order means anything
    )
