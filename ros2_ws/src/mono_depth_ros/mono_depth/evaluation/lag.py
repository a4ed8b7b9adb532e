"""How many frames a filter takes to believe in an obstacle, and to forget it.

An obstacle at half the distance is put into the middle of the picture and of the network's output,
stays for some frames and leaves again: what a perfect network would see if something stepped
before the camera. What the filter gives out with and without it is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mono_depth.data import DepthImage, Frame, Prediction
from mono_depth.evaluation.temporal_metrics import frames_to_settle

APPEARS, LEAVES, ENDS = 12, 18, 24  # frames of the recording
_NEARER = 0.5
_LOG_STEP = math.log(_NEARER)
_CELL_PX = 16
_INNER = 0.6  # of the sides of the obstacle: where its own edges do not matter


@dataclass(frozen=True, kw_only=True)
class Lag:
    """Frames until 90 % of a step is given out; 0 = with the very frame, NaN = not measured."""

    appear_frames: float
    clear_frames: float


def shows_obstacle(index: int) -> bool:
    """Tell whether the obstacle is there in frame `index`."""
    return APPEARS <= index < LEAVES


def frame_with_obstacle(frame: Frame) -> Frame:
    """Paint a chequered obstacle into the picture."""
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


def response(with_obstacle_m: DepthImage, without_m: DepthImage) -> float:
    """Return the share of the step that is given out: 0 = nothing, 1 = all of it."""
    height, width = without_m.shape
    rows, columns = _middle(height, width, _INNER)
    ratio = np.log(with_obstacle_m[rows, columns] / without_m[rows, columns])
    return float(np.nanmedian(ratio)) / _LOG_STEP


def lag_of(responses: Sequence[float]) -> Lag:
    """Return the lag from the responses of the first `ENDS` frames."""
    if len(responses) < ENDS:
        return Lag(appear_frames=math.nan, clear_frames=math.nan)
    appear = frames_to_settle(responses[APPEARS:LEAVES], 1.0)
    clear = frames_to_settle([1.0 - value for value in responses[LEAVES:ENDS]], 1.0)
    return Lag(appear_frames=appear, clear_frames=clear)


def _middle(height: int, width: int, share: float = 1.0) -> tuple[slice, slice]:
    """Return rows and columns of the middle third, or of a `share` of it."""
    half = share / 6.0
    return (
        slice(round(height * (0.5 - half)), round(height * (0.5 + half))),
        slice(round(width * (0.5 - half)), round(width * (0.5 + half))),
    )
