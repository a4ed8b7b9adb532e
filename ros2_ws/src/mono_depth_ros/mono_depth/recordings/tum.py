"""Sequences of the TUM RGB-D benchmark.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012; its web
page "File Formats" for files and units, "Intrinsic Camera Calibration of the Kinect" for cameras.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mono_depth.camera.rectify import Lens, LensModel, Rectifier
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.recordings.images import read_depth, read_image
from mono_depth.recordings.pose_file import read_poses, stamp_ns_of
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame

_UNITS_PER_M = 5000.0
_SAME_MOMENT_NS = 20_000_000
# of the colour camera, to which depth is registered: fx fy cx cy, k1 k2 p1 p2 k3
_CAMERAS = {
    "1": ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "2": ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "3": ((535.4, 539.2, 320.1, 247.6), (0.0, 0.0, 0.0, 0.0, 0.0)),
}


def open_tum(folder: Path) -> FrameSequence:
    """Open a folder such as `rgbd_dataset_freiburg1_rpy`.

    The colour camera is distorted and depth is registered to it, so both are rectified to the
    same camera matrix: colour linearly, depth by the nearest pixel. Poses of `groundtruth.txt`,
    which are those of the optical frame, are interpolated to the stamp of the colour image.

    Args:
        folder: holds rgb/, depth/, groundtruth.txt, and associations.txt with lines
            `stamp rgb_file stamp depth_file` or rgb.txt and depth.txt. Its name tells the
            camera by freiburg1 or fr1, and so on.

    Raises:
        ConfigError: files are missing, or the name tells no camera.
    """
    named = re.search(r"(?:freiburg|fr)([123])", folder.resolve().name)
    if named is None:
        raise ConfigError(
            f"the name of {folder} tells no camera: expected freiburg1, 2 or 3 in it; "
            "for cameras of your own use the format folder"
        )
    (fx, fy, cx, cy), coefficients = _CAMERAS[named[1]]
    camera = Intrinsics(width=640, height=480, fx=fx, fy=fy, cx=cx, cy=cy)
    lens = Lens(model=LensModel.POLYNOMIAL, coefficients=coefficients)
    rectifier = Rectifier(raw=camera, lens=lens, rectified=camera)
    pairs = _pairs(folder)
    poses = read_poses(_existing(folder / "groundtruth.txt"))

    def load(index: int) -> SequenceFrame:
        stamp_ns, rgb_file, depth_file = pairs[index]
        return SequenceFrame(
            rgb=rectifier.apply(read_image(folder / rgb_file, upright=False)),
            depth_m=rectifier.apply_to_depth(read_depth(folder / depth_file, _UNITS_PER_M)),
            intrinsics=camera,
            stamp_ns=stamp_ns,
            T_odom_camera=poses.at(stamp_ns),
        )

    return FrameSequence(name=folder.resolve().name, indices=range(len(pairs)), load=load)


def _pairs(folder: Path) -> list[tuple[int, str, str]]:
    """Return stamp, colour file and depth file of each frame."""
    ready = folder / "associations.txt"
    if ready.is_file():
        rows = [line.split() for line in ready.read_text(encoding="utf-8").splitlines()]
        return [(stamp_ns_of(row[0]), row[1], row[3]) for row in rows if len(row) == 4]
    color, depth = _listed(folder / "rgb.txt"), _listed(folder / "depth.txt")
    stamps_ns = np.array([stamp_ns for stamp_ns, _ in depth])
    pairs = []
    for stamp_ns, file in color:
        nearest = int(np.abs(stamps_ns - stamp_ns).argmin())
        if abs(depth[nearest][0] - stamp_ns) <= _SAME_MOMENT_NS:
            pairs.append((stamp_ns, file, depth[nearest][1]))
    return pairs


def _listed(path: Path) -> list[tuple[int, str]]:
    rows = [line.split() for line in _existing(path).read_text(encoding="utf-8").splitlines()]
    found = [(stamp_ns_of(row[0]), row[1]) for row in rows if len(row) == 2 and row[0] != "#"]
    if not found:
        raise ConfigError(f"{path} lists no image")
    return found


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"{path} is missing: a sequence of the TUM RGB-D benchmark has it")
    return path
