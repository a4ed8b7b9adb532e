"""Metres from known points: what 50 of them, of a LiDAR or SLAM, do for the depth of an image.

python examples/metres_from_points.py                        # in a rendered room
python examples/metres_from_points.py path/to/tum_fr1_rpy    # TUM, bag or folder, with depth
"""

import sys

import numpy as np
import numpy.typing as npt

from mono_depth.config import PipelineConfig
from mono_depth.data import DepthImage, Frame, Intrinsics
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.open import open_sequence

random = np.random.default_rng(0)


def some_points_m(depth_m: DepthImage, camera: Intrinsics, count: int) -> npt.NDArray[np.float32]:
    """Return (count, 3) points in the optical frame (x right, y down, z ahead: REP 103)."""
    rows, columns = np.nonzero(np.isfinite(depth_m))
    chosen = random.choice(rows.size, count)
    v, u = rows[chosen], columns[chosen]
    z = depth_m[v, u]
    x, y = (u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


source = sys.argv[1] if len(sys.argv) > 1 else "synthetic:room/handheld/1"
image_only, with_points = (build_pipeline(PipelineConfig(model="nano")) for _ in range(2))
for seen in open_sequence(source).thinned(every=5, most=10):
    points_m = some_points_m(seen.depth_m, seen.intrinsics, count=50)
    for pipeline, known_m in ((image_only, None), (with_points, points_m)):
        frame = Frame(
            rgb=seen.rgb,
            stamp_ns=seen.stamp_ns,
            frame_id="camera",
            intrinsics=seen.intrinsics,
            sparse_points_m=known_m,
        )
        result = pipeline.process(frame)
        if result.depth_m is None:
            raise SystemExit(f"no metres: {result.scale.reason}")
        error = np.nanmean(abs(result.depth_m.cpu().numpy() / seen.depth_m - 1.0))
        told = "the image alone" if known_m is None else "50 points"
        print(
            f"{seen.stamp_ns * 1e-9:.2f} s, {told}: {100 * error:.1f} % off, "
            f"scale by {result.scale.source} ({result.scale.state})"
        )
