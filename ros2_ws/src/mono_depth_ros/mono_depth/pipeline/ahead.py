"""What a network says of several images at once, before each of them goes its own way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from mono_depth.data import Frame, Prediction
from mono_depth.models.protocol import CompletionModel, DepthModel
from mono_depth.system.threads import torch_threads
from mono_depth.system.transfers import uploaded

_LOG = logging.getLogger(__name__)


def predicted_ahead(
    model: DepthModel, frames: Sequence[Frame], threads: int
) -> dict[int, Prediction]:
    """Return the predictions of frames by their `id`, of one run of the network.

    Args:
        model: any model.
        frames: whose images are of one size.
        threads: of the CPU, for the network.

    Returns:
        Nothing where a run for all is not possible, or not the same as one for each: of a single
        frame, of images that differ in size, of frames that bring more than an image, and where
        it fails. What is wrong is then told by the frame that it is wrong with.
    """
    if len(frames) < 2 or isinstance(model, CompletionModel):
        return {}
    if len({frame.rgb.shape for frame in frames}) > 1 or not all(map(_is_image_alone, frames)):
        return {}
    try:
        with torch.inference_mode(), torch_threads(threads):
            images = torch.stack([uploaded(frame.rgb, model.device) for frame in frames])
            found = model.infer_batch(images, [frame.intrinsics for frame in frames])
    except Exception as error:  # noqa: BLE001 - memory, or one image of several
        _LOG.debug("images one by one: %s", error)
        return {}
    sigma_rel = model.scale_sigma_rel
    return {
        id(frame): replace(prediction, scale_sigma_rel=sigma_rel, is_measured=False)
        for frame, prediction in zip(frames, found, strict=True)
    }


def _is_image_alone(frame: Frame) -> bool:
    more = (
        frame.sensor_depth_m,
        frame.sparse_points_m,
        frame.gravity_camera,
        frame.camera_height_m,
        frame.T_odom_camera,
    )
    return all(item is None for item in more)
