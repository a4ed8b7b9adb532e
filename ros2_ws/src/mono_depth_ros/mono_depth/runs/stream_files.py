"""Files that all frames of a run go into, in their order: a video, a bag, a mesh."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np

from mono_depth.camera.poses import Pose
from mono_depth.data import DepthImage, Frame, Intrinsics, RgbImage
from mono_depth.display.video import VideoWriter
from mono_depth.errors import ConfigError
from mono_depth.evaluation.measures.thinning import stride_of, thinned_camera
from mono_depth.runs.depth_bag import DepthBag
from mono_depth.runs.frame_maps import FrameMaps
from mono_depth.runs.options import RunOptions
from mono_depth.runs.output_folder import OutputFolder

_MOST_KEPT = 300  # frames of a mesh; of a longer recording every second, fourth ... is
_LEAST_POSES = 3
_VOXELS = 60.0


class StreamFile(ABC):
    """A file that grows with each frame."""

    @abstractmethod
    def add(self, frame: Frame, maps: FrameMaps) -> str:
        """Take in a frame. Returns why it was left out, "" = it was not."""

    @abstractmethod
    def finish(self, folder: OutputFolder) -> str:
        """Give the file its name in the folder. Returns why there is none, "" = there is."""

    @abstractmethod
    def abandon(self) -> None:
        """Close what is open; nothing is kept."""


def stream_files(folder: OutputFolder, options: RunOptions, rate_hz: float) -> list[StreamFile]:
    """Return what `options` ask for.

    Raises:
        ConfigError: a package that one of them needs is missing.
    """
    found: list[StreamFile] = []
    if "mp4" in options.outputs:
        found.append(_ColorVideo(folder.growing("color.mp4"), rate_hz / options.every))
    if "mcap" in options.outputs:
        found.append(_Bag(folder.growing("recording"), options))
    if "mesh" in options.outputs:
        found.append(_Mesh(folder.growing("mesh.ply"), options))
    return found


class _ColorVideo(StreamFile):
    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path, self._writer = path, VideoWriter(path, rate_hz)
        self._size: tuple[int, ...] | None = None

    def add(self, frame: Frame, maps: FrameMaps) -> str:
        shape = maps.color.shape
        self._size = self._size or shape
        if shape != self._size:
            return "color.mp4: its size is not that of the first frame"
        self._writer.add(maps.color)
        return ""

    def finish(self, folder: OutputFolder) -> str:
        self._writer.close()
        if self._size is None:
            return "color.mp4: there are no frames"
        folder.finish("color.mp4")
        return ""

    def abandon(self) -> None:
        self._writer.close()


class _Bag(StreamFile):
    def __init__(self, path: Path, options: RunOptions) -> None:
        self._bag = DepthBag(path)
        self._options = options

    def add(self, frame: Frame, maps: FrameMaps) -> str:
        self._bag.add(frame, maps.depth_m, maps.points, maps.result.rgb)
        return ""

    def finish(self, folder: OutputFolder) -> str:
        self._bag.close()
        folder.finish("recording")
        return ""

    def abandon(self) -> None:
        self._bag.close()


class _Mesh(StreamFile):
    """Keeps small copies of frames with poses; Open3D fuses them at the end."""

    def __init__(self, path: Path, options: RunOptions) -> None:
        from mono_depth.evaluation.consumer import reconstruction  # Open3D: seconds, and an extra

        self._open3d = reconstruction
        self._path, self._options = path, options
        self._kept: list[tuple[RgbImage, DepthImage, Pose]] = []
        self._camera: Intrinsics | None = None
        self._step, self._seen = 1, 0

    def add(self, frame: Frame, maps: FrameMaps) -> str:
        if frame.T_odom_camera is None or maps.depth_m is None or frame.intrinsics is None:
            return ""
        index, self._seen = self._seen, self._seen + 1
        if index % self._step:
            return ""
        stride = stride_of(frame.intrinsics.width)
        camera = thinned_camera(frame.intrinsics, stride)
        self._camera = self._camera or camera
        if camera != self._camera:
            return "mesh.ply: its camera is not that of the first frame"
        small = cv2.GaussianBlur(frame.rgb, (0, 0), 0.4 * stride) if stride > 1 else frame.rgb
        rgb = np.ascontiguousarray(small[::stride, ::stride], np.uint8)
        self._kept.append((rgb, maps.depth_m[::stride, ::stride].copy(), frame.T_odom_camera))
        if len(self._kept) > _MOST_KEPT:
            self._kept, self._step = self._kept[::2], 2 * self._step
        return ""

    def finish(self, folder: OutputFolder) -> str:
        if self._camera is None or len(self._kept) < _LEAST_POSES:
            return f"no mesh.ply: {len(self._kept)} frames have a pose and metres, expected 3"
        images = [self._open3d.RgbdImage(rgb=rgb, depth_m=depth) for rgb, depth, _ in self._kept]
        poses, reach_m = [pose for _, _, pose in self._kept], self._options.cloud_max_m
        voxel_m = self._options.voxel_m or reach_m / _VOXELS
        mesh = self._open3d.fused_mesh(images, poses, self._camera, voxel_m, reach_m)
        self._open3d.write_mesh(mesh, self._path)
        if not self._path.is_file():
            raise ConfigError("Open3D could not write mesh.ply")
        folder.finish("mesh.ply")
        return ""

    def abandon(self) -> None:
        self._kept.clear()
