"""camera_info messages to cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mono_depth.camera.rectify import IDENTITY, Lens, LensModel, Rectifier
from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.messages.protocols import CameraInfoMessage

# Source: sensor_msgs/distortion_models.hpp; "fisheye" is what some drivers call "equidistant".
_LENS_MODELS = {
    "plumb_bob": LensModel.POLYNOMIAL,
    "rational_polynomial": LensModel.POLYNOMIAL,
    "equidistant": LensModel.FISHEYE,
    "fisheye": LensModel.FISHEYE,
}

_MAX_SKEW = 0.05  # of fx: more is no calibration
_MAX_UNUSED_SKEW = 0.01  # of fx: some 2 pixels in a corner of 640x480


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The pinhole camera of the image that depth is computed on."""

    intrinsics: Intrinsics
    rectifier: Rectifier | None = None  # None = the image is one of a pinhole camera already


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The part of the sensor that an image shows."""

    left: int  # in full resolution pixels, like top, width and height
    top: int
    width: int
    height: int
    binning_x: int
    binning_y: int

    @property
    def image_size(self) -> tuple[int, int]:
        return self.width // self.binning_x, self.height // self.binning_y

    def camera(
        self, matrix: Sequence[float], columns: int, name: str, *, max_skew: float = _MAX_SKEW
    ) -> Intrinsics:
        """Return the camera of the window, given K (3 columns) or P (4) of the whole sensor."""
        fx, skew, cx, fy, cy = (matrix[i] for i in (0, 1, 2, columns + 1, columns + 2))
        if fx <= 0.0 or fy <= 0.0 or abs(skew) > max_skew * fx:
            raise FrameError(
                f"{name} of camera_info has fx, fy, skew = {fx:g}, {fy:g}, {skew:g}, "
                f"expected > 0, > 0, at most {max_skew:g} fx"
            )
        width, height = self.image_size
        # A bin of n pixels has its centre (n - 1) / 2 behind the centre of its first pixel.
        return Intrinsics(
            width=width,
            height=height,
            fx=fx / self.binning_x,
            fy=fy / self.binning_y,
            cx=(cx - self.left + 0.5) / self.binning_x - 0.5,
            cy=(cy - self.top + 0.5) / self.binning_y - 0.5,
        )


def calibration_from_info(
    msg: CameraInfoMessage, image_width: int, image_height: int, *, rectify: bool = False
) -> Calibration | None:
    """Read the camera of an image.

    Cheap enough to be called for every frame: the maps of a rectifier are kept.

    Args:
        msg: calibration of the whole sensor, with binning and region of interest (REP 104).
        image_width: size of the image that came with it [px].
        image_height: size of the image that came with it [px].
        rectify: the image is distorted, give a rectifier. Otherwise it must be rectified
            already, and the distortion in `msg` is not looked at.

    Returns:
        The camera of the rectified image: P, or K where P is zero. None where there is neither,
        or where K[0] is 0 and `rectify` needs it: the sign of an uncalibrated camera.

    Raises:
        FrameError: numbers that are no calibration, another image size, an unknown lens model.

    Source: sensor_msgs/CameraInfo.msg.
    """
    d, k, r, p = d_k_r_p(msg)
    is_rectified = not rectify and p[0] != 0.0
    p = _finite(p, "P")
    if not is_rectified:
        k = _finite(k, "K")
        if k[0] == 0.0:
            return None
    window = _window(msg)
    if (image_width, image_height) != window.image_size:
        raise FrameError(
            f"image of {image_width}x{image_height}, but camera_info is for "
            f"{window.image_size[0]}x{window.image_size[1]} "
            f"({msg.width}x{msg.height}, region {window.width}x{window.height}, "
            f"binning {window.binning_x}x{window.binning_y})"
        )
    if not rectify:
        matrix, columns, name = (p, 4, "P") if is_rectified else (k, 3, "K")
        camera = window.camera(matrix, columns, name, max_skew=_MAX_UNUSED_SKEW)
        return Calibration(intrinsics=camera)
    raw, raw_skew_px = window.camera(k, 3, "K"), k[1] / window.binning_x
    # The rectifier makes the image, so it makes one without the skew of P.
    rectified = window.camera(p, 4, "P") if p[0] != 0.0 else raw
    lens, rotation = _lens(msg.distortion_model, d), _rotation(r)
    is_straight = not any(lens.coefficients) and raw_skew_px == 0.0 and rotation == IDENTITY
    if is_straight and raw == rectified:
        return Calibration(intrinsics=rectified)
    rectifier = _rectifier(raw, raw_skew_px, lens, rectified, rotation)
    return Calibration(intrinsics=rectified, rectifier=rectifier)


def d_k_r_p(
    msg: CameraInfoMessage,
) -> tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]:
    """Return D, K, R and P, whose names ROS 1 writes as capitals."""
    d, k, r, p = (getattr(msg, name) for name in ("dkrp" if hasattr(msg, "k") else "DKRP"))
    return d, k, r, p


def _window(msg: CameraInfoMessage) -> _Window:
    roi = msg.roi
    window = _Window(
        left=roi.x_offset,
        top=roi.y_offset,
        width=roi.width or msg.width,  # 0 = the whole sensor
        height=roi.height or msg.height,
        binning_x=msg.binning_x or 1,  # 0 = 1
        binning_y=msg.binning_y or 1,
    )
    if window.left + window.width > msg.width or window.top + window.height > msg.height:
        raise FrameError(
            f"region of interest {window.width}x{window.height} at {window.left}, {window.top} "
            f"leaves the {msg.width}x{msg.height} image of camera_info"
        )
    return window


def _lens(model_name: str, d: Sequence[float]) -> Lens:
    coefficients = _finite(d, "D")
    if not any(coefficients) and (model_name in ("", "none") or not coefficients):
        return Lens(model=LensModel.POLYNOMIAL, coefficients=(0.0,) * 5)
    if model_name not in _LENS_MODELS:
        raise FrameError(
            f"distortion model {model_name!r} of camera_info, "
            f"expected one of {', '.join(_LENS_MODELS)}: rectify the image beforehand"
        )
    model = _LENS_MODELS[model_name]
    counts = model.value
    if len(coefficients) > counts[0] and not any(coefficients[counts[0] :]):
        coefficients = coefficients[: counts[0]]  # some drivers fill up with zeros
    if len(coefficients) not in counts:
        *others, last = map(str, counts)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise FrameError(
            f"D of camera_info has {len(coefficients)} numbers, {model_name} has {expected}"
        )
    return Lens(model=model, coefficients=coefficients)


def _rotation(r: Sequence[float]) -> tuple[float, ...]:
    rotation = _finite(r, "R")
    if not any(rotation):
        return IDENTITY
    matrix = np.reshape(rotation, (3, 3))
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3):
        raise FrameError(f"R of camera_info is not a rotation: {rotation}")
    return rotation


def _finite(numbers: Sequence[float], name: str) -> tuple[float, ...]:
    values = tuple(map(float, numbers))
    if not np.isfinite(values).all():
        raise FrameError(f"{name} of camera_info is not finite: {values}")
    return values


@lru_cache(maxsize=4)
def _rectifier(
    raw: Intrinsics,
    raw_skew_px: float,
    lens: Lens,
    rectified: Intrinsics,
    rotation: tuple[float, ...],
) -> Rectifier:
    return Rectifier(
        raw=raw, raw_skew_px=raw_skew_px, lens=lens, rectified=rectified, rotation=rotation
    )
