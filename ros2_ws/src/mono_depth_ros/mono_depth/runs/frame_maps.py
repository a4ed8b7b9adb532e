"""The maps of one result on the host, each made once, when first asked for."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from mono_depth.config import CloudConfig
from mono_depth.data import DepthImage, RgbImage
from mono_depth.display.colormap import DisplayRange, add_color_bar, colorize_depth
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth.runs.options import RunOptions


class FrameMaps:
    """Depth, colours and points of one frame."""

    def __init__(
        self,
        result: DepthResult,
        options: RunOptions,
        colors: DisplayRange,
        clouds: CloudBuilder,
    ) -> None:
        self.result = result
        self._options, self._clouds = options, clouds
        shown_range = colors.update(self.shown)  # each frame moves it, shown or not
        fixed = (options.near_m, options.far_m)
        self.range_m = fixed if fixed[0] > 0.0 else shown_range

    @cached_property
    def depth_m(self) -> DepthImage | None:
        """(H, W) metres, NaN = unknown; None = there are no metres."""
        depth_m = self.result.depth_m
        if depth_m is None:
            return None
        on_host: DepthImage = depth_m.cpu().numpy()
        return on_host

    @cached_property
    def relative(self) -> DepthImage:
        """(H, W) inverse depth without unit, NaN = unknown."""
        on_host: DepthImage = self.result.relative.cpu().numpy()
        return on_host

    @cached_property
    def shown(self) -> DepthImage:
        """(H, W) depth to be coloured: in metres, or without a unit."""
        if self.depth_m is not None:
            return self.depth_m
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.relative, np.float32)

    @cached_property
    def color(self) -> RgbImage:
        """Depth in colours, with a legend in metres."""
        near_m, far_m = self.range_m
        painted = colorize_depth(self.shown, near_m, far_m, self._options.colormap)
        unit = "m" if self.depth_m is not None else ""
        drawn = add_color_bar(painted, near_m, far_m, self._options.colormap, unit)
        return np.hstack((self.result.rgb, drawn)) if self._options.is_beside else drawn

    @cached_property
    def points(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]] | None:
        """(N, 3) points [m] in the optical frame and their (N, 3) colours; None = no metres."""
        result, step = self.result, self._options.cloud_stride
        if result.depth_m is None or result.intrinsics is None:
            return None
        config = CloudConfig(stride=step, max_depth_m=self._options.cloud_max_m)
        cloud = self._clouds.build(result.depth_m, result.intrinsics, config)
        points_m = cloud.points.cpu().numpy().reshape(-1, 3)
        known = np.isfinite(points_m[:, 2])
        colors = np.ascontiguousarray(result.rgb[::step, ::step]).reshape(-1, 3)
        return points_m[known], colors[known]
