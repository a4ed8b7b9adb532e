"""Camera image to the image of a pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import FrameError

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class LensModel(Enum):
    """How a lens bends light. The values are the numbers of coefficients it may have."""

    POLYNOMIAL = (4, 5, 8, 12, 14)  # k1 k2 p1 p2 [k3 [k4 k5 k6 [s1..s4 [tx ty]]]]
    FISHEYE = (4,)  # k1 k2 k3 k4 of the equidistant model


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Distortion of a lens in OpenCV's parametrisation, the one of ROS."""

    model: LensModel
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.coefficients) not in self.model.value:
            raise FrameError(
                f"{len(self.coefficients)} coefficients of a {self.model.name.lower()} lens, "
                f"expected one of {self.model.value}"
            )
        if not np.isfinite(self.coefficients).all():
            raise FrameError(f"lens coefficients {self.coefficients} are not finite")


class Rectifier:
    """Turns the images of one camera into those of a pinhole camera of the same size."""

    def __init__(
        self,
        *,
        raw: Intrinsics,
        lens: Lens,
        rectified: Intrinsics,
        rotation: tuple[float, ...] = IDENTITY,
        raw_skew_px: float = 0.0,
    ) -> None:
        """Compute the maps, once for all images.

        Args:
            raw: camera matrix and size of the distorted image.
            lens: its distortion.
            rectified: the pinhole camera to make, of the size of `raw`.
            rotation: 3x3 row-major, turns points of the raw camera's frame into the rectified.
            raw_skew_px: K[0, 1] of the distorted image; OpenCV's fisheye alpha is this / fx.

        Raises:
            FrameError: the two sizes differ.
        """
        size = (raw.width, raw.height)
        if size != (rectified.width, rectified.height):
            raise FrameError(
                f"rectified image of {rectified.width}x{rectified.height}, "
                f"expected the {raw.width}x{raw.height} of the raw image"
            )
        self.intrinsics = rectified
        make_maps = (
            cv2.fisheye.initUndistortRectifyMap
            if lens.model is LensModel.FISHEYE
            else cv2.initUndistortRectifyMap
        )
        columns, rows = make_maps(
            raw.matrix(),
            np.array(lens.coefficients),
            np.reshape(rotation, (3, 3)),
            rectified.matrix(),
            size,
            cv2.CV_32FC1,
        )
        # OpenCV makes its maps without a skew: a shear of the distorted image puts it in.
        columns = columns + np.float32(raw_skew_px / raw.fy) * (rows - np.float32(raw.cy))
        edge = 1.0 / 64.0  # half a step of the maps below
        # (H, W) bool, False where the camera saw nothing and the rectified image is black.
        self.is_visible: npt.NDArray[np.bool_] = (
            (columns > -edge)
            & (columns < raw.width - 1 + edge)
            & (rows > -edge)
            & (rows < raw.height - 1 + edge)
        )
        # Fixed point: twice as fast as float maps, exact to 1/32 pixel.
        self._maps = cv2.convertMaps(columns, rows, cv2.CV_16SC2)
        # Given the map above, older releases of OpenCV round down to find the nearest pixel.
        self._nearest = cv2.convertMaps(columns, rows, cv2.CV_16SC2, nninterpolation=True)

    def apply(self, rgb: RgbImage) -> RgbImage:
        """Return the rectified image; black where the camera saw nothing."""
        self._check_size(rgb)
        return cv2.remap(rgb, *self._maps, cv2.INTER_LINEAR).astype(np.uint8, copy=False)

    def apply_to_depth(self, depth_m: DepthImage) -> DepthImage:
        """Return rectified depth, the nearest value of each pixel; NaN where there is none.

        The values stay distances along the raw camera's axis: right without `rotation` only.
        """
        self._check_size(depth_m)
        rectified = cv2.remap(depth_m, *self._nearest, cv2.INTER_NEAREST, borderValue=(np.nan,) * 4)
        return rectified.astype(np.float32, copy=False)

    def _check_size(self, image: npt.NDArray[Any]) -> None:
        height, width = image.shape[:2]
        expected = (self.intrinsics.width, self.intrinsics.height)
        if (width, height) != expected:
            raise FrameError(
                f"image of {width}x{height}, this camera makes {expected[0]}x{expected[1]}"
            )
