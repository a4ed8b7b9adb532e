"""From the numbers of a network to metres, and to inverse depth without unit."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Intrinsics, OutputKind, Prediction, ScaleStatus
from mono_depth.errors import ConfigError

MEASURED = ("sparse_points", "ground_plane", "odometry")  # sources that `ScaleTracker` asks

_WAYS_OUT = (
    "sparse_points, sensor_depth, scale.camera_height_m or odometry with scale.source auto, or "
    "calibrate (mono-depth calibrate)"
)
_METRIC_SOURCE = {
    OutputKind.METRIC: "model",
    OutputKind.METRIC_FOCAL: "model_focal",
    OutputKind.COMPLETION: "model",
}


def to_metres(
    prediction: Prediction, config: ScaleConfig, *, intrinsics: Intrinsics | None
) -> tuple[torch.Tensor | None, ScaleStatus]:
    """Return depth in metres as the model or fixed values give it, or None with the reason.

    Args:
        prediction: (h, w) output of the network, as `with_focal_rule` returns it.
        config: the chosen source of the scale.
        intrinsics: of the image. Without them a depth image has no geometry, so there are no
            metres either.

    Returns:
        (h, w) float32 metres, NaN where the output gives no positive finite depth; and where
        they come from.

    Raises:
        ConfigError: the source is the model, and the model gives no metres.
    """
    check_source(prediction.kind, config)
    if config.source == "none":
        return None, _no_metres("scale.source is none")
    if intrinsics is None:
        return None, _no_metres("no usable camera_info: the camera is uncalibrated")
    if config.source == "fixed":
        status = ScaleStatus(source="fixed", state="valid", scale=config.factor, shift=config.shift)
        return _fixed(prediction, config), status
    source = _METRIC_SOURCE.get(prediction.kind)
    if source is None:
        reason = f"the model gives {prediction.kind.value}; set scale.source to fixed for metres"
        return None, _no_metres(reason)
    if prediction.kind is OutputKind.METRIC and config.reference_focal > 0.0:
        source = "model_focal"
    return _positive(prediction.values), _claimed(prediction, source)


def check_source(kind: OutputKind, config: ScaleConfig) -> None:
    """Raise `ConfigError` if metres must come from a model that gives none."""
    if config.source in ("model", "model_focal") and kind not in _METRIC_SOURCE:
        raise ConfigError(
            f"scale.source is {config.source}, but the model gives {kind.value}, not metres; "
            "choose a metric model, or set scale.source to auto or fixed"
        )
    if (
        config.source == "model_focal"
        and kind is not OutputKind.METRIC_FOCAL
        and config.reference_focal <= 0.0
    ):
        raise ConfigError(
            f"scale.source is model_focal, but the model gives {kind.value}, without a focal "
            "rule of its own; set scale.reference_focal"
        )


def with_focal_rule(
    prediction: Prediction, config: ScaleConfig, intrinsics: Intrinsics
) -> Prediction:
    """Return the prediction for this camera, of a model that knows one focal length only.

    What a network sees is depth / focal length. A model of metres that was trained with one
    camera says how far the scene would be from that one; `METRIC_FOCAL` models correct this
    themselves. A fixed scale is one of the output as it is.
    """
    if config.reference_focal <= 0.0 or config.source == "fixed":
        return prediction
    if prediction.kind is not OutputKind.METRIC:
        return prediction
    factor = intrinsics.fx / intrinsics.width / config.reference_focal
    own = prediction.image_only
    return replace(
        prediction,
        values=prediction.values * factor,
        image_only=None if own is None else own * factor,
    )


def to_relative(prediction: Prediction) -> torch.Tensor:
    """Return (h, w) float32 inverse depth without unit: larger is nearer, NaN = unknown."""
    values = prediction.values
    if prediction.kind is OutputKind.INVERSE_AFFINE:
        return torch.where(values.abs() < torch.inf, values, torch.nan)
    return 1.0 / _positive(values)


def _fixed(prediction: Prediction, config: ScaleConfig) -> torch.Tensor:
    scaled = prediction.values * config.factor + config.shift
    if prediction.kind is OutputKind.INVERSE_AFFINE:
        return 1.0 / _positive(scaled)
    return _positive(scaled)


def _positive(values: torch.Tensor) -> torch.Tensor:
    return torch.where((values > 0.0) & (values < torch.inf), values, torch.nan)


def _claimed(prediction: Prediction, source: str) -> ScaleStatus:
    """Return the state of metres that the model gives as they are."""
    if prediction.is_measured:
        return ScaleStatus(source=source, state="valid", scale=1.0)
    sigma = prediction.scale_sigma_rel
    record = "" if math.isnan(sigma) else f", which is off by {100.0 * sigma:.0f} % on record"
    return ScaleStatus(
        source=source,
        state="assumed",
        reason=f"nothing measures the scale of the network{record}; give {_WAYS_OUT}",
        scale=1.0,
        sigma_rel=sigma,
    )


def _no_metres(reason: str) -> ScaleStatus:
    return ScaleStatus(source="none", state="uninitialised", reason=reason)
