"""Real RGB-D frames that a network may learn from, as examples among the rendered ones.

`FOLDER/<source>/<place>/` holds `NNNNN.jpg`, `NNNNN.png` (16 bit, millimetres, 0 = none) and
`frames.csv` with the camera of each image. Depth of a sensor has holes, and is wrong beside edges:
the losses know it (`Batch.is_real`). Height and gravity are not known, so no ground is told.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.images import read_depth, read_image
from mono_depth.training.pool import Examples

_MILLIMETRES_PER_M = 1000.0
_LONGER_SIDE_PX = 320  # a window of it is seen at the size of a batch without aliasing
_LEAST_KNOWN = 0.05  # of the pixels


@dataclass(frozen=True, kw_only=True)
class RealFrame:
    """One real image with the depth of a sensor."""

    place: str  # "source/place"
    example: Examples  # a batch of one; depth 0 = not known


class RealFrames:
    """Frames by place: a place with many frames shall not crowd out the others."""

    def __init__(self, frames: list[RealFrame]) -> None:
        """Take over frames.

        Raises:
            ConfigError: there are none.
        """
        if not frames:
            raise ConfigError("no real frames with depth to learn from")
        self.frames = frames
        places = [frame.place for frame in frames]
        # of a place with n frames as many are drawn as the root of n says
        weights = np.array([places.count(place) ** -0.5 for place in places])
        self._chances = weights / weights.sum()

    @property
    def places(self) -> list[str]:
        """Names of the places, sorted."""
        return sorted({frame.place for frame in self.frames})

    def draw(self, count: int, rng: np.random.Generator, device: torch.device) -> list[Examples]:
        """Return `count` examples by chance, each a batch of one: their sizes differ."""
        chosen = rng.choice(len(self.frames), count, p=self._chances)
        return [_on(self.frames[int(index)].example, device) for index in chosen]


def read_real_frames(
    folder: Path, held_out: tuple[str, ...] = ()
) -> tuple[RealFrames, list[RealFrame]]:
    """Read all frames under a folder; return those to learn from and those held out.

    Args:
        folder: with a folder for each source, and in it one for each place.
        held_out: "source/place" of the places to keep apart.

    Raises:
        ConfigError: there is no such place, or nothing is left to learn from.
        FrameError: an image cannot be read.
    """
    places = sorted(path.parent for path in folder.glob("*/*/frames.csv"))
    names = {_name(place) for place in places}
    unknown = sorted(set(held_out) - names)
    if unknown:
        raise ConfigError(f"{folder} has no place {', '.join(unknown)}; it has {sorted(names)}")
    frames = [frame for place in places for frame in _frames_of(place)]
    apart = [frame for frame in frames if frame.place in held_out]
    return RealFrames([frame for frame in frames if frame.place not in held_out]), apart


def _name(place: Path) -> str:
    return f"{place.parent.name}/{place.name}"


def _frames_of(place: Path) -> list[RealFrame]:
    with (place / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [_read(place, row) for row in rows]
    return [frame for frame in found if frame is not None]


def _read(place: Path, row: dict[str, str]) -> RealFrame | None:
    name = Path(row["file"]).stem
    rgb = read_image(place / f"{name}.jpg", upright=False)
    depth_m = read_depth(place / f"{name}.png", _MILLIMETRES_PER_M)
    if rgb.shape[:2] != depth_m.shape:
        raise FrameError(f"{place / name}: image {rgb.shape[:2]}, depth {depth_m.shape}")
    height, width = depth_m.shape
    fx, fy, cx, cy = (float(row[key]) for key in ("fx", "fy", "cx", "cy"))
    camera = Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)
    example = as_example(rgb, depth_m, camera)
    return None if example is None else RealFrame(place=_name(place), example=example)


def as_example(rgb: RgbImage, depth_m: DepthImage, camera: Intrinsics) -> Examples | None:
    """Return a batch of one frame, None if too little of its depth is known.

    Args:
        rgb: (H, W, 3) uint8, rectified.
        depth_m: (H, W) metres along z, NaN or 0 = not known.
        camera: of both.
    """
    depth_m = np.nan_to_num(depth_m, nan=0.0, posinf=0.0)
    if (depth_m > 0.0).mean() < _LEAST_KNOWN:
        return None
    width, height = camera.width, camera.height
    scale = min(1.0, _LONGER_SIDE_PX / max(width, height))
    size = round(width * scale), round(height * scale)
    small = camera.scaled_to(*size)
    rgb_small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    depth_small = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
    return Examples(
        rgb=torch.from_numpy(np.ascontiguousarray(rgb_small))[None],
        depth_m=torch.from_numpy(np.asarray(depth_small, np.float32))[None],
        camera=torch.tensor([[small.fx, small.fy, small.cx, small.cy]], dtype=torch.float32),
        T_odom_camera=torch.eye(4)[None],  # at no height: the ground is not known
        glassy=torch.zeros((1, size[1], size[0]), dtype=torch.bool),
    )


def _on(example: Examples, device: torch.device) -> Examples:
    return Examples(**{name: column.to(device) for name, column in vars(example).items()})
