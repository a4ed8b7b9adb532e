"""Corners that are followed from image to image, each found once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.motion.lucas_kanade import found_in

LONG_SIDE_PX = 640  # of the image that corners are followed in
_CELLS = 300  # at most; one corner each is followed
_MIN_CELL_PX = 16
_MIN_CORNER = 2e-5  # smallest eigenvalue of the gradient matrix that counts as a corner
_BLOCK_PX = 5
_WINDOW_PX = 9  # larger ones are pulled by finer texture, which is farther: points come out too far
_PYRAMID_LEVELS = 3
_ITERATIONS = 15
_LOOP_PX = 0.5  # a track that does not lead back to its start is wrong
_EDGE_PX = 8  # from the edge of the image part of the window is missing
_MIN_KEPT = 0.5  # of the tracks; if fewer arrive, the guess of where they are may be to blame

Grey = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]  # (N, 2) column, row


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What became of the corners of the last image."""

    pixels: Pixels  # (M, 2) in this image
    kept: npt.NDArray[np.intp]  # (M,) which of the last image's corners these are


def working_camera(intrinsics: Intrinsics, long_side_px: int = LONG_SIDE_PX) -> Intrinsics:
    """Return the camera of the same view whose longer side is at most `long_side_px`."""
    shrink = min(1.0, long_side_px / max(intrinsics.width, intrinsics.height))
    return intrinsics.scaled_to(
        max(1, round(intrinsics.width * shrink)), max(1, round(intrinsics.height * shrink))
    )


def grey_of(rgb: npt.NDArray[np.uint8], camera: Intrinsics) -> Grey:
    """Return (h, w) brightness of an (H, W, 3) image at the size of `camera`."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = (camera.width, camera.height)
    if size != (grey.shape[1], grey.shape[0]):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def follow(last: Grey, grey: Grey, pixels: Pixels, guess: Pixels) -> Followed:
    """Follow corners from one image to the next, there and back.

    Args:
        last: (h, w) the image that the corners are known in.
        grey: (h, w) the next one.
        pixels: (N, 2) in the last image.
        guess: (N, 2) where they may be now.

    Source: Bouguet, Pyramidal Implementation of the Lucas Kanade Feature Tracker, 2000; Kalal et
    al., "Forward-Backward Error", ICPR 2010.
    """
    found = _there_and_back(last, grey, pixels, guess)
    if len(found.kept) < _MIN_KEPT * len(pixels) and not np.array_equal(pixels, guess):
        plain = _there_and_back(last, grey, pixels, pixels)
        if len(plain.kept) > len(found.kept):
            return plain
    return found


def new_corners(grey: Grey, pixels: Pixels) -> Pixels:
    """Return (M, 2) the best corner of each cell in which none is followed yet.

    Args:
        grey: (h, w) the image.
        pixels: (N, 2) the corners that are followed.
    """
    # half the size: a quarter of the work, and noise is no corner there
    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    cell = max(_MIN_CELL_PX // 2, math.ceil(math.sqrt(half.size / _CELLS)))
    rows, columns = (side // cell for side in half.shape)
    if rows < 1 or columns < 1:
        return np.empty((0, 2), np.float32)
    strength = np.asarray(
        cv2.cornerMinEigenVal(half[: rows * cell, : columns * cell], _BLOCK_PX), np.float32
    )
    edge = _EDGE_PX // 2
    inner = np.zeros_like(strength)
    inner[edge:-edge, edge:-edge] = strength[edge:-edge, edge:-edge]
    cells = inner.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows, columns, -1)
    taken = (np.rint(pixels / (2.0 * cell) - 0.5)).astype(int)
    best, peak = cells.argmax(-1), cells.max(-1)
    peak[taken[:, 1].clip(0, rows - 1), taken[:, 0].clip(0, columns - 1)] = 0.0
    cell_row, cell_column = np.nonzero(peak > _MIN_CORNER)
    row, column = np.divmod(best[cell_row, cell_column], cell)
    found = np.stack((cell_column * cell + column, cell_row * cell + row), axis=1)
    return (2.0 * found + 0.5).astype(np.float32)


def _there_and_back(last: Grey, grey: Grey, pixels: Pixels, guess: Pixels) -> Followed:
    if not len(pixels):
        return Followed(pixels=pixels, kept=np.empty(0, np.intp))
    how = {"window_px": _WINDOW_PX, "iterations": _ITERATIONS}
    now, is_found = found_in(grey, last, pixels, guess, levels=_PYRAMID_LEVELS, **how)
    back, is_back = found_in(last, grey, now, pixels, levels=0, **how)
    height, width = grey.shape
    good = is_found & is_back & (np.hypot(*(back - pixels).T) < _LOOP_PX)
    good &= (now > _EDGE_PX).all(1)
    good &= (now[:, 0] < width - 1 - _EDGE_PX) & (now[:, 1] < height - 1 - _EDGE_PX)
    kept = np.flatnonzero(good)
    return Followed(pixels=now[kept], kept=kept)
