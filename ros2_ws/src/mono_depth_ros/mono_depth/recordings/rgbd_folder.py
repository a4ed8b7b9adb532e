"""Recordings as plain folders of colour and depth images."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mono_depth.camera.trajectory import Trajectory
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.recordings.given_camera import check_camera
from mono_depth.recordings.images import (
    images_in,
    is_hidden,
    read_depth,
    read_image,
    times_of_names,
)
from mono_depth.recordings.pose_file import read_poses, tell_coverage
from mono_depth.recordings.sequence import FrameSequence, GivenCamera, SequenceFrame
from mono_depth.recordings.text_lines import numbered_lines, stamp_ns_of

_DEPTH_TYPES = (".png", ".npy", ".tiff", ".tif", ".pfm", ".exr")


@dataclass(frozen=True, kw_only=True)
class _Camera:
    fx: float
    fy: float
    cx: float
    cy: float
    depth_units_per_m: float = 1000.0
    rate_hz: float = 15.0


def open_folder(folder: Path, given: GivenCamera | None = None) -> FrameSequence:
    """Open a folder of rectified images with depth.

    Args:
        folder: holds
            rgb/ (or color/): NAME.png, .jpg or of another of `IMAGE_TYPES`;
            depth/: NAME.png, 16-bit, 0 = unknown, or float metres as NAME.npy, .tiff, .pfm, .exr;
            of the same size; names may differ in what is not a number;
            intrinsics.json: fx, fy, cx, cy, and if they differ from the defaults
            depth_units_per_m (1000) and rate_hz (15); `intrinsic_matrix`, column by column, as
            Open3D writes it, may stand for the first four. Or intrinsics.txt: the 3x3 matrix;
            poses.txt, if poses are known: lines `t tx ty tz qx qy qz qw` of the optical frame.
            A NAME with a point, such as 12.345, is a time in seconds, one of 13 digits and more
            in milli-, micro- or nanoseconds; else frames follow each other at rate_hz from t = 0.
        given: what takes the place of the intrinsics file.

    Raises:
        ConfigError: files are missing or do not fit.
    """
    camera, pairs = _camera(folder, given), _pairs(folder)
    # also those without depth take their time
    places = {file: place for place, file in enumerate(images_in(pairs[0][0].parent))}
    stamps_ns = times_of_names([rgb.stem for rgb, _ in pairs]) or [
        _stamp_ns(rgb, places[rgb], camera) for rgb, _ in pairs
    ]
    check_camera(camera.fx, camera.fy, camera.cx, camera.cy, pairs[0][0])
    poses_file = folder / "poses.txt"
    poses = read_poses(poses_file) if poses_file.is_file() else Trajectory()
    tell_coverage(poses, stamps_ns, str(folder))

    def load(index: int) -> SequenceFrame:
        rgb_file, depth_file = pairs[index]
        rgb = read_image(rgb_file, upright=False)
        depth_m = read_depth(depth_file, camera.depth_units_per_m)
        if rgb.shape[:2] != depth_m.shape:
            raise ConfigError(
                f"{rgb_file} is {rgb.shape[1]}x{rgb.shape[0]}, "
                f"{depth_file} is {depth_m.shape[1]}x{depth_m.shape[0]}"
            )
        height, width = depth_m.shape
        return SequenceFrame(
            rgb=rgb,
            depth_m=depth_m,
            intrinsics=Intrinsics(
                width=width, height=height, fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy
            ),
            stamp_ns=stamps_ns[index],
            T_odom_camera=poses.at(stamps_ns[index]),
        )

    return FrameSequence(name=folder.resolve().name, indices=range(len(pairs)), load=load)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the colour and depth file of each frame, by name."""
    color_folder = next((folder / n for n in ("rgb", "color") if (folder / n).is_dir()), None)
    if color_folder is None:
        raise ConfigError(f"{folder} has no folder rgb/ or color/")
    files = [file for file in sorted((folder / "depth").glob("*")) if not is_hidden(file)]
    depth = {f.stem: f for f in files if f.suffix.lower() in _DEPTH_TYPES}
    color = images_in(color_folder)
    pairs = [(file, depth[file.stem]) for file in color if file.stem in depth]
    pairs = pairs or _by_number(color, list(depth.values()))
    if not pairs:
        others = {f.suffix for f in files} - set(_DEPTH_TYPES)
        told = f"; depth of type {', '.join(sorted(others))[:80]} is not read" if others else ""
        raise ConfigError(
            f"of {len(color)} images in {color_folder} and {len(depth)} in {folder / 'depth'} "
            f"none have the same name{told}; expected {', '.join(_DEPTH_TYPES)}"
        )
    return pairs


