"""One image of a synthetic camera with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.synthetic.arrays import F32, F64, Bool
from mono_depth.synthetic.render import ray_grid


@dataclass(frozen=True, kw_only=True)
class SyntheticFrame:
    """A camera image and the truth behind it."""

    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: DepthImage  # (H, W) along z through the pixel centre, exact, NaN = sky
    intrinsics: Intrinsics
    T_odom_camera: F64  # (4, 4) pose of the optical frame (REP 103), odom: z up
    stamp_ns: int  # from 0
    sparse_points_m: F32  # (n, 3) in the optical frame, with a little noise
    mover_mask: Bool  # (H, W) belongs to something that moves
    glassy: Bool  # (H, W) glass or polish, where depth sensors see nothing
    distortion: F64 | None = None  # plumb_bob k1 k2 p1 p2 k3 of the image, None = rectified


def sample_points(
    depth_m: DepthImage,
    intrinsics: Intrinsics,
    rng: np.random.Generator,
    count: int,
    noise: float,
    distortion: F64 | None = None,
) -> F32:
    """Return points such as a LiDAR or a visual odometry gives.

    Args:
        depth_m: (H, W) depth along z, NaN = none.
        intrinsics: the camera.
        rng: decides which pixels and the noise.
        count: number of points; fewer where not enough pixels have depth.
        noise: relative deviation of the distance.
        distortion: plumb_bob coefficients of the image, None = rectified.

    Returns:
        (n, 3) points in the optical frame.
    """
    known = np.flatnonzero(np.isfinite(depth_m))
    pixels = rng.choice(known, min(count, len(known)), replace=False)
    grid = ray_grid(intrinsics, distortion)
    x = np.broadcast_to(grid.x, depth_m.shape).reshape(-1)[pixels]
    y = np.broadcast_to(grid.y, depth_m.shape).reshape(-1)[pixels]
    z = depth_m.reshape(-1)[pixels] * (1.0 + noise * rng.standard_normal(len(pixels)))
    return np.stack([x * z, y * z, z], axis=1).astype(np.float32)
