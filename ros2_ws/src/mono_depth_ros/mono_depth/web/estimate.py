"""The depth of one upload, as it is kept for downloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.web.api_error import BAD_PARAMETER, NO_METRES, ApiError
from mono_depth.web.depth_request import DepthRequest, Pixel
from mono_depth.web.depth_statistics import depth_statistics
from mono_depth.web.lengths import (
    UNTOLD_SCALE_SIGMA,
    Deviations,
    as_json,
    depth_at,
    depth_interval,
    length_interval,
    pixel_sigma,
)

# Relative deviation of the focal length, by where the camera is known from.
FOCAL_SIGMA = {"assumed": 0.2, "exif": 0.05, "request": 0.01}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Depth of one image. All maps lie on the pixels of the upright image."""

    rgb: RgbImage  # (H, W, 3)
    depth_m: DepthImage | None  # (H, W), None = the network has no metres
    relative: DepthImage | None  # (H, W) inverse depth without unit; None = there are metres
    own_confidence: npt.NDArray[np.float32] | None  # (h, w) of the network
    camera: Intrinsics
    camera_source: str  # a key of FOCAL_SIGMA
    request: DepthRequest
    description: Mapping[str, Any]  # as `describe`, for JSON
    warnings: tuple[str, ...]
    timing_ms: Mapping[str, float]

    @property
    def nbytes(self) -> int:
        """Memory of its maps."""
        maps = (self.rgb, self.depth_m, self.relative, self.own_confidence)
        return sum(item.nbytes for item in maps if item is not None)

    @property
    def metres(self) -> DepthImage:
        """(H, W) depth in metres.

        Raises:
            ApiError: there are no metres.
        """
        if self.depth_m is None:
            reason = self.description["scale"]["reason"] or "the network gives relative depth"
            raise ApiError(NO_METRES, f"there are no metres: {reason}")
        return self.depth_m

    @property
    def shown(self) -> DepthImage:
        """(H, W) what colours stand for: metres, or depth without unit."""
        if self.depth_m is not None or self.relative is None:
            return self.metres
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.relative, np.float32)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Numbers for JSON, see `depth_statistics`; null without metres."""
        return depth_statistics(self.shown)

    def deviations(self) -> Deviations:
        """Return how far the depth may be off."""
        told = self.description["scale"]["sigma_rel"]
        return Deviations(
            scale=UNTOLD_SCALE_SIGMA if told is None else float(told),
            focal=FOCAL_SIGMA[self.camera_source],
            pixel=pixel_sigma(self.own_confidence),
        )

    def sigma_rel(self) -> DepthImage:
        """Return the (H, W) relative deviation of the depth of each pixel, scale included."""
        deviations, size = self.deviations(), (self.camera.width, self.camera.height)
        pixel = np.asarray(cv2.resize(deviations.pixel, size), np.float32)
        return np.asarray(np.hypot(pixel, deviations.scale), np.float32)

    def length(self, start: Pixel, end: Pixel) -> dict[str, Any]:
        """Return the distance between two pixels, and their depths, with intervals, for JSON.

        Raises:
            ApiError: there are no metres, or not at these pixels.
        """
        depths = (self.depth_of("from", start), self.depth_of("to", end))
        deviations = self.deviations()
        ends = (
            depth_interval(depths[0], start, self.camera, deviations),
            depth_interval(depths[1], end, self.camera, deviations),
        )
        between = length_interval((start, end), depths, self.camera, deviations)
        return as_json(ends, between)

    def depth_of(self, name: str, pixel: Pixel) -> float:
        """Return the depth at a pixel [m]; `name` says in errors which.

        Raises:
            ApiError: there is none.
        """
        depth = depth_at(self.metres, pixel)
        if depth is None:
            at = f"{pixel[0]:g},{pixel[1]:g}"
            raise ApiError(BAD_PARAMETER, f"{name}: no depth is known at pixel {at}")
        return depth

    def as_json(self) -> dict[str, Any]:
        """Return all that is not a map."""
        return {
            **self.description,
            "camera_source": self.camera_source,
            "statistics": self.statistics,
            "warnings": list(self.warnings),
            "timing_ms": dict(self.timing_ms),
        }
