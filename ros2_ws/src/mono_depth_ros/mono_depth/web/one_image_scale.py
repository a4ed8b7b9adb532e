"""Metres of a single image, from a height or a length that the user knows.

The scale of a stream has to be measured several times before it is trusted. A single image shows
it once, so its state is `converging`: measured, not confirmed.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction, ScaleStatus
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.scale.fit import Fit
from mono_depth.scale.sources import ScaleInput, Sources

_ONE_IMAGE_SIGMA = 0.1  # of a ground seen once: the network's errors there are all alike


def scaled_by_ground(result: DepthResult, height_m: float) -> tuple[DepthResult, str]:
    """Return the depth in metres of a camera `height_m` over the ground that it sees.

    Args:
        result: with metres of the network, and a camera.
        height_m: of the optical centre over the ground [m].

    Returns:
        The depth, and why it was left as it is, "" = it was scaled.
    """
    network_m, camera = result.network_depth_m, result.intrinsics
    if network_m is None or camera is None:
        return result, "the height tells the scale of networks with metres only"
    found = _ground(result, network_m, camera, height_m)
    if isinstance(found, str):
        return result, found
    factor, sigma = found
    return rescaled(result, factor, "ground_plane", math.hypot(sigma, _ONE_IMAGE_SIGMA)), ""


def rescaled(result: DepthResult, factor: float, source: str, sigma_rel: float) -> DepthResult:
    """Return depth with its metres multiplied by a factor that was measured in this image.

    Args:
        result: with metres.
        factor: on them.
        source: what measured it.
        sigma_rel: relative deviation of the factor.
    """
    if result.network_depth_m is None:
        return result
    before = result.scale
    scale = ScaleStatus(
        source=source,
        state="converging",
        reason=f"{source} was measured in this image alone",
        scale=factor * before.scale,
        sigma_rel=sigma_rel,
        image_allows=before.image_allows,
    )
    return replace(result, network_depth_m=result.network_depth_m * factor, scale=scale)


def _ground(
    result: DepthResult, network_m: torch.Tensor, camera: Intrinsics, height_m: float
) -> tuple[float, float] | str:
    """Return factor and deviation, or why there are none."""
    frame = Frame(
        rgb=result.rgb, stamp_ns=result.stamp_ns, frame_id=result.frame_id, intrinsics=camera
    )
    prediction = Prediction(values=network_m, kind=OutputKind.METRIC)
    view = ScaleInput.of(prediction, frame, camera)
    if view is None:
        return "the network says nothing of this image"
    found = Sources().ask(
        "ground_plane",
        view,
        ScaleConfig(camera_height_m=height_m),
        shape=None,
        belief=None,
        free_slope=False,
    )
    if not isinstance(found, Fit):
        return found.reason
    factor = view.pivot.middle / math.exp(found.level)
    return factor, math.sqrt(float(found.covariance[0, 0]))
