"""Which part of an image is sky: no surface, and nothing to doubt either.

A network must say some depth of the sky, and often says one in range. Sky is told by what it is:
above the horizon, bright and smooth, open to the upper border of the image, and far by the network
too. Each of these holds for a white wall as well, all of them together do not.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.data import Intrinsics, Mask, Prediction, RgbImage
from mono_depth.outputs.upsampling import resized
from mono_depth.scale.scale_shift import METRIC_KINDS

_WIDTH_PX = 160  # at which an image is judged
_SURELY_FAR_M = 20.0  # depth that some of the sky must have
_FAR_M = 8.0  # and all of it
_FARTHEST_M = 60.0  # depth beyond counts as this
_FAR_SHARE = 0.3  # of the median of the sky: what is nearer stands before it
_LEAST_SURE = 0.25  # of a region that is surely far
_LEAST_HEIGHT_M = 12.0  # over the camera, of the upper part of a region; ceilings hang lower
_BLUE_HEIGHT_M = 6.0  # the same of what is blue, as few ceilings are
_BLUE = 20.0  # more blue than red, of 255
_STEEP = 0.2  # sine of the elevation above which height is asked for
_LOW_M = 40.0  # depth that is asked for below it
_HIGHEST_SHARE = 0.3  # of a region, that is its upper part
_LEAST_SHARE = 0.01  # of the image
_LEAST_VALUE = 70.0  # largest of red, green and blue, of 255
_DARKER = 0.8  # times as bright as the rest of the image
_EDGE = 28.0  # change of brightness within three pixels, of 255: clouds change by less
_BORDER_PX = 3
_LEADS_OUT = 0.3  # cosine between the way up and the way out of the image
_LEAST_RISE = 0.2  # sine of the angle to the vertical, of a camera that looks up or down
_WINDOW = np.ones((3, 3), np.uint8)
_CLOUD_RIM = np.ones((5, 5), np.uint8)
_LEVEL_CAMERA = np.array((0.0, 1.0, 0.0))

Floats = npt.NDArray[np.float32]


def nearest_claim(depth_m: torch.Tensor, prediction: Prediction) -> torch.Tensor:
    """Return (h, w) metres: the nearest of those given and those that a network itself claims."""
    own_m = prediction.values if prediction.image_only is None else prediction.image_only
    if prediction.kind not in METRIC_KINDS or own_m.shape != depth_m.shape:
        return depth_m
    return torch.fmin(depth_m, own_m)


def find_sky(
    rgb: RgbImage,
    depth_m: torch.Tensor,
    camera: Intrinsics,
    gravity_camera: npt.NDArray[np.float64] | None,
    is_visible: Mask | None = None,
) -> Mask | None:
    """Return (h, w) bool, True where the image shows sky; None where it shows none.

    Never a pixel that is nearer than 8 m, or than 0.3 of the sky around it. What is missed is
    left as the network says. Depth is brought from a device only if the image may show sky.

    Args:
        rgb: (H, W, 3) uint8.
        depth_m: (h', w') metres, see `nearest_claim`; NaN = the network gives none, which does
            not speak against sky.
        camera: of `rgb`.
        gravity_camera: (3,) unit vector of gravity in the optical frame, at any tilt; None = a
            camera that looks about level is assumed.
        is_visible: (H, W) bool, False = no image there.
    """
    if depth_m.device.type == "cpu" and bool(depth_m.amax() < _SURELY_FAR_M):  # NaN is not
        return None
    shrink = min(1.0, _WIDTH_PX / max(camera.width, camera.height))
    size = (max(2, round(camera.width * shrink)), max(2, round(camera.height * shrink)))
    small_camera = camera.scaled_to(*size)
    down = _LEVEL_CAMERA if gravity_camera is None else gravity_camera
    up = _sine_of_elevation(small_camera, down)
    image = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    inside = np.ones(up.shape, np.bool_)
    if is_visible is not None:
        small = cv2.resize(is_visible.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        inside = np.asarray(small > 0, np.bool_)
    is_bright, candidates = _looks_like_sky(image, up > 0.0, inside)
    if np.mean(candidates) < _LEAST_SHARE:
        return None
    known_m = depth_m.cpu().nan_to_num(nan=_FARTHEST_M).clamp(max=_FARTHEST_M)
    small_m = np.asarray(cv2.erode(resized(known_m, up.shape).numpy(), _WINDOW), np.float32)
    is_blue = image[..., 2].astype(np.float32) - image[..., 0] >= _BLUE
    opens = _open_border(inside, small_camera, down)
    found = _regions(candidates, is_bright, is_blue, small_m, up, opens)
    return found if found.any() else None


def _sine_of_elevation(camera: Intrinsics, down: npt.NDArray[np.float64]) -> Floats:
    """Return (h, w) the sine of the angle of each ray above the horizon."""
    x = ((np.arange(camera.width) - camera.cx) / camera.fx)[None, :]
    y = ((np.arange(camera.height) - camera.cy) / camera.fy)[:, None]
    fall = x * down[0] + y * down[1] + down[2]
    return np.asarray(-fall / np.sqrt(x * x + y * y + 1.0), np.float32)


def _looks_like_sky(image: RgbImage, is_up: Mask, inside: Mask) -> tuple[Mask, Mask]:
    """Tell which pixels above the horizon are bright, and which of them smooth, as sky is."""
    value = image.max(axis=2)
    rest = value[~is_up & inside]
    least = max(_LEAST_VALUE, _DARKER * float(np.median(rest)) if rest.size else 0.0)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    change = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _WINDOW), np.uint8)
    is_bright = np.asarray(is_up & inside & (value >= least), np.bool_)
    return is_bright, np.asarray(is_bright & (change <= _EDGE), np.bool_)


def _regions(
    candidates: Mask, is_bright: Mask, is_blue: Mask, depth_m: Floats, up: Floats, opens: Mask
) -> Mask:
    """Return the candidates that form sky, and the bright rims of clouds between them."""
    far = candidates & (depth_m >= _FAR_M)
    _, labels = cv2.connectedComponents(far.view(np.uint8), connectivity=4)
    reaching = np.unique(np.asarray(labels)[opens])
    found = np.zeros(candidates.shape, np.bool_)
    for label in reaching[reaching > 0]:
        region = np.asarray(labels == label, np.bool_)
        if region.sum() < _LEAST_SHARE * region.size:
            continue
        least_m = _BLUE_HEIGHT_M if np.mean(is_blue[region]) > 0.5 else _LEAST_HEIGHT_M
        if _is_open(depth_m[region], up[region], least_m):
            closed = cv2.morphologyEx(region.view(np.uint8), cv2.MORPH_CLOSE, _CLOUD_RIM)
            behind = depth_m >= max(_FAR_M, _FAR_SHARE * float(np.median(depth_m[region])))
            found |= (np.asarray(closed) > 0) & is_bright & behind
    return found


def _is_open(depth_m: Floats, up: Floats, least_m: float) -> bool:
    """Tell whether a region is so far, and so high over the camera, that it is no ceiling."""
    if np.mean(depth_m >= _SURELY_FAR_M) < _LEAST_SURE:
        return False
    highest = up >= np.quantile(up, 1.0 - _HIGHEST_SHARE)
    steep = float(np.median(up[highest]))
    far_m = float(np.median(depth_m[highest]))
    return far_m >= _LOW_M if steep < _STEEP else far_m * steep >= least_m


def _open_border(inside: Mask, camera: Intrinsics, down: npt.NDArray[np.float64]) -> Mask:
    """Return the outermost pixels of what an image shows, where the way up leads out of it.

    More than one, for beside nothing an image is not smooth. A ceiling that is near overhead
    reaches the sides only; straight up all sides lead out.
    """
    wide, (height, width) = _BORDER_PX, inside.shape
    padded = np.pad(inside, wide)
    rise = np.array((-down[0] / camera.fx, -down[1] / camera.fy))
    rise /= max(float(np.linalg.norm(rise)), _LEAST_RISE / camera.fx)
    is_up_and_down = math.hypot(down[0], down[1]) < _LEAST_RISE
    opens = np.zeros(inside.shape, np.bool_)
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if is_up_and_down or rise @ (x, y) > _LEADS_OUT:
            row, column = wide + wide * y, wide + wide * x
            opens |= inside & ~padded[row : row + height, column : column + width]
    return opens
