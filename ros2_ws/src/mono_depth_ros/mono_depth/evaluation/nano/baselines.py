"""What the built-in network has to be compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage

_ROWS = 32
_CENTRES = (np.arange(_ROWS) + 0.5) / _ROWS  # of the bands, as a fraction of the height
_FASTDEPTH_SIDE_PX = 224


@dataclass(frozen=True, kw_only=True)
class DepthPrior:
    """Depth of an image that nobody looked at, per pixel of focal length."""

    log_constant: float  # median of log(depth / focal_px * image height) over a training set
    log_rows: npt.NDArray[np.float64]  # (32,) mean of it in each of 32 rows, top to bottom

    def constant(self, intrinsics: Intrinsics) -> DepthImage:
        """Return one depth for all pixels."""
        depth_m = np.exp(self.log_constant) * intrinsics.fy / intrinsics.height
        return np.full((intrinsics.height, intrinsics.width), depth_m, np.float32)

    def rows(self, intrinsics: Intrinsics) -> DepthImage:
        """Return a depth for each row of the image."""
        rows = (np.arange(intrinsics.height) + 0.5) / intrinsics.height
        depth_m = np.exp(np.interp(rows, _CENTRES, self.log_rows)) * intrinsics.fy
        column = (depth_m / intrinsics.height).astype(np.float32)[:, None]
        return np.repeat(column, intrinsics.width, axis=1)


def learn_prior(examples: Iterable[tuple[DepthImage, Intrinsics]]) -> DepthPrior:
    """Learn the prior from depth images (NaN = sky) and their cameras."""
    profiles, medians = [], []
    for depth_m, camera in examples:
        finite = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.nan)
        log_depth = np.log(finite * camera.height / camera.fy)
        if np.isnan(log_depth).all():
            continue
        known = np.isfinite(log_depth)
        sums = np.where(known, log_depth, 0.0).sum(axis=1)
        count = known.sum(axis=1)
        row_means = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        profiles.append(row_means[(_CENTRES * camera.height).astype(int)])
        medians.append(np.nanmedian(log_depth))
    table = np.array(profiles)
    return DepthPrior(
        log_constant=float(np.median(medians)), log_rows=np.asarray(np.nanmean(table, axis=0))
    )


class FastDepth:
    """A network trained on real rooms (NYU Depth v2), from its authors' ONNX file.

    Source: Wofk et al., "FastDepth: Fast Monocular Depth Estimation on Embedded Systems",
    ICRA 2019. Input: the whole image at 224x224, RGB in 0..1; output: metres.
    """

    def __init__(self, onnx_file: Path) -> None:
        import onnxruntime  # an optional extra

        self._session = onnxruntime.InferenceSession(
            str(onnx_file), providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, rgb: RgbImage) -> DepthImage:
        """Return (224, 224) depth in metres that covers the whole image."""
        side = (_FASTDEPTH_SIDE_PX, _FASTDEPTH_SIDE_PX)
        small = cv2.resize(rgb, side, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
        batch = np.ascontiguousarray(small.transpose(2, 0, 1)[None])
        return np.asarray(self._session.run(None, {self._input: batch})[0][0, 0], np.float32)
