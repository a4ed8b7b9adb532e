"""Whether an image shows anything that depth can be told from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Mask, PlannerUse, RgbImage

_WIDTH_PX = 160  # at which an image is judged: noise of single pixels is averaged away
_LEAST_SIDE_PX = 64  # a smaller image is not judged
_BLIND, _DIM, _CLEAR = 4.0, 8.0, 28.0  # contrast, of 255: bare noise; night and fog; any scene
_STRONGEST = 0.995  # share of the gradients that are weaker than those that count
_NOISE_REACH = 5.0  # noise has no edge above so many of its deviations
_MAX_NOISE = 5.0  # of any sensor; what differs more from pixel to pixel is texture
_DARK, _BRIGHT = 40.0, 215.0  # brightness that 95 % of the pixels stay below, or above
_SAMPLE_STEP = 4

Grey = npt.NDArray[np.uint8]  # (h, w)


@dataclass(frozen=True, kw_only=True)
class ImageCheck:
    """What an image is worth."""

    clarity: float = 1.0  # 0..1, 0 = depth is a guess without the image, 1 = a usual image
    is_blind: bool = False  # nothing at all is to be seen
    problem: str = ""  # what is wrong, and what to look after; "" = nothing

    @property
    def allows(self) -> PlannerUse:
        """What a planner may do with depth of this image, at most."""
        if self.is_blind:
            return PlannerUse.NONE
        return PlannerUse.MARK if self.problem else PlannerUse.MARK_AND_CLEAR


def check_image(rgb: RgbImage, is_visible: Mask | None = None) -> ImageCheck:
    """Return what an image is worth, by its strongest edges over its noise.

    A network gives plausible depth for a covered lens, too. Edges of usual images, the 99.5th
    percentile of the gradient at 160 pixels a row, have 30 to 120 of 255; those of a lens under a
    finger or of a white image 0 to 3, at night 5 to 14, in dense fog 8 to 11.

    Args:
        rgb: (H, W, 3) uint8.
        is_visible: (H, W) bool, False = no image there, as beside a rectified one.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < _LEAST_SIDE_PX:
        return ImageCheck()
    image = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    contrast, grey = _contrast(image, is_visible)
    if contrast >= _CLEAR:
        return ImageCheck()
    clarity = max(0.0, (contrast - _DIM) / (_CLEAR - _DIM))
    if contrast >= _DIM:
        return ImageCheck(clarity=clarity)
    is_blind = contrast < _BLIND
    shows = "shows nothing" if is_blind else "shows next to nothing"
    problem = f"the image {shows}: {_cause(grey)} (edges of {contrast:.0f} of 255)"
    return ImageCheck(clarity=0.0, is_blind=is_blind, problem=problem)


def _contrast(image: Grey, is_visible: Mask | None) -> tuple[float, Grey]:
    """Return the strength of the strongest edges beyond noise, and the small image."""
    height, width = image.shape
    shrink = min(1.0, _WIDTH_PX / width)
    size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    across = cv2.absdiff(small[:-1, 1:], small[:-1, :-1])
    gradient = np.maximum(across, cv2.absdiff(small[1:, :-1], small[:-1, :-1]))
    if is_visible is not None:
        gradient *= _is_inside(is_visible, size)
    surely = math.hypot(_CLEAR, _NOISE_REACH * _MAX_NOISE * shrink)  # whatever the noise
    rest = int(_STRONGEST * gradient.size)
    if np.count_nonzero(gradient >= surely) >= gradient.size - rest:
        return _CLEAR, small
    edge = float(np.partition(gradient.ravel(), rest)[rest])
    noise = min(_noise(image), _MAX_NOISE) * shrink
    return math.sqrt(max(edge**2 - (_NOISE_REACH * noise) ** 2, 0.0)), small


def _is_inside(is_visible: Mask, size: tuple[int, int]) -> Mask:
    """Tell which gradients of the small image lie within the visible part."""
    whole = cv2.resize(is_visible.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) == 255
    return np.asarray(whole[:-1, :-1] & whole[1:, :-1] & whole[:-1, 1:], np.bool_)


def _noise(image: Grey) -> float:
    """Return the deviation of the noise of single pixels.

    Source: Immerkaer, Fast Noise Variance Estimation, CVIU 1996 (the mask; here with a median).
    """
    step = _SAMPLE_STEP
    rows = [image[row : row - 2 or None : step].astype(np.int16) for row in range(3)]
    down = rows[0] - 2 * rows[1] + rows[2]
    parts = [down[:, column : column - 2 or None : step] for column in range(3)]
    masked = np.abs(parts[0] - 2 * parts[1] + parts[2]).ravel()
    return 1.4826 / 6.0 * float(np.partition(masked, masked.size // 2)[masked.size // 2])


def _cause(grey: Grey) -> str:
    low, high = np.percentile(grey, (5.0, 95.0))
    if high < _DARK:
        return "it is dark, or the lens is covered"
    if low > _BRIGHT:
        return "it is overexposed, or the lens is covered"
    return "a covered lens, fog, or a bare wall"
