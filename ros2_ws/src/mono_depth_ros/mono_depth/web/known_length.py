"""Metres of a single image, from the true length between two of its pixels."""

from __future__ import annotations

from mono_depth.outputs.depth_result import DepthResult
from mono_depth.web.api_error import BAD_PARAMETER, NO_METRES, ApiError
from mono_depth.web.lengths import Deviations, Pixel, depth_at, length, length_sigma, pixel_sigma
from mono_depth.web.one_image_scale import rescaled

_DOUBTFUL = 4.0  # times: a network of metres is seldom that wrong, a slip of the unit often
_LEAST_M = 1e-4


def scaled_by_length(
    result: DepthResult, known_m: float, ends: tuple[Pixel, Pixel]
) -> tuple[DepthResult, list[str]]:
    """Return depth by which the two pixels are `known_m` apart, and what is doubtful about it.

    Args:
        result: with metres of the network, and a camera.
        known_m: true length [m].
        ends: (column, row) of its ends.

    Raises:
        ApiError: there is no depth at an end, or both are one point.
    """
    if result.depth_m is None or result.intrinsics is None:
        raise ApiError(NO_METRES, "a known length tells the scale of networks with metres only")
    depth_m = result.depth_m.cpu().numpy()
    first, other = (depth_at(depth_m, end) for end in ends)
    if first is None or other is None:
        raise ApiError(BAD_PARAMETER, "known_length_m: no depth is known at its ends")
    known = (first, other)
    measured_m = length(ends, known, result.intrinsics)
    if measured_m < _LEAST_M:
        raise ApiError(BAD_PARAMETER, "known_length_m: both of its ends are the same point")
    confidence = result.own_confidence
    deviations = Deviations(
        scale=0.0,
        focal=0.0,
        pixel=pixel_sigma(None if confidence is None else confidence.float().cpu().numpy()),
    )
    sigma = length_sigma(ends, known, result.intrinsics, deviations)
    factor = known_m / measured_m
    doubts = []
    if not 1.0 / _DOUBTFUL <= factor <= _DOUBTFUL:
        doubts.append(
            f"the known length is {factor:.3g} times what the network sees; is it in metres?"
        )
    return rescaled(result, factor, "known_length", sigma), doubts
