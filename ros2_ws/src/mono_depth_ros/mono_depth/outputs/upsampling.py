"""Depth at the size of the image whose edges lie on those of the image.

Interpolation draws the edge of an object as a ramp as wide as a pixel of the network. The guided
filter knows how depth goes with brightness around each pixel; the brightness that the small
image lacks tells where on the ramp the edge is. Depth stays between that of its surroundings,
so texture on a flat wall changes nothing and no edge overshoots.

Source: He, Sun and Tang, Guided Image Filtering, TPAMI 2013; He and Sun, Fast Guided Filter, 2015.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.nn import functional

_RADIUS_PX = 2  # of the window, in pixels of the network
_JUMP = 0.25  # share by which depth of neighbours in the network's map differs at an edge
_SOFTENING = 0.003  # variance of brightness (0..1) below which a window counts as untextured


def image_detail(values: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """Return what the image adds to bilinear interpolation of a map.

    Args:
        values: (h, w) float32, log depth or inverse depth, NaN = unknown.
        rgb: (H, W, 3) uint8, the image that the map covers.

    Returns:
        (H, W) float32, 0 beside unknown values.
    """
    known = values.isfinite()
    filled = torch.where(known, values, 0.0)
    size = (rgb.shape[0], rgb.shape[1])
    large, small = _brightness(rgb, (values.shape[0], values.shape[1]))
    mean, mean_value = _mean(small), _mean(filled)
    shared = _mean(small * filled) - mean * mean_value
    slope = shared / (_mean(small * small) - mean * mean + _SOFTENING)
    surrounded = _mean(known.float()) > 0.999
    slope = _mean(slope * surrounded) * surrounded
    detail = resized(slope, size) * large - resized(slope * small, size)
    least, most = _limits(filled)
    return detail.clamp(resized(least - filled, size), resized(most - filled, size))


def resized(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (h, w) float32; bilinear, pixel edges kept in place (no half-pixel shift)."""
    if values.shape == size:
        return values
    if values.device.type == "cpu":  # the same sums, in a seventh of the time
        height, width = size
        on_cpu = cv2.resize(values.numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy(on_cpu)
    return functional.interpolate(values[None, None], size, mode="bilinear")[0, 0]


def resized_unmixed(depth: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (h, w) float32 depth or inverse depth, > 0, and invent no surface between two.

    Beside a jump a pixel takes the value of the pixel of the network that it lies on; elsewhere
    the map is bilinear. A pole one pixel of the network wide keeps its depth.
    """
    if depth.shape == size:
        return depth
    if depth.device.type != "cpu":
        return resized_unmixed_on_device(depth, size)
    linear = resized(depth, size)
    at_jump = _is_at_jump(depth, *_limits(depth))
    width_height, exact = (size[1], size[0]), cv2.INTER_NEAREST_EXACT
    nearest = cv2.resize(depth.numpy(), width_height, interpolation=exact)
    mask = cv2.resize(at_jump.numpy().view(np.uint8), width_height, interpolation=exact)
    cv2.copyTo(nearest, mask, linear.numpy())
    return linear


def resized_unmixed_on_device(depth: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return what `resized_unmixed` does with torch, on the device of `depth`."""
    linear = functional.interpolate(depth[None, None], size, mode="bilinear")[0, 0]
    at_jump = _is_at_jump(depth, *_limits_on_device(depth))
    both = torch.stack((depth, at_jump.float()))[None]
    nearest, mask = functional.interpolate(both, size, mode="nearest-exact")[0]
    return torch.where(mask > 0.5, nearest, linear)


def _is_at_jump(depth: torch.Tensor, least: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """Tell which pixels differ from a neighbour by more than `_JUMP`; unknown ones do not."""
    return (most > (1.0 + _JUMP) * depth) | (depth > (1.0 + _JUMP) * least)


def _brightness(
    rgb: torch.Tensor, small_size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return brightness 0..1 at both sizes. Source: ITU-R BT.601 luma."""
    if rgb.device.type == "cpu":
        grey = cv2.cvtColor(rgb.numpy(), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, small_size[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(grey) * (1 / 255), torch.from_numpy(small) * (1 / 255)
    large = (rgb.float() @ luma(rgb.device)) * (1 / 255)
    return large, functional.interpolate(large[None, None], small_size, mode="area")[0, 0]


@lru_cache(maxsize=8)
def luma(device: torch.device) -> torch.Tensor:
    """Return the (3,) shares of red, green and blue in brightness. Source: ITU-R BT.601."""
    return torch.tensor([0.299, 0.587, 0.114], device=device)


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of the window around each pixel, of what lies in the image."""
    side = 2 * _RADIUS_PX + 1
    if values.device.type == "cpu":
        return torch.from_numpy(
            cv2.blur(values.numpy(), (side, side), borderType=cv2.BORDER_REFLECT)
        )
    padded = functional.pad(values[None, None], [_RADIUS_PX] * 4, mode="replicate")
    return functional.avg_pool2d(padded, side, stride=1)[0, 0]


def _limits(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least and the greatest of each pixel and its eight neighbours."""
    if values.device.type == "cpu":
        window, host = np.ones((3, 3), np.uint8), values.numpy()
        low, high = cv2.erode(host, window), cv2.dilate(host, window)
        return torch.from_numpy(low), torch.from_numpy(high)
    return _limits_on_device(values)


def _limits_on_device(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    most = functional.max_pool2d(values[None, None], 3, stride=1, padding=1)[0, 0]
    return -functional.max_pool2d(-values[None, None], 3, stride=1, padding=1)[0, 0], most
