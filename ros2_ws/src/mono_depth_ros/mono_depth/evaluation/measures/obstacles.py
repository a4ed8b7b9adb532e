"""Things that stand before something: which of them a prediction shows, and which it invents.

A network may be right about floor and walls, and so about most pixels, and show no thing at all.
Here a thing counts as one, however few pixels it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.evaluation.measures.boundaries import bridged
from mono_depth.evaluation.measures.metrics import Depths

Bools = npt.NDArray[np.bool_]

NEARER = 1.15  # ratio of what lies behind to an obstacle
MOST_DEPTH_M = 4.0
AT_ITS_DEPTH = 0.2  # relative error of the median depth, up to which an obstacle is found

_WIDEST = 0.4  # of the image's width: what fills more than that is a part of the room
_LEAST_AREA = 0.001  # of the image
_LEAST_THIN_AREA = 0.0004
_THIN_PX = 2.5  # from the middle to the rim
_LOW_M = 0.2
_RING_PX = 6  # around an obstacle, where that is looked for which lies behind
_LEAST_JUMP = 0.3  # of the rim: a wall that comes nearer has none
_KNOWN = 0.5  # of an invented obstacle's pixels, of which the truth is known
_INVENTED = 1.25  # ratio of the truth to it
_HALF_THE_STEP = 0.5  # of the truth, in log depth: less is no thing before another
_UPRIGHT = 0.8  # cosine between what is floor and level ground, of a camera that is held level
_FLOOR_REACH_M = 2.5
_FAR_M = np.float32(1e9)  # stands for what is not known


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """A connected region that stands before something."""

    mask: Bools  # (H, W) its pixels
    behind: Bools  # (H, W) pixels beside it that lie behind
    depth_m: float  # median
    behind_m: float  # median
    is_thin: bool  # nowhere wider than five pixels, such as the leg of a chair
    is_low: bool  # less than 20 cm from its lowest to its highest row


@dataclass(frozen=True, kw_only=True)
class ObstacleCounts:
    """How many obstacles there are, and how many of them a prediction has."""

    all: int = 0
    found: int = 0  # its median depth is within 20 %
    seen: int = 0  # found, and the prediction has at least half of the step to what lies behind
    thin: int = 0
    thin_found: int = 0
    low: int = 0
    low_found: int = 0
    invented: int = 0  # of the prediction, with nothing there

    def __add__(self, other: ObstacleCounts) -> ObstacleCounts:
        theirs = vars(other)
        return ObstacleCounts(**{name: count + theirs[name] for name, count in vars(self).items()})


def find_obstacles(depth_m: Depths, camera: Intrinsics) -> list[Obstacle]:
    """Return what stands before something by more than 15 %, within 4 m.

    What lies behind is the morphological closing of the depth: each near region that is narrower
    than two fifths of the image is filled from around it. A floor that rises stays as it is.

    Args:
        depth_m: (H, W), NaN = not known.
        camera: of the same size.
    """
    depth = bridged(depth_m).astype(np.float32)
    known = np.isfinite(depth)
    behind = _closed(depth, int(_WIDEST * camera.width) | 1)
    with np.errstate(invalid="ignore"):
        is_near = known & (depth <= MOST_DEPTH_M) & (behind > NEARER * depth)
    # a pixel beside a nearer one belongs to what lies behind that
    nearest = cv2.erode(np.where(known, depth, _FAR_M), _cross())
    with np.errstate(invalid="ignore"):
        is_near &= depth <= NEARER * nearest
    count, labels = cv2.connectedComponents(is_near.astype(np.uint8), connectivity=4)
    candidates = (_obstacle(labels == label, depth, camera) for label in range(1, count))
    return [found for found in candidates if found is not None]


def count_obstacles(
    prediction_m: Depths, truth_m: Depths, camera: Intrinsics, obstacles: Sequence[Obstacle]
) -> ObstacleCounts:
    """Return which obstacles of the truth a prediction shows, and how many it invents.

    Args:
        prediction_m: (H, W) metres; align them first where only shape is judged.
        truth_m: (H, W), NaN = not known.
        camera: of the same size.
        obstacles: `find_obstacles` of the truth.
    """
    total = ObstacleCounts()
    for item in obstacles:
        said_m = float(np.median(prediction_m[item.mask]))
        is_found = abs(said_m / item.depth_m - 1.0) <= AT_ITS_DEPTH
        step = np.log(float(np.median(prediction_m[item.behind])) / said_m)
        stands_out = step >= _HALF_THE_STEP * np.log(item.behind_m / item.depth_m)
        total += ObstacleCounts(
            all=1,
            found=int(is_found),
            seen=int(is_found and stands_out),
            thin=int(item.is_thin),
            thin_found=int(item.is_thin and is_found),
            low=int(item.is_low),
            low_found=int(item.is_low and is_found),
        )
    invented = sum(_is_invented(item, truth_m) for item in find_obstacles(prediction_m, camera))
    return total + ObstacleCounts(invented=invented)


def near_floor(truth_m: Depths, camera: Intrinsics) -> Bools:
    """Return (H, W) bool: what is level and within 2.5 m, for a camera that is held about level."""
    depth = np.asarray(truth_m, np.float64)
    rows, columns = np.mgrid[: camera.height, : camera.width]
    points = np.stack(
        (depth * (columns - camera.cx) / camera.fx, depth * (rows - camera.cy) / camera.fy, depth)
    )
    across = np.gradient(points, axis=2)
    down = np.gradient(points, axis=1)
    normal = np.cross(across, down, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.abs(normal[1]) / np.linalg.norm(normal, axis=0)
        below = points[1] > 0.0
        return np.asarray((cosine > _UPRIGHT) & below & (depth <= _FLOOR_REACH_M), np.bool_)


def total_of(counts: Iterable[ObstacleCounts]) -> ObstacleCounts:
    """Return the sum over frames."""
    return sum(counts, ObstacleCounts())


def _closed(depth: npt.NDArray[np.float32], side_px: int) -> npt.NDArray[np.float32]:
    """Return the morphological closing by a square, as if the image went on at its borders."""
    kernel = np.ones((side_px, side_px), np.uint8)
    wide = np.pad(depth, side_px, mode="edge")
    farthest = cv2.dilate(np.where(np.isfinite(wide), wide, np.float32(0.0)), kernel)
    closed = cv2.erode(np.where(farthest > 0.0, farthest, _FAR_M), kernel)
    inside = slice(side_px, -side_px)
    return np.asarray(closed[inside, inside], np.float32)


def _obstacle(mask: Bools, depth: npt.NDArray[np.float32], camera: Intrinsics) -> Obstacle | None:
    area = int(mask.sum())
    if area < _LEAST_THIN_AREA * mask.size:
        return None
    rim = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    is_thin = bool(rim.max() <= _THIN_PX)
    if not is_thin and area < _LEAST_AREA * mask.size:
        return None
    side = 2 * _RING_PX + 1
    kernel = np.ones((side, side), np.uint8)
    own = cv2.dilate(np.where(mask, depth, np.float32(0.0)), kernel)
    ring = (own > 0.0) & ~mask & np.isfinite(depth)
    with np.errstate(invalid="ignore"):
        behind = ring & (depth > NEARER * own)
    if behind.sum() < _LEAST_JUMP * max(int(ring.sum()), 1):
        return None
    median_m = float(np.median(depth[mask]))
    shown_rows = np.flatnonzero(mask.any(axis=1))
    height_m = (shown_rows[-1] - shown_rows[0] + 1) * median_m / camera.fy
    return Obstacle(
        mask=mask,
        behind=np.asarray(behind, np.bool_),
        depth_m=median_m,
        behind_m=float(np.median(depth[behind])),
        is_thin=is_thin,
        is_low=bool(height_m < _LOW_M),
    )


def _is_invented(item: Obstacle, truth_m: Depths) -> bool:
    there = truth_m[item.mask]
    there = there[np.isfinite(there)]
    if there.size < _KNOWN * item.mask.sum():
        return False
    return float(np.median(there)) > _INVENTED * item.depth_m


def _cross() -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), np.uint8)
