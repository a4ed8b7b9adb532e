"""What a real camera does to light: blur, exposure, noise, colour, compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mono_depth.synthetic.arrays import F32, U8

_CURVE_STEPS = 4096
_NORMALS = 1 << 21
_CURVE_TOP = 2.0  # light beyond this is white in every exposure


@dataclass(frozen=True, kw_only=True)
class SensorEffects:
    """Effects in the order in which light meets them. The defaults are a good camera."""

    defocus_px: float = 0.35  # sigma of the blur by lens and pixel
    motion_px: float = 0.0  # length of the blur by motion
    motion_rad: float = 0.0  # its direction in the image
    vignetting: float = 0.15  # loss of light in the corners
    exposure: float = 1.0  # on top of the automatic exposure
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shot_noise: float = 0.006  # deviation at full light
    read_noise: float = 0.002
    contrast: float = 1.0  # slope of the tone curve in the middle
    saturation: float = 1.0
    jpeg_quality: int | None = None

    @staticmethod
    def random(rng: np.random.Generator, width: int) -> SensorEffects:
        """Return the effects of a random camera, mostly a fair one, for images of a width."""
        scale = width / 320.0
        warmth = float(rng.normal(0.0, 0.08))
        green = float(rng.normal(0.0, 0.03))
        poor = rng.uniform() < 0.25
        return SensorEffects(
            defocus_px=scale * float(rng.exponential(0.7 if poor else 0.2)),
            motion_px=scale * float(rng.exponential(2.5)) if rng.uniform() < 0.15 else 0.0,
            motion_rad=float(rng.uniform(0.0, np.pi)),
            vignetting=float(rng.uniform(0.0, 0.4)),
            exposure=float(np.exp(rng.normal(0.0, 0.3))),
            white_balance=(1.0 + warmth, 1.0 + green, 1.0 - warmth),
            shot_noise=float(rng.exponential(0.02 if poor else 0.006)),
            read_noise=float(rng.exponential(0.006 if poor else 0.002)),
            contrast=float(rng.uniform(0.8, 1.35)),
            saturation=float(rng.uniform(0.0, 1.2)) if rng.uniform() < 0.25 else 1.0,
            jpeg_quality=int(rng.integers(35, 96)) if rng.uniform() < 0.4 else None,
        )

    def apply(self, rgb_linear: F32, rng: np.random.Generator, gain: float | None = None) -> U8:
        """Return the (H, W, 3) image that the camera gives of linear light.

        Args:
            rgb_linear: (H, W, 3) radiance.
            rng: decides the noise.
            gain: exposure of the camera, None = automatic for this image.
        """
        height, width = rgb_linear.shape[:2]
        light = rgb_linear
        if self.motion_px > 0.7:
            streak = _streak(self.motion_px, self.motion_rad)
            light = np.asarray(cv2.filter2D(light, -1, streak), np.float32)
        if self.defocus_px > 0.2:
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), self.defocus_px), np.float32)
        total = self.exposure * (auto_gain(rgb_linear) if gain is None else gain)
        channel_gain = np.array(self.white_balance, np.float32) * np.float32(total)
        light = light * channel_gain
        if self.vignetting > 0.0:
            light *= _vignette(height, width, self.vignetting)[..., None]
        np.clip(light, 0.0, _CURVE_TOP, out=light)
        if self.shot_noise > 0.0 or self.read_noise > 0.0:
            noise = _normal(light.shape, rng) * np.sqrt(
                light * np.float32(self.shot_noise**2) + self.read_noise**2
            )
            light += noise
            np.clip(light, 0.0, _CURVE_TOP, out=light)
        image = self._curve().take((light * ((_CURVE_STEPS - 1) / _CURVE_TOP)).astype(np.intp))
        if self.saturation != 1.0:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
            mixed = grey + self.saturation * (image.astype(np.float32) - grey)
            image = np.clip(mixed, 0, 255).astype(np.uint8)
        if self.jpeg_quality is not None:
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return np.asarray(image, np.uint8)

    def _curve(self) -> U8:
        x = np.linspace(0.0, _CURVE_TOP, _CURVE_STEPS)
        display = np.where(x < 0.6, x, 1.0 - 0.4 * np.exp(-(x - 0.6) / 0.4)) ** (1.0 / 2.2)
        bent = 0.5 + self.contrast * (display - 0.5)
        return np.asarray(np.clip(np.rint(255.0 * bent), 0, 255), np.uint8)


def auto_gain(rgb_linear: F32) -> float:
    """Return the gain that an automatic exposure would choose."""
    grey = rgb_linear[::4, ::4].mean(axis=2)
    middle = float(np.exp(np.log(grey + 1e-3).mean()))
    return float(min(0.2 / middle, 1.3 / max(float(np.percentile(grey, 92)), 1e-3)))


@lru_cache(maxsize=1)
def _normal_table() -> F32:
    return np.random.default_rng(1).standard_normal(_NORMALS, np.float32)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> F32:
    """Return normal noise: a random piece of a long table, five times faster than new noise."""
    count = int(np.prod(shape))
    if 2 * count > _NORMALS:
        return rng.standard_normal(shape, np.float32)
    start = int(rng.integers(_NORMALS - count))
    return _normal_table()[start : start + count].reshape(shape)


def _vignette(height: int, width: int, loss: float) -> F32:
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)
    return np.asarray(1.0 - np.float32(0.5 * loss) * (x[None] ** 2 + y[:, None] ** 2))


def _streak(length_px: float, angle_rad: float) -> F32:
    """Return the kernel of a straight motion."""
    half = int(np.ceil(length_px / 2.0)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    shift = 16.0  # cv2.line takes 1/16 pixels with shift=4
    dx, dy = 0.5 * length_px * np.cos(angle_rad), 0.5 * length_px * np.sin(angle_rad)
    start = (round((half - dx) * shift), round((half - dy) * shift))
    end = (round((half + dx) * shift), round((half + dy) * shift))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / kernel.sum(), np.float32)
