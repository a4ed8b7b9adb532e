"""Scale from the ground that the camera stands over at a known height.

The plane is fitted freely and gravity only decides which surfaces may be ground: forcing the
normal to a mount angle turns each degree of pitch into percents of scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.scale.fit import Fit, Rejection
from mono_depth.scale.grid import OutputGrid
from mono_depth.scale.scale_shift import Floats, Pivot

_BASELINE = 2  # grid cells between the points that a normal is made from
_TRIALS = 100
_SCORED = 300
_INLIER = 0.02  # of the camera's height over the plane: distances of points from it
_FOOT = 0.05  # of the rows: where the ground is nearest
_LEAST_FOOT_ROWS = 3
_FOOT_OFF = (-0.2, 0.05)  # of the camera's height, above and below: below is unsafe
_FOOT_SHARE = 0.3  # of what is seen there; the rest may stand on the ground
_RISE = 1.05  # times
_SAME = 0.05  # log distance
_ON_PLANE = 0.1  # of the camera's height
_TUKEY = 4.685
_ITERATIONS = 6
_MIN_CELLS = 100
_MIN_SHARE = 0.1  # of the lower half of the image
_MAX_BELOW = 0.2  # share of points clearly under the plane: then it is a table, not the ground
_FLOOR_SIGMA = 0.01  # of one frame: what a network's errors have in common
_ALIKE_CELLS = 25.0  # neighbours whose errors are alike


@dataclass(frozen=True, kw_only=True)
class _Gates:
    """Largest angles to gravity."""

    normal: float  # of the surface at a point, as a cosine
    plane: float  # of the plane


_KNOWN = _Gates(normal=np.cos(np.radians(20.0)), plane=np.cos(np.radians(10.0)))
_ASSUMED = _Gates(normal=np.cos(np.radians(40.0)), plane=np.cos(np.radians(35.0)))
_LEVEL_CAMERA = np.array((0.0, 1.0, 0.0))


def measure(
    grid: OutputGrid,
    pivot: Pivot,
    *,
    height_m: float,
    gravity_camera: Floats | None,
    now: OutputGrid | None = None,
    believed: float | None = None,
) -> Fit | Rejection:
    """Measure the level of scale of a model of metres.

    Args:
        grid: its x is 1 / depth as the model says.
        pivot: of the frame.
        height_m: of the optical centre over the ground.
        gravity_camera: (3,) unit vector of gravity in the optical frame, None = a camera that looks
            about level is assumed.
        now: what hints have made of `grid`; then the plane is sought in `grid`, and measured where
            it is now. None = they have not changed it.
        believed: distance of the ground in the model's own metres that was measured before; a plane
            at that distance need not reach the robot. None = there was none.
    """
    gates, down = (_ASSUMED, _LEVEL_CAMERA) if gravity_camera is None else (_KNOWN, gravity_camera)
    points = _points(1.0 / grid.x, grid.camera)
    level_of = points @ down
    below = np.isfinite(level_of) & (level_of > 0.0)
    faces_up = below & (np.abs(_normals(points) @ down) > gates.normal)
    candidates = points[faces_up]
    needed = max(_MIN_CELLS, int(_MIN_SHARE * 0.5 * grid.x.size))
    if len(candidates) < needed:
        return Rejection(reason="no ground in view: too few surfaces face up", is_doubt=False)
    plane = _plane(candidates, down, gates.plane)
    if plane is None:
        return Rejection(reason="no plane with the tilt of the ground in view", is_doubt=False)
    normal, sigma, inliers = plane
    if inliers < needed:
        return Rejection(reason=f"the ground covers only {inliers} cells of the view")
    distance = 1.0 / float(np.linalg.norm(normal))
    if believed is None or abs(np.log(distance / believed)) > _SAME:
        short = _falls_short(points, normal, down if gravity_camera is not None else None)
        if short:
            return Rejection(reason=short)
    beneath = float((candidates @ normal > 1.25).mean())
    if beneath > _MAX_BELOW:
        return Rejection(reason="the widest plane is not the lowest: a table, or stairs")
    if now is not None:
        ground = np.abs(points @ normal - 1.0) < _ON_PLANE
        plane = _plane(_points(1.0 / now.x, now.camera)[ground], down, gates.plane)
        if plane is None:
            return Rejection(reason="hints have bent the plane that the image shows")
        normal, sigma, inliers = plane
    distance = 1.0 / float(np.linalg.norm(normal))
    variance = sigma**2 + _FLOOR_SIGMA**2
    return Fit(
        level=float(np.log(pivot.middle * distance / height_m)),
        slope=pivot.width / pivot.middle,
        covariance=np.diag((variance, 1.0)),
        slope_seen=False,
        inliers=inliers,
        spread=_INLIER,
        follows=False,
    )


def _falls_short(points: Floats, plane: Floats, down: Floats | None) -> str:
    """Return why a plane is not what the robot stands on, "" = nothing speaks against it.

    What is seen nearest to the robot must lie on it. A ramp meets the floor there, and would
    lead under it: with gravity its height under the camera is compared with that of its foot.

    A network that sees the foot too near is common, and errs to the safe side.

    Args:
        points: (h, w, 3) of the model.
        plane: m of `_plane`.
        down: gravity in the optical frame, None = not known.
    """
    height = len(points)
    foot = points[height - max(_LEAST_FOOT_ROWS, round(_FOOT * height)) :].reshape(-1, 3)
    off = foot @ plane - 1.0
    off, foot = off[np.isfinite(off)], foot[np.isfinite(off)]
    if not off.size:
        return "nothing is seen at the foot of the image"
    is_on = (off > _FOOT_OFF[0]) & (off < _FOOT_OFF[1])
    if is_on.mean() < _FOOT_SHARE:
        return "the widest plane does not reach the robot: a table, a platform, a ramp or stairs"
    if down is not None:
        under = 1.0 / float(plane @ down)
        if float(np.median(foot[is_on] @ down)) > _RISE * under:
            return "the ground rises in front of the robot: a ramp"
    return ""


def _points(depth: Floats, camera: Intrinsics) -> Floats:
    """Return (h, w, 3) points of the depth the model says, in its own metres."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    return np.stack((depth * x, depth * y[:, None], depth), axis=-1)


