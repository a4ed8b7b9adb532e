"""Sequences of the TUM RGB-D benchmark.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012; its web
page "File Formats" for files and units, "Intrinsic Camera Calibration of the Kinect" for cameras.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mono_depth.camera.rectify import Lens, LensModel, Rectifier
from mono_depth.data import Intrinsics, RgbImage
from mono_depth.errors import ConfigError
from mono_depth.recordings.given_camera import check_camera
from mono_depth.recordings.images import read_depth, read_image
from mono_depth.recordings.pose_file import read_poses, tell_coverage
from mono_depth.recordings.sequence import FrameSequence, GivenCamera, SequenceFrame
from mono_depth.recordings.text_lines import numbered_lines, stamp_ns_of

_UNITS_PER_M = 5000.0
_SAME_MOMENT_NS = 20_000_000
_NO_STAMP = 2**62
_CAMERA_IN_NAME = re.compile(r"(?<![a-z0-9])(?:freiburg|fr)([123])(?![0-9a-z])", re.IGNORECASE)
# of the colour camera, to which depth is registered: fx fy cx cy, k1 k2 p1 p2 k3
_CAMERAS = {
    "1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": ((535.4, 539.2, 320.1, 247.6), (0.0, 0.0, 0.0, 0.0, 0.0)),
}


def open_tum(folder: Path, given: GivenCamera | None = None) -> FrameSequence:
    """Open a folder such as `rgbd_dataset_freiburg1_rpy`.

    The colour camera is distorted and depth is registered to it, so both are rectified to the
    same camera matrix: colour linearly, depth by the nearest pixel. Poses of `groundtruth.txt`,
    which are those of the optical frame, are interpolated to the stamp of the colour image.

    Args:
        folder: holds rgb/, depth/, groundtruth.txt, and associations.txt with lines
            `stamp rgb_file stamp depth_file` or rgb.txt and depth.txt. Its name, or that of the
            folder behind a link, tells the camera by freiburg1 or fr1, and so on.
        given: the camera of its rectified images, and the units of its depth (5000).

    Raises:
        ConfigError: files are missing, or the name tells no camera.
    """
    units_per_m = (given.depth_units_per_m if given else None) or _UNITS_PER_M
    lens = _lens(folder) if given is None or given.fx_fy_cx_cy is None else None
    pairs = _pairs(folder)
    if given is not None and given.fx_fy_cx_cy is not None:
        check_camera(*given.fx_fy_cx_cy, folder / pairs[0][1])
    poses = read_poses(_existing(folder / "groundtruth.txt"))
    tell_coverage(poses, [stamp_ns for stamp_ns, _, _ in pairs], str(folder))

    def load(index: int) -> SequenceFrame:
        stamp_ns, rgb_file, depth_file = pairs[index]
        rgb = read_image(folder / rgb_file, upright=False)
        depth_m = read_depth(folder / depth_file, units_per_m)
        if rgb.shape[:2] != depth_m.shape:
            raise ConfigError(
                f"{rgb_file} is {rgb.shape[1]}x{rgb.shape[0]}, "
                f"{depth_file} is {depth_m.shape[1]}x{depth_m.shape[0]}"
            )
        if lens is None:
            camera = _given_camera(given, rgb)
        else:
            camera = lens.intrinsics
            rgb, depth_m = lens.apply(rgb), lens.apply_to_depth(depth_m)
        return SequenceFrame(
            rgb=rgb,
            depth_m=depth_m,
            intrinsics=camera,
            stamp_ns=stamp_ns,
            T_odom_camera=poses.at(stamp_ns),
        )

    return FrameSequence(name=folder.resolve().name, indices=range(len(pairs)), load=load)


def _lens(folder: Path) -> Rectifier:
    """Return what rectifies the images of a folder, by its name."""
    names = (folder.absolute().name, folder.resolve().name)
    named = next(filter(None, map(_CAMERA_IN_NAME.search, names)), None)
    if named is None:
        raise ConfigError(
            f"the name of {folder} tells no camera: expected freiburg1, 2 or 3 in it; for cameras "
            "of your own give --camera FX FY CX CY, or use the format folder"
        )
    (fx, fy, cx, cy), coefficients = _CAMERAS[named[1]]
    camera = Intrinsics(width=640, height=480, fx=fx, fy=fy, cx=cx, cy=cy)
    lens = Lens(model=LensModel.POLYNOMIAL, coefficients=coefficients)
    return Rectifier(raw=camera, lens=lens, rectified=camera)


def _given_camera(given: GivenCamera | None, rgb: RgbImage) -> Intrinsics:
    if given is None or given.fx_fy_cx_cy is None:
        raise ConfigError("no camera is given")
    fx, fy, cx, cy = given.fx_fy_cx_cy
    return Intrinsics(width=rgb.shape[1], height=rgb.shape[0], fx=fx, fy=fy, cx=cx, cy=cy)


def _pairs(folder: Path) -> list[tuple[int, str, str]]:
    """Return stamp, colour file and depth file of each frame, by stamp."""
    ready = folder / "associations.txt"
    if ready.is_file():
        rows = [(stamp_ns, words[1], words[3]) for stamp_ns, words in _rows(ready, 4)]
        return sorted(rows)
    color, depth = _listed(folder / "rgb.txt"), _listed(folder / "depth.txt")
    stamps_ns = np.array([stamp_ns for stamp_ns, _ in depth], np.int64)
    pairs = []
    for stamp_ns, file in color:
        nearest = int(np.abs(stamps_ns - stamp_ns).argmin())
        if abs(depth[nearest][0] - stamp_ns) <= _SAME_MOMENT_NS:
            pairs.append((stamp_ns, file, depth[nearest][1]))
    if not pairs:
        raise ConfigError(f"{folder}: no image of rgb.txt has depth of depth.txt within 20 ms")
    return sorted(pairs)


def _listed(path: Path) -> list[tuple[int, str]]:
    return [(stamp_ns, words[1]) for stamp_ns, words in _rows(_existing(path), 2)]


def _rows(path: Path, count: int) -> list[tuple[int, list[str]]]:
    """Return the lines of so many words that begin with a time, with that.

    Raises:
        ConfigError: there are none, or such a line begins with something else.
    """
    found = []
    for number, line in numbered_lines(path):
        words = line.split()
        if len(words) != count:
            continue
        try:
            stamp_ns = stamp_ns_of(words[0])
        except (ValueError, OverflowError):
            stamp_ns = _NO_STAMP
        if not 0 <= stamp_ns < _NO_STAMP:
            raise ConfigError(f"{path}, line {number}: {line[:120]!r} does not begin with a time")
        found.append((stamp_ns, words))
    if not found:
        raise ConfigError(f"{path} lists no image")
    return found


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"{path} is missing: a sequence of the TUM RGB-D benchmark has it")
    return path
