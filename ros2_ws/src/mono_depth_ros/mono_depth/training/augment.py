"""Changes to a rendered example that a real camera could have caused."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.models.nano import focal_factor

_MAX_ROLL_DEG = 8.0
_MIN_CROP = 0.72  # of the largest window with the wanted aspect ratio

Floats = npt.NDArray[np.float32]


def random_view(
    rgb: RgbImage,
    depth_m: DepthImage,
    intrinsics: Intrinsics,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[RgbImage, DepthImage, Intrinsics]:
    """Cut a random window, mirrored in half of the cases and rolled a little.

    Depth along z does not change when a camera rolls about its optical axis, nor in a mirror.

    Args:
        rgb: (H, W, 3) uint8.
        depth_m: (H, W) metres, NaN = sky.
        intrinsics: camera of `rgb`.
        size: width and height of the result.
        rng: source of chance.

    Returns:
        Image, depth (0 = outside the rendered image) and camera of the window.
    """
    width, height = size
    window_w = min(intrinsics.width, intrinsics.height * width / height)
    window_h = window_w * height / width
    crop = rng.uniform(_MIN_CROP, 1.0)
    window_w, window_h = window_w * crop, window_h * crop
    left = rng.uniform(0.0, intrinsics.width - window_w) - 0.5
    top = rng.uniform(0.0, intrinsics.height - window_h) - 0.5
    sx, sy = width / window_w, height / window_h
    camera = Intrinsics(
        width=width,
        height=height,
        fx=intrinsics.fx * sx,
        fy=intrinsics.fy * sy,
        cx=(intrinsics.cx - left) * sx - 0.5,
        cy=(intrinsics.cy - top) * sy - 0.5,
    )
    to_window = np.array([[sx, 0, -left * sx - 0.5], [0, sy, -top * sy - 0.5], [0, 0, 1]])
    roll_deg = float(np.clip(rng.normal(0.0, _MAX_ROLL_DEG / 2), -_MAX_ROLL_DEG, _MAX_ROLL_DEG))
    to_window = to_window @ _roll(intrinsics, roll_deg)
    if rng.random() < 0.5:
        to_window = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]]) @ to_window
        camera = Intrinsics(
            width=width,
            height=height,
            fx=camera.fx,
            fy=camera.fy,
            cx=width - 1 - camera.cx,
            cy=camera.cy,
        )
    seen = cv2.warpAffine(
        rgb, to_window[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    depth = cv2.warpAffine(
        depth_m, to_window[:2], size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(seen, dtype=np.uint8), np.asarray(depth, dtype=np.float32), camera


def log_target(depth_m: DepthImage, camera: Intrinsics) -> Floats:
    """Return log depth at the canonical focal length; NaN = unknown (0), +inf = sky (NaN)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.log(depth_m / focal_factor(camera))
    target[np.isnan(depth_m)] = np.inf
    target[depth_m <= 0.0] = np.nan
    return np.asarray(target, dtype=np.float32)


def random_look(rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Change light, colour, texture, sharpness, noise and compression by chance.

    The renderer has been at it before, with the effects of a sensor; this only adds variety.
    """
    image: Floats = rgb.astype(np.float32) / 255.0
    if rng.random() < 0.25:
        image = _random_filter(image, rng)
    image = _colour(image, rng)
    if rng.random() < 0.2:
        image = _blur(image, rng)
    if rng.random() < 0.3:
        image = _noise(image, rng)
    out = np.clip(image * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    if rng.random() < 0.4:
        out = _jpeg(out, quality=int(rng.integers(25, 95)))
    return np.asarray(out, dtype=np.uint8)


def _roll(intrinsics: Intrinsics, roll_deg: float) -> npt.NDArray[np.float64]:
    """Return the homography of a roll about the optical axis, which is linear in pixels."""
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    K = intrinsics.matrix()
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(K @ rotation @ np.linalg.inv(K), dtype=np.float64)


def _random_filter(image: Floats, rng: np.random.Generator) -> Floats:
    """Blend with a random 3x3 filter: shapes stay, texture changes.

    Source: Xu et al., "Robust and Generalizable Visual Representation Learning via Random
    Convolutions", ICLR 2021.
    """
    kernel = rng.normal(0.0, 1.0, (3, 3)).astype(np.float32)
    filtered = np.asarray(cv2.filter2D(image, -1, kernel), dtype=np.float32)
    low, high = np.percentile(filtered[::4, ::4], (1, 99))
    filtered = (filtered - low) / max(float(high - low), 1e-3)
    share = np.float32(rng.uniform(0.0, 0.6))
    return np.asarray(image * (1 - share) + filtered.clip(0, 1) * share, dtype=np.float32)


def _colour(image: Floats, rng: np.random.Generator) -> Floats:
    image = image * rng.uniform(0.8, 1.25, 3).astype(np.float32)  # white balance
    if rng.random() < 0.1:
        image = image[..., rng.permutation(3)]
    grey = image.mean(2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.5)
    image = grey + (image - grey) * np.float32(saturation)
    middle = np.float32(image.mean())
    image = middle + (image - middle) * np.float32(rng.uniform(0.7, 1.3))
    image = image.clip(0.0, 1.5) * np.float32(2.0 ** rng.uniform(-0.7, 0.5))  # exposure
    return np.asarray(image.clip(0.0, 1.0) ** np.float32(rng.uniform(0.7, 1.4)), dtype=np.float32)


def _blur(image: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.3:  # a moving camera
        length = int(rng.integers(2, 8))
        angle = rng.uniform(0.0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        for step in np.linspace(-length / 2, length / 2, 17):
            kernel[round(4 + step * np.sin(angle)), round(4 + step * np.cos(angle))] = 1.0
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), dtype=np.float32)
    sigma_px = float(rng.uniform(0.3, 1.3))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.float32)


def _noise(image: Floats, rng: np.random.Generator) -> Floats:
    """Add shot noise, which grows with light, and read noise, which does not."""
    shot, read = rng.uniform(0.0, 0.04), rng.uniform(0.0, 0.03)
    sigma = np.sqrt(shot**2 * image.clip(0.0, 1.0) + read**2)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma
    return np.asarray(image + noise, dtype=np.float32)


def _jpeg(rgb: RgbImage, quality: int) -> RgbImage:
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(decoded, dtype=np.uint8)
