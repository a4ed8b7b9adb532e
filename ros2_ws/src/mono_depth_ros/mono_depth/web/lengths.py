"""Distances between pixels, with the interval that they are believed to lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics

Pixel = tuple[float, float]

SHARE = 0.9  # of the cases in which the truth lies within an interval
_Z = 1.6449  # deviations on either side that hold this share of a normal distribution

UNTOLD_SCALE_SIGMA = 0.5  # of metres whose deviation nobody tells
UNTOLD_PIXEL_SIGMA = 0.1  # of the depth of a pixel, of networks that give no confidence
_LEAST_PIXEL_SIGMA = 0.05  # no network is better than that everywhere
_CONFIDENT_WITHIN = math.log(1.25)  # what the confidence of `nano` is the probability of
_ALIKE_WITHIN = 0.15  # of the image's width: over this distance errors of a network are alike
_DRAWS = 4000


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """How far depth may be off, as relative deviations."""

    scale: float  # shared by the whole image
    focal: float  # of the focal length
    pixel: npt.NDArray[np.float32]  # (h, w) over the view, of any resolution

    def at(self, pixel: Pixel, camera: Intrinsics) -> float:
        """Return that of the depth at (column, row) of the image of `camera`, scale set apart."""
        rows, columns = self.pixel.shape
        column = int((pixel[0] + 0.5) / camera.width * columns)
        row = int((pixel[1] + 0.5) / camera.height * rows)
        return float(self.pixel[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)])


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A length in metres between the bounds that hold it in 90 % of the cases."""

    value_m: float
    low_m: float
    high_m: float

    def as_json(self) -> dict[str, float]:
        """Return what is told to a client."""
        return {**vars(self), "share": SHARE}


def pixel_sigma(confidence: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
    """Return the relative deviation of the depth of each pixel, scale of the image set apart.

    Args:
        confidence: (h, w) probability that the depth is within 25 % of the truth, None = not told;
            the error of its logarithm is taken to have a Laplace distribution, as `nano` does.

    Returns:
        (h, w); (1, 1) where no confidence is told.
    """
    if confidence is None:
        return np.full((1, 1), UNTOLD_PIXEL_SIGMA, np.float32)
    doubt = 1.0 - np.clip(confidence, 0.05, 0.9999)
    sigma = math.sqrt(2.0) * _CONFIDENT_WITHIN / -np.log(doubt)
    return np.asarray(np.maximum(sigma, _LEAST_PIXEL_SIGMA), np.float32)


def depth_at(depth_m: DepthImage, pixel: Pixel) -> float | None:
    """Return the median depth of the 3x3 pixels around (column, row), None = unknown there."""
    column, row = round(pixel[0]), round(pixel[1])
    height, width = depth_m.shape
    if not (0 <= column < width and 0 <= row < height):
        return None
    patch = depth_m[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    known = patch[np.isfinite(patch)]
    return float(np.median(known)) if known.size and np.isfinite(depth_m[row, column]) else None


def depth_interval(
    depth_m: float, pixel: Pixel, camera: Intrinsics, deviations: Deviations
) -> Interval:
    """Return the depth of a pixel with its bounds."""
    sigma = math.hypot(deviations.scale, deviations.at(pixel, camera))
    factor = math.exp(_Z * sigma)
    return Interval(value_m=depth_m, low_m=depth_m / factor, high_m=depth_m * factor)


def length_interval(
    ends: tuple[Pixel, Pixel],
    depths_m: tuple[float, float],
    camera: Intrinsics,
    deviations: Deviations,
) -> Interval:
    """Return the distance of what two pixels show, with its bounds.

    Errors of the scale move both ends alike; those of the pixels do so the more, the nearer they
    are to one another. The bounds are those of draws of all errors.

    Args:
        ends: (column, row) of each.
        depths_m: along z, of each.
        camera: of the image.
        deviations: of scale, focal length and pixels.
    """
    drawn = _drawn_lengths(ends, depths_m, camera, deviations)
    low, high = np.percentile(drawn, (50.0 * (1.0 - SHARE), 50.0 * (1.0 + SHARE)))
    value = length(ends, depths_m, camera)
    return Interval(value_m=value, low_m=min(float(low), value), high_m=max(float(high), value))


def length(ends: tuple[Pixel, Pixel], depths_m: tuple[float, float], camera: Intrinsics) -> float:
    """Return the distance of what two pixels show [m]; arguments as of `length_interval`."""
    first, other = (np.array((*_ray(end, camera), 1.0)) for end in ends)
    return float(np.linalg.norm(depths_m[0] * first - depths_m[1] * other))


def length_sigma(
    ends: tuple[Pixel, Pixel],
    depths_m: tuple[float, float],
    camera: Intrinsics,
    deviations: Deviations,
) -> float:
    """Return the relative deviation of a length; arguments as of `length_interval`."""
    with np.errstate(divide="ignore"):
        logs = np.log(_drawn_lengths(ends, depths_m, camera, deviations))
    return float(np.std(logs[np.isfinite(logs)]))


def as_json(ends: tuple[Interval, Interval], between: Interval) -> dict[str, Any]:
    """Return a measurement as it is told to a client."""
    return {
        "from_depth": ends[0].as_json(),
        "to_depth": ends[1].as_json(),
        "length": between.as_json(),
    }


def _drawn_lengths(
    ends: tuple[Pixel, Pixel],
    depths_m: tuple[float, float],
    camera: Intrinsics,
    deviations: Deviations,
) -> npt.NDArray[np.float64]:
    draws = np.random.default_rng(0).standard_normal((4, _DRAWS))  # alike for all: no flicker
    apart_px = math.dist(*ends)
    alike = math.exp(-apart_px / (_ALIKE_WITHIN * camera.width))
    first, other = draws[0], alike * draws[0] + math.sqrt(1.0 - alike**2) * draws[1]
    shared, rays = deviations.scale * draws[2], np.exp(-deviations.focal * draws[3])
    points = []
    for end, depth_m, draw in zip(ends, depths_m, (first, other), strict=True):
        z = depth_m * np.exp(shared + deviations.at(end, camera) * draw)
        x, y = _ray(end, camera)
        points.append(np.stack((x * rays * z, y * rays * z, z)))
    return np.asarray(np.linalg.norm(points[0] - points[1], axis=0), np.float64)


def _ray(pixel: Pixel, camera: Intrinsics) -> tuple[float, float]:
    return (pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy
