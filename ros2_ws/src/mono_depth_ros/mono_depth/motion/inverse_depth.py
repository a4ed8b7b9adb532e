"""Inverse depth of tracked corners from views whose poses are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_ITERATIONS = 3
_TINY = 1e-12
_LEAST_Z = 0.2  # of the depth in the present view, that a point keeps in the others


@dataclass(frozen=True, kw_only=True)
class InverseDepth:
    """What the views tell of each track in the newest of them."""

    rho: Array  # (N,) inverse depth [1/m]
    variance: Array  # (N,) of it, infinite where there is no parallax
    views: npt.NDArray[np.intp]  # (N,) that saw it, beside the newest
    misfit: Array  # (N,) root of the mean squared residual over its expected deviation
    by_pose: Array  # (N, 6) change of rho by an error of the pose, see `_by_pose`


def triangulated(rays: Array, seen: Array, T_view_now: Array, deviation: float) -> InverseDepth:
    """Solve each track for its inverse depth in the newest view, linear in each iteration.

    With `turned = R ray`, `lever = t_xy - seen t_z` and `offset = seen turned_z - turned_xy` each
    view says `rho lever = offset`, in units of the image if divided by the depth there. The noise
    of the newest view is in all of these equations.

    Args:
        rays: (N, 2) x/z and y/z in the newest view.
        seen: (N, V, 2) the same in earlier views, NaN = not seen.
        T_view_now: (V, 4, 4) turns points of the newest view into those of the earlier ones.
        deviation: of x/z and y/z.

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 12.2.
    """
    ray = np.concatenate((rays, np.ones((len(rays), 1))), axis=1)
    turned = (ray @ T_view_now[:, :3, :3].reshape(-1, 3).T).reshape(len(rays), -1, 3)
    moved = T_view_now[:, :3, 3]
    is_seen = np.isfinite(seen[..., 0])
    known = np.where(is_seen[..., None], seen, 0.0)
    lever = moved[None, :, :2] - known * moved[None, :, 2:]
    offset = known * turned[..., 2:] - turned[..., :2]
    lever[~is_seen], offset[~is_seen] = 0.0, 0.0
    lever2, along, offset2 = (
        (one * other).sum(-1) for one, other in ((lever, lever), (lever, offset), (offset, offset))
    )
    rho = np.zeros(len(rays))
    weight = is_seen.astype(np.float64)
    scale2 = weight
    for _ in range(_ITERATIONS):
        z = np.maximum(turned[..., 2] + rho[:, None] * moved[None, :, 2], _LEAST_Z)
        scale2 = 1.0 / np.square(z * deviation)
        weighted = weight * scale2
        rho = (weighted * along).sum(1) / np.maximum((weighted * lever2).sum(1), _TINY)
        by_rho = rho[:, None]
        misfit2 = np.maximum(offset2 - by_rho * (2.0 * along - by_rho * lever2), 0.0) * scale2
        weight = is_seen / (1.0 + misfit2 / 18.0) ** 2  # Geman-McClure, three deviations
    misfit2 = np.square(offset - rho[:, None, None] * lever).sum(-1) * scale2  # exact where it is 0
    z = np.maximum(turned[..., 2] + rho[:, None] * moved[None, :, 2], _LEAST_Z)
    weighted = weight / (z * deviation) ** 2
    strength = np.maximum((weighted * lever2).sum(1), _TINY)
    together = ((weight / (z**2 * deviation))[..., None] * lever).sum(1)
    variance = 1.0 / strength + np.square(together).sum(-1) / strength**2
    share = lever * (weighted / strength[:, None])[..., None]
    pull = np.concatenate((share, -(share * known).sum(-1, keepdims=True)), axis=-1)
    views = is_seen.sum(1)
    return InverseDepth(
        rho=rho,
        variance=variance,
        views=views.astype(np.intp),
        misfit=np.sqrt(misfit2.sum(1) / np.maximum(2 * views - 1, 1)),
        by_pose=_by_pose(ray, rho, pull, T_view_now),
    )


def _by_pose(ray: Array, rho: Array, pull: Array, T_view_now: Array) -> Array:
    """Return (N, 6) the change of rho where points of now are really shifted [m] and turned [rad].

    A point that lies off by d in the newest view adds `seen d_z - d_xy` to the offset, which the
    lever turns into inverse depth: `pull` (N, V, 3) is that change by d in each view.
    """
    along = pull.reshape(len(ray), -1) @ T_view_now[:, :3, :3].reshape(-1, 3)
    return np.concatenate((rho[:, None] * along, np.cross(ray, along)), axis=1)
