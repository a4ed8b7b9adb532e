"""Tileable noise with mip levels in one atlas: detail at every scale, no aliasing.

A material looks the atlas up at several scales. Each lookup takes the mip level of the pixel
footprint, and the mean of every tile is zero, so what is too fine for a pixel fades away.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import cv2
import numpy as np

from mono_depth.synthetic.arrays import F32, F64, U8

TILE = 256
_LEVELS = 9
_GAIN = 40.0  # stored value = 128 + gain * noise, noise has unit deviation
_SLOT = TILE + 2


class Tile(IntEnum):
    """Kinds of noise in the atlas."""

    FRACTAL = 0
    GRAIN = 1
    BLOTCH = 2
    FIBRE = 3  # stretched along v
    WEAVE = 4
    PRINT = 5  # text and marks
    STONE = 6
    LEAF = 7
    SPECKLE = 8
    SCRATCH = 9


@lru_cache(maxsize=1)
def atlas() -> tuple[U8, F32]:
    """Return the atlas and the column offset of each mip level."""
    rng = np.random.default_rng(20240229)
    tiles = [_make(kind, rng) for kind in Tile]
    offsets = np.cumsum([0] + [(TILE >> level) + 2 for level in range(_LEVELS)])
    image = np.full((_SLOT * len(tiles), int(offsets[-1])), 128, np.uint8)
    for row, tile in enumerate(tiles):
        level_image = tile
        for level in range(_LEVELS):
            size = TILE >> level
            wrapped = np.pad(level_image, ((0, 2), (0, 2)), mode="wrap")
            stored = np.clip(np.rint(128.0 + _GAIN * wrapped), 0, 255)
            top, left = row * _SLOT, int(offsets[level])
            image[top : top + size + 2, left : left + size + 2] = stored
            level_image = level_image.reshape(size // 2 or 1, -1, size // 2 or 1, min(size, 2))
            level_image = level_image.mean(axis=(1, 3))
    return image, offsets[:-1].astype(np.float32)


def look_up(tile: F32, u: F32, v: F32, footprint: F32) -> F32:
    """Return noise of about unit deviation at tile coordinates (period 1).

    Args:
        tile: (n,) kind of noise as a float, n < 32767.
        u: (n,) tile coordinate.
        v: (n,) tile coordinate.
        footprint: (n,) width of a pixel in tile coordinates.
    """
    image, offsets = atlas()
    # the bias keeps a little more detail than a box filter would
    level = np.log2(np.maximum(footprint * (TILE * 0.75), 1.0))
    level = np.minimum(np.rint(level), _LEVELS - 1.0).astype(np.int32)
    size = _SIZES.take(level)
    column = (u - np.floor(u)) * size + offsets.take(level)
    row = (v - np.floor(v)) * size + tile * _SLOT
    stored = cv2.remap(image, column[None], row[None], cv2.INTER_LINEAR)
    noise = (stored[0].astype(np.float32) - 128.0) * (1.0 / _GAIN)
    return np.asarray(noise, np.float32)


_SIZES = (TILE / 2.0 ** np.arange(_LEVELS)).astype(np.float32)


def _make(kind: Tile, rng: np.random.Generator) -> F64:
    if kind == Tile.FRACTAL:
        tile = _spectral(rng, 1.0)
    elif kind == Tile.GRAIN:
        tile = _spectral(rng, 0.35)
    elif kind == Tile.BLOTCH:
        tile = np.tanh(1.5 * _spectral(rng, 1.7)) + 0.25 * _spectral(rng, 0.7)
    elif kind == Tile.FIBRE:
        tile = _spectral(rng, 0.8, stretch=9.0)
    elif kind == Tile.WEAVE:
        tile = _weave() + 0.5 * _spectral(rng, 0.6)
    elif kind == Tile.PRINT:
        tile = _print(rng)
    elif kind == Tile.STONE:
        tile = _stones(rng)
    elif kind == Tile.LEAF:
        tile = _strokes(rng, 1500, (3, 9), (1, 3)) + 0.3 * _spectral(rng, 0.8)
    elif kind == Tile.SPECKLE:
        tile = _strokes(rng, 700, (1, 4), (1, 3)) + 0.2 * _spectral(rng, 0.3)
    else:
        tile = _strokes(rng, 60, (30, 90), (0, 1)) + 0.5 * _spectral(rng, 1.0)
    tile = tile - tile.mean()
    return np.asarray(tile / tile.std())


def _spectral(rng: np.random.Generator, power: float, stretch: float = 1.0) -> F64:
    frequency = np.fft.fftfreq(TILE) * TILE
    radius = np.hypot(frequency[None, :], frequency[:, None] * stretch)
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE))) / radius**power
    spectrum[0, 0] = 0.0
    noise = np.fft.ifft2(spectrum).real
    return np.asarray(noise / noise.std())


def _weave() -> F64:
    phase = np.arange(TILE) * (2.0 * np.pi * 32 / TILE)
    over = np.sign(np.sin(phase / 2.0)[:, None] * np.sin(phase / 2.0)[None, :])
    across = np.abs(np.sin(phase))
    return np.asarray(np.where(over > 0, across[:, None], across[None, :]) * 2.0)


def _print(rng: np.random.Generator) -> F64:
    page = np.zeros((TILE, TILE), np.float32)
    letters = np.array(list("ABCDEFGHKLMNOPRSTUVXYZ0123456789abcdefghiklmnoprstuvwxyz"))
    y = 14
    while y < TILE - 6:
        scale = float(rng.choice([0.3, 0.4, 0.6, 1.1]))
        text = "".join(rng.choice(letters, int(rng.integers(5, 60))))
        value = float(rng.uniform(-1.0, -0.5))
        cv2.putText(page, text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, scale, value, 1, cv2.LINE_AA)
        y += int(30 * scale) + 6
    for _ in range(6):
        x, y = rng.integers(0, TILE - 70, 2)
        w, h = rng.integers(12, 70, 2)
        cv2.rectangle(page, (int(x), int(y)), (int(x + w), int(y + h)), rng.uniform(-1, 1), -1)
    return page.astype(np.float64)


def _stones(rng: np.random.Generator) -> F64:
    free = np.full((TILE, TILE), 255, np.uint8)
    ys, xs = rng.integers(0, TILE, (2, 180))
    free[ys, xs] = 0
    tiled = np.tile(free, (3, 3))
    distance, label = cv2.distanceTransformWithLabels(
        tiled, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    middle = slice(TILE, 2 * TILE)
    # the same seed has another label in each copy of the tile: name cells by seed position
    seeds = np.zeros(int(label.max()) + 1)
    where = np.argwhere(tiled == 0)
    tone = rng.uniform(-1, 1, (TILE, TILE))
    seeds[label[where[:, 0], where[:, 1]]] = tone[where[:, 0] % TILE, where[:, 1] % TILE]
    cells = seeds[label[middle, middle]]
    return np.asarray(cells - 0.12 * distance[middle, middle].astype(np.float64))


def _strokes(
    rng: np.random.Generator, count: int, length: tuple[int, int], width: tuple[int, int]
) -> F64:
    page = np.zeros((3 * TILE, 3 * TILE), np.float32)
    for _ in range(count):
        x, y = rng.integers(0, TILE, 2)
        axes = (int(rng.integers(*length)), int(rng.integers(width[0], width[1] + 1)))
        angle, tone = float(rng.uniform(0, 180)), float(rng.uniform(-1, 1))
        for row in range(3):
            for column in range(3):
                center = (int(x) + column * TILE, int(y) + row * TILE)
                cv2.ellipse(page, center, axes, angle, 0, 360, tone, -1)
    return page[TILE : 2 * TILE, TILE : 2 * TILE].astype(np.float64)
