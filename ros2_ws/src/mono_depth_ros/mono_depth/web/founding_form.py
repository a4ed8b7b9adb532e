"""`POST /predict`: depth in one answer of JSON, for simple clients."""

from __future__ import annotations

import base64
import re
from typing import Any

from mono_depth.outputs.files.depth_png import FORMAT, depth_png
from mono_depth.web.api_error import BAD_PARAMETER, ApiError
from mono_depth.web.estimate import Estimate
from mono_depth.web.result_files import sampled

RESOLUTION = "resolution"
_MOST_PIXELS = 1 << 24


def take_resolution(fields: list[tuple[str, str]]) -> tuple[int, int] | None:
    """Remove the field `resolution` and return its (width, height), None = that of the image.

    A height of 0 keeps the proportions.

    Raises:
        ApiError: it is neither WIDTHxHEIGHT nor WIDTH.
    """
    texts = [text.strip() for name, text in fields if name == RESOLUTION and text.strip()]
    fields[:] = [item for item in fields if item[0] != RESOLUTION]
    if not texts:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", texts[0].lower())
    if match is None or len(texts) > 1:
        raise ApiError(BAD_PARAMETER, f"{RESOLUTION}: {texts[0][:40]!r} is not such as 640x480")
    width, height = int(match[1]), int(match[2] or 0)
    if width * max(height, 1) > _MOST_PIXELS:
        raise ApiError(BAD_PARAMETER, f"{RESOLUTION}: {_MOST_PIXELS} pixels at most")
    return width, height


def success(estimate: Estimate, name: str, resolution: tuple[int, int] | None) -> dict[str, Any]:
    """Return the answer: the depth image in base64 and as a link.

    Args:
        estimate: with metres.
        name: of the result that is kept.
        resolution: width and height of the depth image; pixels are picked, never mixed.

    Raises:
        ApiError: there are no metres.
    """
    depth_m = estimate.metres
    if resolution is not None:
        width, height = resolution
        height = height or max(1, round(width * depth_m.shape[0] / depth_m.shape[1]))
        depth_m = sampled(depth_m, height, width)
    return {
        "success": True,
        "depth_image": base64.b64encode(depth_png(depth_m)).decode(),
        "depth_image_url": f"/v1/results/{name}/depth.png",
        "width": depth_m.shape[1],
        "height": depth_m.shape[0],
        "format": {"media_type": "image/png", "bits": 16, **FORMAT},
        "statistics": estimate.statistics,
        "scale": estimate.description["scale"],
        "model": estimate.description["model"],
        "warnings": list(estimate.warnings),
    }


def failure(error: ApiError) -> dict[str, Any]:
    """Return the answer of a request that failed."""
    return {"success": False, "message": error.message, "code": error.kind.code}