def _by_number(color: list[Path], depth: list[Path]) -> list[tuple[Path, Path]]:
    """Pair rgb_7.png with depth_0007.png, where numbers tell files apart."""
    by_number = {_numbers(file): file for file in depth}
    numbers = [_numbers(file) for file in color]
    if len(by_number) < len(depth) or len(set(numbers)) < len(color) or () in numbers:
        return []
    pairs = zip(color, numbers, strict=True)
    return [(file, by_number[number]) for file, number in pairs if number in by_number]


def _numbers(file: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,20}", file.stem))


def _stamp_ns(rgb_file: Path, index: int, camera: _Camera) -> int:
    if "." in rgb_file.stem:
        try:
            return stamp_ns_of(rgb_file.stem)
        except ValueError:
            pass
    return round(index * 1e9 / camera.rate_hz)


def _camera(folder: Path, given: GivenCamera | None) -> _Camera:
    """Return the camera of a folder; what is given takes the place of what is written there."""
    if given is not None and given.fx_fy_cx_cy is not None:
        fx, fy, cx, cy = given.fx_fy_cx_cy
        camera = _Camera(fx=fx, fy=fy, cx=cx, cy=cy)
    else:
        camera = _written_camera(folder)
    if given is not None and given.depth_units_per_m is not None:
        camera = replace(camera, depth_units_per_m=given.depth_units_per_m)
    numbers = (camera.fx, camera.fy, camera.depth_units_per_m, camera.rate_hz)
    if (
        not all(0.0 < number < np.inf for number in numbers)
        or not np.isfinite((camera.cx, camera.cy)).all()
    ):
        raise ConfigError(
            f"the intrinsics in {folder} are not a camera: fx, fy, depth_units_per_m, rate_hz = "
            f"{numbers}, expected finite numbers above 0"
        )
    return camera


def _written_camera(folder: Path) -> _Camera:
    table, matrix = folder / "intrinsics.json", folder / "intrinsics.txt"
    try:
        if table.is_file():
            return _from_json(json.loads(table.read_text(encoding="utf-8-sig")))
        if matrix.is_file():
            rows = [line.replace(",", " ").split() for _, line in numbered_lines(matrix)]
            numbers = np.array([float(word) for row in rows for word in row])
            return _from_matrix(numbers.reshape(3, 3), {})
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        reason = str(error)[:200]
        raise ConfigError(f"the intrinsics in {folder} are not a camera: {reason}") from error
    raise ConfigError(
        f"{folder} has neither intrinsics.json nor intrinsics.txt; --camera FX FY CX CY gives them"
    )


def _from_json(given: dict[str, Any]) -> _Camera:
    optional = ("depth_units_per_m", "rate_hz")
    other: dict[str, float] = {name: float(given[name]) for name in optional if name in given}
    if "intrinsic_matrix" in given:
        return _from_matrix(np.reshape(given["intrinsic_matrix"], (3, 3)).T, other)
    missing = {"fx", "fy", "cx", "cy"} - given.keys()
    if missing:
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    return _Camera(**{name: float(given[name]) for name in ("fx", "fy", "cx", "cy")}, **other)


def _from_matrix(K: np.ndarray[Any, Any], other: dict[str, float]) -> _Camera:
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    return _Camera(fx=fx, fy=fy, cx=cx, cy=cy, **other)
