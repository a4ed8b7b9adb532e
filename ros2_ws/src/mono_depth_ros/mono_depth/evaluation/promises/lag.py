"""How many frames a filter takes to believe in an obstacle, and to forget it.

An obstacle at half the distance is put into the middle of the image and of the network's output,
stays for some frames and leaves again: what a perfect network would see if something stepped
before the camera. In the first frame with it, and in the first without, nothing that was seen
before says anything about this place, so the filter has to give out what the network says now.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mono_depth.data import DepthImage, Frame, Prediction

APPEARS, LEAVES, ENDS = 12, 18, 24  # frames of the recording
_NEARER = 0.5
_WITHIN = 0.05  # of the depth that the network says, as a fraction
_MOST = 0.9  # of the pixels
_CELL_PX = 16
_INNER = 0.6  # of the sides of the obstacle: where its own edges do not matter


@dataclass(frozen=True, kw_only=True)
class Lag:
    """Frames until depth is that of the network; 0 = with the very frame, NaN = not measured."""

    appear_frames: float
    clear_frames: float


def shows_obstacle(index: int) -> bool:
    """Tell whether the obstacle is there in frame `index`."""
    return APPEARS <= index < LEAVES


def frame_with_obstacle(frame: Frame) -> Frame:
    """Paint a chequered obstacle into the image."""
    rgb = frame.rgb.copy()
    rows, columns = _middle(rgb.shape[0], rgb.shape[1])
    height, width = rgb[rows, columns].shape[:2]
    random = np.random.default_rng(0)
    cells = random.integers(40, 216, (height // _CELL_PX + 1, width // _CELL_PX + 1, 3))
    rgb[rows, columns] = cv2.resize(
        cells.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return replace(frame, rgb=rgb)


def prediction_with_obstacle(prediction: Prediction) -> Prediction:
    """Put the obstacle into an output that is proportional to depth."""
    values = prediction.values.clone()
    rows, columns = _middle(values.shape[0], values.shape[1])
    values[rows, columns] *= _NEARER
    return replace(prediction, values=values)


def share_up_to_date(filtered_m: DepthImage, network_m: DepthImage) -> float:
    """Return the share of pixels, where the obstacle is or was, with the depth of the network.

    The scale that the filter gives to all of the frame does not count as an error here.
    """
    height, width = network_m.shape
    change = np.log(filtered_m / network_m)
    elsewhere = np.ones(network_m.shape, bool)
    elsewhere[_middle(height, width)] = False
    rows, columns = _middle(height, width, _INNER)
    off = change[rows, columns] - np.nanmedian(change[elsewhere])
    known = off[np.isfinite(off)]
    return float(np.mean(np.abs(known) < _WITHIN)) if known.size else float("nan")


def lag_of(shares: Sequence[float]) -> Lag:
    """Return the lag from `share_up_to_date` of the first `ENDS` frames."""
    if len(shares) < ENDS:
        return Lag(appear_frames=math.nan, clear_frames=math.nan)
    return Lag(
        appear_frames=_first(shares[APPEARS:LEAVES]),
        clear_frames=_first(shares[LEAVES:ENDS]),
    )


def _first(shares: Sequence[float]) -> int:
    """Return the first frame with most of the pixels up to date, len(shares) = none."""
    return next((index for index, share in enumerate(shares) if share >= _MOST), len(shares))


def _middle(height: int, width: int, share: float = 1.0) -> tuple[slice, slice]:
    """Return rows and columns of the middle third, or of a `share` of it."""
    half = share / 6.0
    return (
        slice(round(height * (0.5 - half)), round(height * (0.5 + half))),
        slice(round(width * (0.5 - half)), round(width * (0.5 + half))),
    )
