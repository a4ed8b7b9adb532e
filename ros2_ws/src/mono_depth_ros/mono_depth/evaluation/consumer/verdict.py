"""What Open3D gets out of streams of colour and depth. Imports Open3D."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.camera.poses import Pose, rotation
from mono_depth.data import Intrinsics
from mono_depth.display.colormap import draw_text
from mono_depth.evaluation.consumer.reconstruction import (
    MeshError,
    RgbdImage,
    fused_mesh,
    mesh_error,
    moved,
    odometry,
    rendered_mesh,
    write_mesh,
)
from mono_depth.evaluation.consumer.streams import TRUTH, Streams
from mono_depth.evaluation.consumer.trajectory import (
    TrajectoryError,
    rigid_fit_of_poses,
    trajectory_error,
)
from mono_depth.evaluation.measures.temporal_metrics import sequence_scale
from mono_depth.evaluation.measures.tracks import Maps

_SEEN_SHARE = 0.95
_VOXELS = 60.0
_VIEW_TURN_RAD = 0.5
_VIEW_TILT_RAD = 0.25
_VIEW_DISTANCE = 1.4  # in units of the median depth
_VIEW_WIDTH_PX = 480


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a consumer got out of one stream."""

    depth: str  # the mode of the filter, or truth
    depth_scale: float  # the depth was multiplied with this for the whole recording
    trajectory: TrajectoryError
    failures: int  # steps without odometry
    mesh_true_poses: MeshError  # fused at the true poses: the error of depth alone
    mesh_own_poses: MeshError  # fused at the poses of the odometry: what the consumer has


def judge(
    streams: Streams, out: Path | None, *, voxel_m: float = 0.0, max_depth_m: float = 0.0
) -> list[Verdict]:
    """Give each stream to Open3D.

    Args:
        streams: what consumers see.
        out: folder for the meshes and an image of all, None = not wanted.
        voxel_m: of the meshes, 0 = a 60th of `max_depth_m`.
        max_depth_m: depth that consumers use, 0 = what 95 % of the truth is nearer than.
    """
    truth_m = np.stack(streams.depth_m[TRUTH])
    max_depth_m = max_depth_m or float(np.nanquantile(truth_m, _SEEN_SHARE))
    voxel_m = voxel_m or max_depth_m / _VOXELS
    K, true_poses = streams.intrinsics, streams.T_odom_camera
    view, camera = side_view(streams, truth_m), _large(streams)
    true_mesh, verdicts, shots = None, [], []
    order = [TRUTH, *(key for key in streams.depth_m if key != TRUTH)]
    for key in tqdm(order, desc="consumers", unit="stream", file=sys.stderr):
        scale = sequence_scale(np.stack(streams.depth_m[key]), truth_m)
        images = [
            RgbdImage(rgb=rgb, depth_m=np.asarray(depth_m * scale, np.float32))
            for rgb, depth_m in zip(streams.rgb, streams.depth_m[key], strict=True)
        ]
        tracked = odometry(images, K, max_depth_m)
        poses = tracked.T_start_camera
        at_true = fused_mesh(images, true_poses, K, voxel_m, max_depth_m)
        at_own = moved(
            fused_mesh(images, poses, K, voxel_m, max_depth_m),
            rigid_fit_of_poses(poses, true_poses),
        )
        true_mesh = true_mesh or at_true
        verdicts.append(
            Verdict(
                depth=key,
                depth_scale=scale,
                trajectory=trajectory_error(poses, true_poses),
                failures=tracked.failures,
                mesh_true_poses=mesh_error(at_true, true_mesh, 2.0 * voxel_m),
                mesh_own_poses=mesh_error(at_own, true_mesh, 2.0 * voxel_m),
            )
        )
        if out is None:
            continue
        write_mesh(at_own, out / f"mesh_{key}.ply")
        pair = [rendered_mesh(mesh, view, camera) for mesh in (at_true, at_own)]
        draw_text(pair[0], f"{key}, true poses", (10, 28), 0.7)
        draw_text(pair[1], f"{key}, own odometry", (10, 28), 0.7)
        shots.append(np.vstack(pair))
    if out is not None:
        cv2.imwrite(str(out / "meshes.png"), np.hstack(shots)[:, :, ::-1])
    return verdicts


def side_view(streams: Streams, truth_m: Maps) -> Pose:
    """Return a pose that looks at the scene from beside the path, where errors in depth show.

    It turns about what the frame with the widest view has in its middle.
    """
    depths_m = np.nanmedian(truth_m.reshape(len(truth_m), -1), axis=1)
    widest = int(np.nanargmax(depths_m))
    pivot, turn, back = np.eye(4), np.eye(4), np.eye(4)
    pivot[2, 3] = depths_m[widest]
    turn[:3, :3] = rotation(np.array([-_VIEW_TILT_RAD, 0.0, 0.0])) @ rotation(
        np.array([0.0, _VIEW_TURN_RAD, 0.0])
    )
    back[2, 3] = -_VIEW_DISTANCE * depths_m[widest]
    return np.asarray(streams.T_odom_camera[widest] @ pivot @ turn @ back)


def _large(streams: Streams) -> Intrinsics:
    K = streams.intrinsics
    return K.scaled_to(_VIEW_WIDTH_PX, round(_VIEW_WIDTH_PX * K.height / K.width))
