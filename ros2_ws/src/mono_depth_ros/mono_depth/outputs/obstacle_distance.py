"""A planar scan as autopilots take it: 72 sectors of 5 degrees, clockwise, in centimetres.

PX4 looks a sector up by `ceil(angle / increment)` and never asks whether there are that many, so
the sectors are always the whole circle, begin straight ahead and lie at multiples of 5 degrees.
What was not looked at is unknown, never clear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.errors import FrameError

SECTORS = 72
SECTOR_DEG = 5.0
UNKNOWN_CM = 65535
_FARTHEST_CM = UNKNOWN_CM - 2  # one more means clear, two more unknown
_TOUCHING_CM = 1  # autopilots skip a distance of 0
# Added to centimetres that another program turns from float to whole numbers by cutting off.
_ABOVE_CM = 0.2
_SLACK_DEG = 1e-3  # of sums of steps that are no whole number

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScanRays:
    """Ranges over bearings in a level body frame: x forward, y left (REP 103).

    A range is finite where there is an obstacle, +Inf where the ray was seen and is clear up to
    `range_max_m`, and NaN where nothing was seen.
    """

    bearings_rad: F64  # (n,) counter-clockwise from straight ahead
    step_rad: float  # between two neighbours, > 0: each ray speaks for half of it on either side
    ranges_m: F64  # (n,)
    range_min_m: float
    range_max_m: float
    stamp_ns: int

    @classmethod
    def of_scan(
        cls,
        ranges_m: npt.ArrayLike,
        *,
        angle_min_rad: float,
        angle_step_rad: float,
        range_min_m: float,
        range_max_m: float,
        stamp_ns: int,
        yaw_rad: float = 0.0,
    ) -> ScanRays:
        """Return the rays of a scan of even steps.

        Args:
            ranges_m: (n,) from `angle_min_rad` on.
            angle_min_rad: bearing of the first ray in the scan's frame.
            angle_step_rad: to the next ray; below 0 = the scan runs clockwise.
            range_min_m: nearest range that can be told.
            range_max_m: farthest range that can be told.
            stamp_ns: when it was seen.
            yaw_rad: of the scan's frame in the body, counter-clockwise.

        Raises:
            FrameError: no scan has such angles or limits.
        """
        ranges = np.asarray(ranges_m, np.float64).reshape(-1)
        numbers = (angle_min_rad, angle_step_rad, range_min_m, range_max_m, yaw_rad)
        if not all(map(math.isfinite, numbers)):
            raise FrameError(f"angles and limits of the scan are {numbers}, not all are numbers")
        if angle_step_rad == 0.0 or abs(angle_step_rad) * len(ranges) > 2.0 * math.pi + 0.5:
            raise FrameError(
                f"{len(ranges)} rays, {math.degrees(angle_step_rad):g} degrees apart, are no scan"
            )
        if not 0.0 <= range_min_m < range_max_m:
            raise FrameError(f"the scan reaches from {range_min_m:g} to {range_max_m:g} m")
        steps = np.arange(len(ranges), dtype=np.float64)
        return cls(
            bearings_rad=yaw_rad + angle_min_rad + angle_step_rad * steps,
            step_rad=abs(angle_step_rad),
            ranges_m=ranges,
            range_min_m=range_min_m,
            range_max_m=range_max_m,
            stamp_ns=stamp_ns,
        )


@dataclass(frozen=True, kw_only=True)
class ObstacleDistance:
    """MAVLink message 330, and PX4's message of the same name, in MAV_FRAME_BODY_FRD.

    Sector i looks 5 * i degrees clockwise from straight ahead, 2.5 degrees to either side.
    """

    distances_cm: npt.NDArray[np.uint16]  # (72,) max_cm + 1 = seen and clear, 65535 = unknown
    min_cm: int
    max_cm: int
    stamp_ns: int

    increment_deg: float = SECTOR_DEG
    angle_offset_deg: float = 0.0


def obstacle_distance(rays: ScanRays) -> ObstacleDistance:
    """Return the nearest obstacle in each sector.

    A sector is clear only where rays that saw nothing cover all of it; next to a ray that is
    unknown, or to the edge of the view, it is unknown. An obstacle nearer than can be told is at
    the least distance, for autopilots skip what is nearer than that.

    Source: https://mavlink.io/en/messages/common.html#OBSTACLE_DISTANCE
    """
    min_cm = max(_TOUCHING_CM, int(rays.range_min_m * 100.0))
    max_cm = min(_FARTHEST_CM, max(int(rays.range_max_m * 100.0), min_cm + 1))
    ranges = rays.ranges_m
    with np.errstate(invalid="ignore"):
        is_hit = ranges <= rays.range_max_m  # -Inf is nearer than can be told (REP 117)
    nearest = _nearest(rays, is_hit)
    cm = np.clip(np.floor(100.0 * nearest), min_cm, max_cm)
    otherwise = np.where(_is_clear(rays, is_hit), max_cm + 1, UNKNOWN_CM)
    return ObstacleDistance(
        distances_cm=np.where(nearest < np.inf, cm, otherwise).astype(np.uint16),
        min_cm=min_cm,
        max_cm=max_cm,
        stamp_ns=rays.stamp_ns,
    )


def mavros_ranges(message: ObstacleDistance) -> tuple[npt.NDArray[np.float32], float, float]:
    """Return ranges, range_min and range_max [m] that mavros' plugin turns into `message`.

    The plugin takes a scan for clockwise, cuts metres to whole centimetres, and makes 65535 of NaN
    and +Inf alike; a clear sector therefore is finite and one centimetre beyond range_max.

    Source: behaviour of mavros_extras/src/plugins/obstacle_distance.cpp, mavros 2.12.0.
    """
    cm = message.distances_cm.astype(np.float64)
    metres = np.where(cm == UNKNOWN_CM, np.nan, (cm + _ABOVE_CM) / 100.0)
    return (
        metres.astype(np.float32),
        (message.min_cm + _ABOVE_CM) / 100.0,
        (message.max_cm + _ABOVE_CM) / 100.0,
    )


def _nearest(rays: ScanRays, is_hit: npt.NDArray[np.bool_]) -> F64:
    """Return the nearest range in each sector, +Inf where there is none.

    A ray belongs to the sector that it points into; one that is wider than a sector to all those
    that its middle comes near, for it speaks for them, too.
    """
    bearing = -np.degrees(rays.bearings_rad[is_hit])
    reach = max(0.5 * (math.degrees(rays.step_rad) - SECTOR_DEG), 0.0)
    first = np.floor((bearing - reach) / SECTOR_DEG + 0.5).astype(np.intp)
    last = np.floor((bearing + reach) / SECTOR_DEG + 0.5).astype(np.intp)
    nearest = np.full(SECTORS, np.inf)
    for offset in range(int((last - first).max(initial=0)) + 1):
        sector = np.minimum(first + offset, last) % SECTORS
        np.minimum.at(nearest, sector, rays.ranges_m[is_hit])
    return nearest


def _is_clear(rays: ScanRays, is_hit: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which sectors clear rays cover over their whole width."""
    is_free = (rays.ranges_m == np.inf) & ~is_hit
    bearing, half = -np.degrees(rays.bearings_rad), 0.5 * math.degrees(rays.step_rad)
    low, high = bearing - half, bearing + half
    first = np.floor(low / SECTOR_DEG + 0.5).astype(np.intp)
    covered = np.zeros(SECTORS)
    for offset in range(math.ceil(2.0 * half / SECTOR_DEG) + 1):
        sector = first + offset
        begin = np.maximum(low, (sector - 0.5) * SECTOR_DEG)
        overlap = np.maximum(np.minimum(high, (sector + 0.5) * SECTOR_DEG) - begin, 0.0)
        share = np.where(is_free, overlap, np.where(overlap > _SLACK_DEG, -np.inf, 0.0))
        np.add.at(covered, sector % SECTORS, share)
    return np.asarray(covered > SECTOR_DEG - _SLACK_DEG)
