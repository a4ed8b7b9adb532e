"""Depth as images for people: colours, a scale in metres, a mix with the camera image."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, RgbImage
from mono_depth.display.cloud_view import render_cloud_oblique
from mono_depth.errors import ConfigError
from mono_depth.outputs.holes import HoleReason

__all__ = [
    "COLORMAPS",
    "DisplayRange",
    "add_color_bar",
    "blend",
    "color_table",
    "colorize_depth",
    "draw_text",
    "render_cloud_oblique",
    "tint_holes",
]

_GREY = -1
COLORMAPS: dict[str, int] = {
    "inferno": cv2.COLORMAP_INFERNO,
    "turbo": cv2.COLORMAP_TURBO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "jet": cv2.COLORMAP_JET,
    "gray": _GREY,
}
_UNKNOWN_RGB = (62, 62, 66)  # dark and without hue, in none of the maps but gray
_TICK_DISTANCE = 0.14  # of the bar
_TINTS = {  # what people are shown of completion: colour and name
    HoleReason.HOLE: ((255, 0, 200), "hole"),
    HoleReason.EDGE: ((255, 210, 0), "edge"),
    HoleReason.UNSURE: ((0, 190, 255), "unsure"),
}
_TINT = 0.6
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def colorize_depth(
    depth_m: DepthImage, near_m: float, far_m: float, colormap: str = "inferno"
) -> RgbImage:
    """Paint depth, near = bright end of the map, far = dark end, in equal steps of log depth.

    Steps of the logarithm, because the error of depth from one camera grows with depth.

    Args:
        depth_m: (H, W) float32; NaN, 0 and negative values are painted dark grey, values
            outside the range, +Inf too, in the colour of its end.
        near_m: depth of the first colour.
        far_m: depth of the last colour.
        colormap: a name of `COLORMAPS`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ConfigError: an unknown colour map or an empty range.
    """
    colors = _colors(colormap)
    if not 0.0 < near_m < far_m < math.inf:
        raise ConfigError(f"colours from {near_m} m to {far_m} m, expected 0 < near < far")
    # Level 255 is near_m, level 1 far_m; 0 is kept for pixels without depth.
    slope = -254.0 / math.log(far_m / near_m)
    offset = 255.0 - slope * math.log(near_m)
    known = (depth_m > 0.0).view(np.uint8) * np.uint8(255)  # a comparison with NaN is false
    within = np.clip(depth_m, near_m, far_m)
    log_depth = cv2.log(within)
    cv2.patchNaNs(log_depth, 0.0)
    levels = cv2.bitwise_and(cv2.convertScaleAbs(log_depth, alpha=slope, beta=offset), known)
    return np.asarray(cv2.applyColorMap(levels, colors), np.uint8)


def blend(rgb: RgbImage, color: RgbImage, alpha: float) -> RgbImage:
    """Mix two images of one size; `alpha` is the share of `rgb`, 0..1."""
    return np.asarray(cv2.addWeighted(rgb, alpha, color, 1.0 - alpha, 0.0), np.uint8)


def tint_holes(rgb: RgbImage, hole_reasons: npt.NDArray[np.uint8]) -> RgbImage:
    """Show on the camera image where completion had no depth, and why.

    Args:
        rgb: (H, W, 3).
        hole_reasons: (H, W) of `HoleReason`.

    Returns:
        (H, W, 3): grey where depth was known, tinted elsewhere, with the names of the tints.
    """
    height = rgb.shape[0]
    grey = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    table = np.zeros((256, 3), np.uint8)
    for code, (tint, _) in _TINTS.items():
        table[code] = tint
    mixed = blend(np.asarray(grey, np.uint8), table[hole_reasons], 1.0 - _TINT)
    shown = np.where(hole_reasons[..., None] == HoleReason.KNOWN, grey, mixed).astype(np.uint8)
    font = max(0.3, height / 900)
    left, bottom = round(10 * font), height - round(12 * font)
    for code, (tint, name) in _TINTS.items():
        share = np.count_nonzero(hole_reasons == code) / hole_reasons.size
        if not share:
            continue
        label, side = f"{name} {100 * share:.1f} %", round(22 * font)
        cv2.rectangle(shown, (left, bottom - side), (left + side, bottom), tint, cv2.FILLED)
        draw_text(shown, label, (left + 2 * side, bottom), font)
        (width, _), _ = cv2.getTextSize(label, _FONT, font, 1)
        left += 4 * side + width
    return shown


class DisplayRange:
    """Picks the range of depth to show; follows the scene slowly, so that colours stay."""

    def __init__(self, *, time_constant_frames: float = 15.0) -> None:
        self._frames = max(1.0, time_constant_frames)
        self._log_range: tuple[float, float] | None = None

    def update(self, depth_m: DepthImage) -> tuple[float, float]:
        """Take in one depth image and return near_m and far_m, always 0 < near_m < far_m.

        An image without depth leaves the range as it is.
        """
        step = max(1, round(math.sqrt(depth_m.size / 10_000)))
        sample = depth_m[::step, ::step]
        sample = sample[np.isfinite(sample) & (sample > 0.0)]
        if sample.size:
            near, far = (float(v) for v in np.log(np.percentile(sample, (2.0, 98.0))))
            if self._log_range is None:
                self._log_range = near, far
            was_near, was_far = self._log_range
            self._log_range = (
                was_near + self._gain_of(is_wider=near < was_near) * (near - was_near),
                was_far + self._gain_of(is_wider=far > was_far) * (far - was_far),
            )
        near, far = self._log_range or (math.log(0.5), math.log(10.0))
        missing = max(
            0.0, math.log(1.5) - (far - near)
        )  # one flat wall is not noise in all colours
        return math.exp(near - missing / 2), math.exp(far + missing / 2)

    def _gain_of(self, *, is_wider: bool) -> float:
        """Widen four times as fast as narrow: what is out of range shows nothing."""
        return min(1.0, (4.0 if is_wider else 1.0) / self._frames)


def add_color_bar(
    image: RgbImage, near_m: float, far_m: float, colormap: str = "inferno", unit: str = "m"
) -> RgbImage:
    """Return `image` with the scale of its colours drawn along the right edge."""
    height, width = image.shape[:2]
    drawn = image.copy()
    bar, margin, font = max(8, width // 50), max(6, width // 60), height / 900
    top, bottom = height // 10, height - height // 10
    left = width - margin - bar
    column = np.geomspace(near_m, far_m, bottom - top, dtype=np.float32)[:, None]
    colors = colorize_depth(column, near_m, far_m, colormap)
    drawn[top:bottom, left : left + bar] = colors
    cv2.rectangle(drawn, (left - 1, top - 1), (left + bar, bottom), (235, 235, 235), 1)
    for value in _ticks(near_m, far_m):
        share = math.log(value / near_m) / math.log(far_m / near_m)
        y = round(top + share * (bottom - 1 - top))
        label = f"{value:g} {unit}".rstrip()
        (label_width, label_height), _ = cv2.getTextSize(label, _FONT, font, 1)
        cv2.line(drawn, (left - 4, y), (left, y), (235, 235, 235), 1)
        draw_text(drawn, label, (left - 8 - label_width, y + label_height // 2), font)
    return drawn


def draw_text(image: RgbImage, text: str, at: tuple[int, int], font: float) -> None:
    """Write on an image in place, light on a dark rim; `at` is the lower left corner."""
    for color, thickness in (((0, 0, 0), 3), ((245, 245, 245), 1)):
        cv2.putText(image, text, at, _FONT, font, color, thickness, cv2.LINE_AA)


def _ticks(near: float, far: float) -> list[float]:
    """Return round values within the range, the roundest first, none close to another."""
    decades = range(math.floor(math.log10(near)) - 1, math.ceil(math.log10(far)) + 1)
    least = _TICK_DISTANCE * math.log(far / near)
    ticks: list[float] = []
    for digits in (range(10, 11), (20, 50), (15, 30, 40, 70), range(10, 100)):
        for value in (float(f"{d * 10.0 ** (k - 1):.6g}") for k in decades for d in digits):
            is_apart = all(abs(math.log(value / other)) >= least for other in ticks)
            if near <= value <= far and is_apart:
                ticks.append(value)
    return sorted(ticks)


def color_table(colormap: str) -> RgbImage:
    """Return the (256, 3) colours of a map: 0 = no depth, 1 = far, 255 = near.

    Raises:
        ConfigError: an unknown colour map.
    """
    return _colors(colormap)[:, 0]


@cache
def _colors(colormap: str) -> RgbImage:
    """Return the (256, 1, 3) RGB table of a map, entry 0 replaced by the colour of no depth."""
    if colormap not in COLORMAPS:
        raise ConfigError(f"colour map {colormap!r} is not one of {', '.join(COLORMAPS)}")
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    if COLORMAPS[colormap] == _GREY:
        table = np.asarray(np.repeat(ramp[..., None], 3, axis=2))
    else:
        bgr = cv2.applyColorMap(ramp, COLORMAPS[colormap])
        table = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    table[0] = _UNKNOWN_RGB
    return table
