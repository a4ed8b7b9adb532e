"""Proof by a consumer: RGB-D odometry and a mesh from this depth, without and with the filter.

`python -m mono_depth.evaluation.consumer SEQUENCE --out FOLDER` runs the network over a recording
with known poses, gives colour and depth of each mode of the filter to Open3D, and compares:

* the trajectory of Open3D's RGB-D odometry, which knows no pose, with the true one;
* the mesh fused from the depth at the poses of that odometry, moved onto the true path, with the
  mesh of the true depth at the true poses.

Each stream is scaled once for the whole recording, so it is not the absolute scale that decides.

FOLDER gets consumer.json, a mesh_MODE.ply each and meshes.png. The mode pose gives the filter the
true poses, as odometry of wheels would; none and flow know nothing but the images.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.bench_cli import add_model_options
from mono_depth.config import PipelineConfig
from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth.evaluation.cli import (
    BY_TRUTH,
    add_scale_option,
    add_sequence_options,
    add_set_option,
    chosen_sequence,
    pipeline_config,
)
from mono_depth.evaluation.evaluate import EvalOptions
from mono_depth.evaluation.replay import ReplayedPipeline, predict
from mono_depth.evaluation.run import fitted_scale
from mono_depth.evaluation.sequence import FrameSequence
from mono_depth.evaluation.temporal_metrics import sequence_scale
from mono_depth.evaluation.thinning import stride_of, thinned_camera
from mono_depth.evaluation.tracks import Maps
from mono_depth.evaluation.trajectory import (
    TrajectoryError,
    fitted_similarity,
    positions_m,
    trajectory_error,
)
from mono_depth.factory import build_pipeline
from mono_depth.temporal.poses import Pose, rotation
from mono_depth.visualize import draw_text

if TYPE_CHECKING:
    from mono_depth.evaluation.reconstruction import MeshError

_TRUTH = "truth"
_VIEW_TURN_RAD = 0.5
_VIEW_TILT_RAD = 0.25
_VIEW_DISTANCE = 1.4  # in units of the median depth
_VIEW_WIDTH_PX = 480


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What consumers see of n frames: one colour stream, and depth by mode and true."""

    rgb: tuple[RgbImage, ...]
    intrinsics: Intrinsics
    T_odom_camera: tuple[Pose, ...]
    depth_m: dict[str, list[DepthImage]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a consumer got out of one stream."""

    depth: str  # the mode of the filter, or truth
    depth_scale: float  # the depth was multiplied with this for the whole recording
    trajectory: TrajectoryError
    failures: int  # steps without odometry
    mesh: MeshError  # at the poses of the odometry
    mesh_f_score: float


def record(
    sequence: FrameSequence,
    config: PipelineConfig,
    modes: Sequence[str],
    max_depth_m: float,
    *,
    scale_by_truth: bool = False,
) -> Streams:
    """Run the network and every mode of the filter.

    Raises:
        ConfigError: a frame has no pose.
    """
    model = build_pipeline(config).model
    if scale_by_truth:
        config = replace(config, scale=fitted_scale(sequence, model))
    pipelines = {mode: ReplayedPipeline(model, config, mode) for mode in modes}
    rgb: list[RgbImage] = []
    poses: list[Pose] = []
    depth_m: dict[str, list[DepthImage]] = {key: [] for key in (*modes, _TRUTH)}
    for frame in tqdm(sequence, desc=sequence.name, unit="frame", file=sys.stderr):
        if frame.T_odom_camera is None:
            raise ConfigError(f"{sequence.name}: no pose at {frame.stamp_ns * 1e-9:.3f} s")
        step = stride_of(frame.rgb.shape[1])
        camera_frame = frame.as_camera_frame()
        prediction, _ = predict(model, camera_frame)
        for mode, pipeline in pipelines.items():
            found_m = pipeline.process(camera_frame, prediction).depth_m
            depth_m[mode].append(_limited(found_m[::step, ::step], max_depth_m))
        depth_m[_TRUTH].append(_limited(frame.depth_m[::step, ::step], max_depth_m))
        smooth = cv2.GaussianBlur(frame.rgb, (0, 0), 0.4 * step) if step > 1 else frame.rgb
        rgb.append(np.ascontiguousarray(smooth[::step, ::step], np.uint8))
        poses.append(frame.T_odom_camera)
        intrinsics = thinned_camera(frame.intrinsics, step)
    return Streams(
        rgb=tuple(rgb), intrinsics=intrinsics, T_odom_camera=tuple(poses), depth_m=depth_m
    )


def judge(streams: Streams, voxel_m: float, max_depth_m: float, out: Path) -> list[Verdict]:
    """Give each stream to Open3D, and write its mesh and a picture of all meshes to `out`."""
    from mono_depth.evaluation import reconstruction

    truth_m = np.stack(streams.depth_m[_TRUTH])
    K, true_poses = streams.intrinsics, streams.T_odom_camera
    meshes, verdicts = {}, []
    order = [_TRUTH, *(key for key in streams.depth_m if key != _TRUTH)]
    for key in tqdm(order, desc="consumers", unit="stream", file=sys.stderr):
        scale = sequence_scale(np.stack(streams.depth_m[key]), truth_m)
        images = [
            reconstruction.RgbdImage(rgb=rgb, depth_m=np.asarray(depth_m * scale, np.float32))
            for rgb, depth_m in zip(streams.rgb, streams.depth_m[key], strict=True)
        ]
        tracked = reconstruction.odometry(images, K, max_depth_m)
        if key == _TRUTH:
            mesh = reconstruction.fused_mesh(images, true_poses, K, voxel_m, max_depth_m)
        else:
            poses = tracked.T_start_camera
            mesh = reconstruction.fused_mesh(images, poses, K, voxel_m, max_depth_m)
            fit = fitted_similarity(positions_m(poses), positions_m(true_poses))
            mesh = reconstruction.moved(mesh, fit)
        meshes[key] = mesh
        error = reconstruction.mesh_error(meshes[key], meshes[_TRUTH], 2.0 * voxel_m)
        verdicts.append(
            Verdict(
                depth=key,
                depth_scale=scale,
                trajectory=trajectory_error(tracked.T_start_camera, true_poses),
                failures=tracked.failures,
                mesh=error,
                mesh_f_score=error.f_score,
            )
        )
        reconstruction.write_mesh(meshes[key], str(out / f"mesh_{key}.ply"))
    view = side_view(streams, truth_m)
    shots = []
    for key in order:
        shot = reconstruction.picture(meshes[key], view, _large(streams.intrinsics))
        draw_text(shot, key, (10, 28), 0.8)
        shots.append(shot)
    cv2.imwrite(str(out / "meshes.png"), np.hstack(shots)[:, :, ::-1])
    return verdicts


def side_view(streams: Streams, truth_m: Maps) -> Pose:
    """Return a pose that looks at the scene from beside the path, where errors in depth show."""
    middle = len(streams.T_odom_camera) // 2
    depth_m = float(np.nanmedian(truth_m[middle]))
    pivot = np.eye(4)
    pivot[2, 3] = depth_m
    turn = np.eye(4)
    turn[:3, :3] = rotation(np.array([-_VIEW_TILT_RAD, 0.0, 0.0])) @ rotation(
        np.array([0.0, _VIEW_TURN_RAD, 0.0])
    )
    back = np.eye(4)
    back[2, 3] = -_VIEW_DISTANCE * depth_m
    return np.asarray(streams.T_odom_camera[middle] @ pivot @ turn @ back)


def table(verdicts: Sequence[Verdict]) -> str:
    """Return what the consumers got as Markdown."""
    lines = [
        "| depth | ATE [m] | ATE [% of path] | RPE [mm] | RPE [deg] | scale | failures | "
        "mesh error [mm] | area | precision | recall | F |",
        f"|{'---|' * 12}",
    ]
    for verdict in verdicts:
        error, mesh = verdict.trajectory, verdict.mesh
        cells = (
            f"{error.ate_m:.3f}",
            f"{100.0 * error.ate_relative:.1f}",
            f"{1e3 * error.rpe_m:.1f}",
            f"{error.rpe_deg:.2f}",
            f"{error.scale:.3f}",
            f"{verdict.failures}",
            f"{1e3 * mesh.mean_m:.0f}",
            *(f"{v:.2f}" for v in (mesh.area_ratio, mesh.precision, mesh.recall)),
            f"{verdict.mesh_f_score:.2f}",
        )
        lines.append(f"| {verdict.depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.evaluation.consumer",
        description=(__doc__ or "").split("\n\n")[0],
    )
    add_sequence_options(parser)
    add_model_options(parser)
    add_scale_option(parser)
    add_set_option(parser)
    parser.add_argument("--temporal", default="none,flow,pose", metavar="MODES")
    parser.add_argument("--max-depth", type=float, default=5.0, metavar="M", help="(default: 5)")
    parser.add_argument("--voxel", type=float, default=0.03, metavar="M", help="(default: 0.03)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        modes = EvalOptions(modes=tuple(args.temporal.split(","))).modes
        args.out.mkdir(parents=True, exist_ok=True)
        streams = record(
            chosen_sequence(args),
            pipeline_config(args),
            modes,
            args.max_depth,
            scale_by_truth=args.scale == BY_TRUTH,
        )
        verdicts = judge(streams, args.voxel, args.max_depth, args.out)
    except MonoDepthError as error:
        sys.stderr.write(f"consumer: {error}\n")
        return 1
    sys.stdout.write(table(verdicts) + "\n")
    report = {"sequence": args.sequence, "verdicts": [asdict(verdict) for verdict in verdicts]}
    (args.out / "consumer.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


def _limited(depth_m: DepthImage, max_depth_m: float) -> DepthImage:
    with np.errstate(invalid="ignore"):
        return np.where(depth_m <= max_depth_m, depth_m, np.nan).astype(np.float32)


def _large(intrinsics: Intrinsics) -> Intrinsics:
    return intrinsics.scaled_to(
        _VIEW_WIDTH_PX, round(_VIEW_WIDTH_PX * intrinsics.height / intrinsics.width)
    )


if __name__ == "__main__":
    sys.exit(main())
