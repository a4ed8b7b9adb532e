"""Completion: what is known of the depth goes in, depth everywhere comes out.

What is known comes from a depth camera, from sparse points, or from a first guess by a monocular
model whose doubtful pixels are taken away again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import CompletionConfig
from mono_depth.data import DepthImage, Frame, Intrinsics, Prediction
from mono_depth.errors import FrameError
from mono_depth.models.protocol import (
    CompletionModel,
    DepthModel,
    GuidedModel,
    Hints,
)
from mono_depth.system.transfers import uploaded

_MIN_Z_M = 1e-3
_ANY_POINTS = 1


@dataclass(frozen=True, kw_only=True)
class KnownDepth:
    """Depth to start from."""

    depth_m: DepthImage  # (h, w), NaN = hole
    source: str  # sensor_depth or sparse_points


def predict(
    model: DepthModel,
    frame: Frame,
    rgb: torch.Tensor,
    config: CompletionConfig,
    *,
    image_alone: bool = False,
) -> tuple[Prediction, str]:
    """Run `model` on a frame with all that it can use.

    Args:
        model: any model; one that completes gets depth to start from, one that is guided gets
            whatever depth there is, and where the ground is.
        frame: may carry depth of a sensor, sparse points, height and gravity.
        rgb: the image of `frame` on the model's device.
        config: which depth is used.
        image_alone: the model gets nothing but the image, as in a calibration.

    Returns:
        The prediction with the record of its metres, and what was completed: sensor_depth,
        sparse_points, guess or "".

    Raises:
        FrameError: the model cannot take the frame, or `config` asks for depth that it lacks.
    """
    prediction, completed = _predicted(model, frame, rgb, config, image_alone=image_alone)
    # One that is merely guided by depth takes a single point, and guesses elsewhere.
    is_measured = isinstance(model, CompletionModel) and completed != "guess"
    sigma_rel = model.scale_sigma_rel
    return replace(prediction, scale_sigma_rel=sigma_rel, is_measured=is_measured), completed


def _predicted(
    model: DepthModel,
    frame: Frame,
    rgb: torch.Tensor,
    config: CompletionConfig,
    *,
    image_alone: bool,
) -> tuple[Prediction, str]:
    if image_alone:
        return model.infer(rgb, frame.intrinsics), "guess" * isinstance(model, CompletionModel)
    if isinstance(model, GuidedModel):
        return _guided(model, frame, rgb, config)
    if not isinstance(model, CompletionModel):
        return model.infer(rgb, frame.intrinsics), ""
    height, width = frame.rgb.shape[:2]
    known = known_depth(frame, model.depth_size(width, height), config)
    if known is None:
        return model.infer(rgb, frame.intrinsics), "guess"
    return model.complete(rgb, uploaded(known.depth_m, model.device)), known.source


def could_use(model: DepthModel, frame: Frame, config: CompletionConfig) -> bool:
    """Tell whether a frame brings something that `model` makes use of beside the image."""
    if not isinstance(model, (GuidedModel, CompletionModel)):
        return False
    if config.source != "guess" and (
        frame.sparse_points_m is not None or frame.sensor_depth_m is not None
    ):
        return True
    has_ground = frame.camera_height_m is not None and frame.gravity_camera is not None
    return isinstance(model, GuidedModel) and config.level_ground and has_ground


def _guided(
    model: GuidedModel,
    frame: Frame,
    rgb: torch.Tensor,
    config: CompletionConfig,
) -> tuple[Prediction, str]:
    camera = frame.intrinsics
    size = (0, 0) if camera is None else model.point_size(camera)  # without one none are drawn
    # a single point is of use to it
    known = known_depth(frame, size, replace(config, min_points=_ANY_POINTS))
    ground = Hints()
    if config.level_ground:
        ground = Hints(camera_height_m=frame.camera_height_m, gravity_camera=frame.gravity_camera)
    if known is None:
        return model.infer_guided(rgb, frame.intrinsics, ground), ""
    hints = replace(
        ground,
        depth_m=uploaded(known.depth_m, model.device),
        keeps_depth=known.source == "sensor_depth",
    )
    return model.infer_guided(rgb, frame.intrinsics, hints), known.source


def known_depth(frame: Frame, size: tuple[int, int], config: CompletionConfig) -> KnownDepth | None:
    """Return the depth that `frame` brings, None = none or too little.

    Args:
        frame: the depth of its sensor is taken before its sparse points.
        size: (width, height) in which sparse points are drawn.
        config: which of them is used, and how many points it must have.

    Raises:
        FrameError: `config` asks for one that is missing or has too few points.
    """
    found = {}
    if config.source in ("auto", "sensor_depth") and frame.sensor_depth_m is not None:
        found["sensor_depth"] = np.ascontiguousarray(frame.sensor_depth_m, np.float32)
    if (
        config.source in ("auto", "sparse_points")
        and frame.sparse_points_m is not None
        and frame.intrinsics is not None
    ):
        camera = frame.intrinsics.scaled_to(*size)
        found["sparse_points"] = drawn(frame.sparse_points_m, camera)
    for source, depth_m in found.items():
        if np.count_nonzero(depth_m > 0.0) >= config.min_points:
            return KnownDepth(depth_m=depth_m, source=source)
    if config.source in ("sensor_depth", "sparse_points"):
        count = max((np.count_nonzero(depth_m > 0.0) for depth_m in found.values()), default=0)
        raise FrameError(
            f"completion.source is {config.source}, but the frame has {count} points of it, "
            f"fewer than completion.min_points = {config.min_points}"
        )
    return None


def drawn(points_m: npt.NDArray[np.float32], camera: Intrinsics) -> DepthImage:
    """Project (N, 3) points of the optical frame into a depth map; the nearest one is seen.

    Returns:
        (camera.height, camera.width) float32 metres, NaN where no point falls.
    """
    points = np.asarray(points_m, np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[points[:, 2] > _MIN_Z_M]
    columns = np.rint(camera.fx * points[:, 0] / points[:, 2] + camera.cx)
    rows = np.rint(camera.fy * points[:, 1] / points[:, 2] + camera.cy)
    inside = (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    depth_m = np.full((camera.height, camera.width), np.inf, np.float32)
    pixels = rows[inside].astype(np.intp), columns[inside].astype(np.intp)
    np.minimum.at(depth_m, pixels, points[inside, 2].astype(np.float32))
    return np.where(np.isfinite(depth_m), depth_m, np.float32(np.nan))
