"""What belongs beside the depth of an image: its camera, its scale, the model. For JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mono_depth.outputs.depth_result import DepthResult


def describe(result: DepthResult, *, model: str, licence: str) -> dict[str, Any]:
    """Return the description of a depth image, with values that JSON can say.

    Args:
        result: the depth.
        model: name of the network.
        licence: of its weights.

    Returns:
        Size, camera (None = unknown, there are no metres), scale with its relative deviation
        (None = not known), what a planner may do, model.
    """
    scale, height, width = result.scale, *result.rgb.shape[:2]
    return {
        "width": width,
        "height": height,
        "stamp_ns": result.stamp_ns,
        "frame_id": result.frame_id,
        "is_metric": result.network_depth_m is not None,
        "intrinsics": None if result.intrinsics is None else dict(vars(result.intrinsics)),
        "scale": {
            "source": scale.source,
            "state": scale.state,
            "sigma_rel": finite(scale.sigma_rel),
            "scale": finite(scale.scale),
            "shift": finite(scale.shift),
            "reason": scale.reason,
            "conflict": scale.conflict,
        },
        "planner_use": result.planner_use.value,
        "limits_m": [result.limits.min_m, result.limits.max_m],
        "image_problem": result.image_problem,
        "temporal": result.temporal,
        "model": {"name": model, "licence": licence, "kind": result.kind.value},
    }


def finite(value: float) -> float | None:
    """Return a value as JSON can say it, None for NaN and infinity."""
    return value if math.isfinite(value) else None
