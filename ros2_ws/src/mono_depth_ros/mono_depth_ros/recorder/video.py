"""One image of a recorded moment: camera, depth in colour with its scale, and the cloud."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, RgbImage
from mono_depth.display.colormap import (
    DisplayRange,
    add_color_bar,
    colorize_depth,
    draw_text,
    render_cloud_oblique,
)
from mono_depth_ros.recorder.recording import Moment

PANEL_HEIGHT = 360
_SWAY_DEG, _SWAY_PERIOD_S = (
    9.0,
    9.0,
)  # a viewpoint that moves shows depth better than one that rests
_SMOOTHING = 0.1


class VideoComposer:
    """Composes moments; ranges and viewpoint follow the scene slowly from one to the next."""

    def __init__(self, colormap: str = "inferno") -> None:
        self._colormap = colormap
        self._range = DisplayRange()
        self._view: npt.NDArray[np.float64] | None = None  # log reach, ground, centre
        self._first_ns: int | None = None

    def compose(self, moment: Moment, caption: str = "") -> RgbImage:
        """Return the image of a complete moment.

        Left the camera image over its depth, right the cloud where there is one.
        """
        if moment.rgb is None or moment.depth is None:
            raise ValueError("a moment without image or depth")
        height, width = moment.rgb.shape[:2]
        size = round(PANEL_HEIGHT * width / height / 2) * 2, PANEL_HEIGHT
        camera = np.asarray(cv2.resize(moment.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        depth = self._depth_panel(moment, size)
        _label(camera, "camera")
        _label(depth, "depth" if moment.is_metric else "relative depth (no unit)")
        if moment.cloud is None:
            both = np.hstack([camera, depth])
            _caption(both, caption)
            return both
        cloud = self._cloud_panel(moment, moment.cloud)
        _label(cloud, "points")
        _caption(cloud, caption)
        return np.hstack([np.vstack([camera, depth]), cloud])

    def _depth_panel(self, moment: Moment, size: tuple[int, int]) -> RgbImage:
        values = moment.depth
        if values is None:
            raise ValueError("a moment without depth")
        # Inverse depth without unit is shown as the depth it would be at some scale.
        with np.errstate(divide="ignore"):
            depth: DepthImage = values if moment.is_metric else 1.0 / values
        near, far = self._range.update(depth)
        color = colorize_depth(depth, near, far, self._colormap)
        panel = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        if not moment.is_metric:
            return panel
        return add_color_bar(panel, near, far, self._colormap)

    def _cloud_panel(self, moment: Moment, cloud: DepthImage) -> RgbImage:
        points, colors = cloud_points(cloud)
        height = 2 * PANEL_HEIGHT
        width = height * 4 // 3
        if not len(points):
            return render_cloud_oblique(points, colors, width=width, height=height)
        x, y, z = points.T
        view = np.array(
            [np.log(np.quantile(z, 0.8)), np.quantile(y, 0.98), np.median(x), np.median(y)]
        )
        was = view if self._view is None else self._view
        self._view = was + _SMOOTHING * (view - was)
        self._first_ns = moment.stamp_ns if self._first_ns is None else self._first_ns
        elapsed_s = (moment.stamp_ns - self._first_ns) * 1e-9
        slopes = x / z
        return render_cloud_oblique(
            points,
            colors,
            width=width,
            height=height,
            yaw_deg=22.0 + _SWAY_DEG * math.sin(2.0 * math.pi * elapsed_s / _SWAY_PERIOD_S),
            reach_m=math.exp(self._view[0]),
            ground_m=float(self._view[1]),
            centre_m=(float(self._view[2]), float(self._view[3])),
            spacing_rad=float(slopes.max() - slopes.min()) / cloud.shape[1],
        )


def cloud_points(cloud: DepthImage) -> tuple[DepthImage, RgbImage]:
    """Return the (N, 3) finite points and their (N, 3) colours; white where there are none.

    Args:
        cloud: (h, w, 3 or 4) float32 as in the PointCloud2: x, y, z, colour 0x00RRGGBB.
    """
    flat = np.ascontiguousarray(cloud.reshape(-1, cloud.shape[2]))
    flat = flat[np.isfinite(flat[:, :3]).all(axis=1)]
    if flat.shape[1] == 3:
        return flat, np.full(flat.shape, 255, np.uint8)
    blue_green_red = np.ascontiguousarray(flat[:, 3]).view(np.uint8).reshape(-1, 4)[:, :3]
    return flat[:, :3], np.ascontiguousarray(blue_green_red[:, ::-1])


def _label(panel: RgbImage, text: str) -> None:
    draw_text(panel, text, (12, 24), 0.55)


def _caption(panel: RgbImage, text: str) -> None:
    draw_text(panel, text, (12, panel.shape[0] - 14), 0.5)
