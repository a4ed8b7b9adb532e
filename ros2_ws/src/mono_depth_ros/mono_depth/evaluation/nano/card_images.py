"""Draw what the built-in network makes of real images, for its model card.

Frames are evenly spaced, not chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.display.colormap import add_color_bar, colorize_depth, draw_text
from mono_depth.evaluation.nano.hints_table import find_ground
from mono_depth.models.nano.model import Nano
from mono_depth.models.protocol import Hints
from mono_depth.recordings.image_set import read_image_set
from mono_depth.recordings.real_frames import lingbot_frames, realsense_frames
from mono_depth.system.resources import share_dir

_WITH_HOLES = ("1", "6")  # examples with glass and mirrors
_VIDEOS = (Path("highway") / "solidWhiteRight.mp4", Path("robot_lab_rgb"))
_OF_A_VIDEO = 4
_OF_THE_FLOOR = 2
_WIDTH_PX = 400
_JPEG_QUALITY = 88


def write_images(data: Path, out: Path, weights: Path | None) -> None:
    """Write `completion.jpg`, `ground.jpg` and `videos.jpg`.

    Args:
        data: folder with the real recordings.
        out: folder for the images; is made.
        weights: of the network; None = those that ship.
    """
    weights = weights or share_dir() / "models" / "nano.safetensors"
    model = Nano.load(weights, torch.device("cpu"))
    out.mkdir(parents=True, exist_ok=True)
    drawn = {"completion.jpg": completion, "ground.jpg": ground, "films.jpg": videos}
    for name, draw in tqdm(drawn.items(), desc="pictures", file=sys.stderr):
        bgr = cv2.cvtColor(draw(model, data), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(out / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def completion(model: Nano, data: Path) -> RgbImage:
    """Return a row for each example: image, depth of the sensor, the same completed."""
    rows = []
    for frame in lingbot_frames(data / "lingbot_rgbd", _WITH_HOLES):
        hints = Hints(depth_m=torch.from_numpy(frame.depth_m), keeps_depth=True)
        rgb = torch.from_numpy(frame.rgb)
        completed_m = model.infer_guided(rgb, frame.intrinsics, hints).values.numpy()
        near_m, far_m = _range(completed_m)
        hole = float(np.mean(~np.isfinite(frame.depth_m)))
        sensor = _small(colorize_depth(frame.depth_m, near_m, far_m))
        draw_text(sensor, f"sensor, {hole:.0%} without depth", (8, 18), 0.5)
        filled = _small(colorize_depth(completed_m, near_m, far_m))
        rows.append([_small(frame.rgb), sensor, add_color_bar(filled, near_m, far_m)])
    return _sheet(rows)


def ground(model: Nano, data: Path) -> RgbImage:
    """Return a row for each view from the floor: image, depth without and with it, the truth."""
    rows = []
    for number, frame in enumerate(realsense_frames(data / "realsense_floor")):
        known = find_ground(frame, np.random.default_rng([number, 7]))
        if known is None:
            continue
        hints = Hints(camera_height_m=known.height_m, gravity_camera=known.gravity_camera)
        rgb = torch.from_numpy(frame.rgb)
        alone_m = model.infer(rgb, frame.intrinsics).values.numpy()
        told_m = model.infer_guided(rgb, frame.intrinsics, hints).values.numpy()
        near_m, far_m = _range(frame.depth_m)
        painted = [
            _small(colorize_depth(depth_m, near_m, far_m))
            for depth_m in (alone_m, told_m, frame.depth_m)
        ]
        texts = ("image alone", f"height {known.height_m:.2f} m and gravity", "sensor")
        for image, text in zip(painted, texts, strict=True):
            draw_text(image, text, (8, 18), 0.5)
        painted[-1] = add_color_bar(painted[-1], near_m, far_m)
        rows.append([_small(frame.rgb), *painted])
    return _sheet(rows[:: len(rows) // _OF_THE_FLOOR or 1][:_OF_THE_FLOOR])


def videos(model: Nano, data: Path) -> RgbImage:
    """Return two rows for each video: images, and their depth with a camera of usual width."""
    rows = []
    for video in _VIDEOS:
        shown = read_image_set(str(data / video), most=_OF_A_VIDEO).images
        depths = [
            model.infer(torch.from_numpy(rgb), Intrinsics.assumed_for(rgb)).values.numpy()
            for rgb in shown
        ]
        near_m, far_m = _range(np.concatenate([depth_m.ravel() for depth_m in depths]))
        painted = [_small(colorize_depth(depth_m, near_m, far_m)) for depth_m in depths]
        painted[-1] = add_color_bar(painted[-1], near_m, far_m)
        rows += [[_small(rgb) for rgb in shown], painted]
    return _sheet(rows)


def _range(depth_m: DepthImage) -> tuple[float, float]:
    near_m, far_m = np.nanpercentile(depth_m, (1.0, 99.0))
    return float(near_m), float(far_m)


def _small(image: RgbImage) -> RgbImage:
    height = round(image.shape[0] * _WIDTH_PX / image.shape[1])
    interpolation = cv2.INTER_AREA if image.shape[1] > _WIDTH_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (_WIDTH_PX, height), interpolation=interpolation), np.uint8)


def _sheet(rows: Sequence[Sequence[RgbImage]]) -> RgbImage:
    """Put images side by side, every row cut to its lowest and all to the narrowest."""
    lines = []
    for row in rows:
        height = min(image.shape[0] for image in row)
        lines.append(np.concatenate([image[:height] for image in row], axis=1))
    width = min(line.shape[1] for line in lines)
    return np.concatenate([line[:, :width] for line in lines])