def _normals(points: Floats) -> Floats:
    """Return (h, w, 3) unit normals, NaN at the border."""
    step = _BASELINE
    normals = np.full_like(points, np.nan)
    if min(points.shape[:2]) <= 2 * step:
        return normals
    across = points[step:-step, 2 * step :] - points[step:-step, : -2 * step]
    along = points[2 * step :, step:-step] - points[: -2 * step, step:-step]
    a, b = np.moveaxis(across, -1, 0), np.moveaxis(along, -1, 0)
    cross = np.stack(
        (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]), -1
    )
    length = np.sqrt(np.einsum("hwi,hwi->hw", cross, cross))
    normals[step:-step, step:-step] = cross / np.maximum(length, 1e-12)[..., None]
    return normals


def _plane(points: Floats, down: Floats, min_cosine: float) -> tuple[Floats, float, int] | None:
    """Fit m @ P = 1, where m = normal / distance.

    The residual m @ P - 1 is the relative error of depth, so all points count alike.

    Returns:
        m, the relative deviation of the distance, the number of inliers; None without a plane.
    """
    rng = np.random.default_rng(len(points))
    triples = points[rng.integers(0, len(points), (_TRIALS, 3))]
    solvable = np.abs(np.linalg.det(triples)) > 1e-9 * np.abs(triples).max() ** 3
    planes = np.linalg.solve(triples[solvable], np.ones((int(solvable.sum()), 3, 1)))[..., 0]
    planes = planes[planes @ down > min_cosine * np.linalg.norm(planes, axis=1)]
    if not len(planes):
        return None
    scored = points[rng.integers(0, len(points), _SCORED)]
    error = (planes @ scored.T - 1.0) / (3.0 * _INLIER)
    m = planes[int(np.argmin(np.minimum(error**2, 1.0).sum(axis=1)))]
    return _polished(points, m, down, min_cosine)


def _polished(
    points: Floats, m: Floats, down: Floats, min_cosine: float
) -> tuple[Floats, float, int] | None:
    spread = 3.0 * _INLIER
    normal_matrix: Floats = np.eye(3)
    for _ in range(_ITERATIONS):
        error = points @ m - 1.0
        near = np.abs(error) < 2.5 * spread
        if int(near.sum()) < 3:
            return None
        spread = min(spread, max(1.4826 * float(np.median(np.abs(error[near]))), 0.25 * _INLIER))
        weight = np.maximum(1.0 - (error / (_TUKEY * spread)) ** 2, 0.0) ** 2
        normal_matrix = np.asarray((points.T * weight) @ points + 1e-9 * np.eye(3), np.float64)
        m = np.asarray(np.linalg.solve(normal_matrix, points.T @ weight), np.float64)
    length = float(np.linalg.norm(m))
    if m @ down < min_cosine * length:
        return None
    covariance = np.linalg.inv(normal_matrix) * spread**2 * _ALIKE_CELLS
    along = m / length
    sigma = float(np.sqrt(along @ covariance @ along)) / length
    inliers = int((np.abs(points @ m - 1.0) < 2.5 * spread).sum())
    return np.asarray(m), sigma, inliers
