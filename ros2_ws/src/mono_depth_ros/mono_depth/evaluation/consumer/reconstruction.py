"""What Open3D makes of a stream of colour and depth: a trajectory, a mesh, an image of it.

Open3D takes seconds to import, so this module is only imported where it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose
from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import ConfigError

_MAX_DEPTH_DIFFERENCE_M = 0.1  # pixels that differ by more do not count in odometry
_TRUNCATION_VOXELS = 10.0  # narrower than the noise of depth it would make several surfaces
_BLOCKS = 20_000  # to start with; Open3D adds more
_SEEN_OFTEN_ENOUGH = 2.0  # frames that a surface needs to become part of the mesh
_BACKGROUND = 0.12
_AMBIENT = 0.25


def _open3d() -> Any:  # noqa: ANN401 - its types are wrong in places
    try:
        return importlib.import_module("open3d")
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"Open3D does not import ({error}): pip install 'mono_depth_ros[open3d]', and on "
            "Debian or Ubuntu apt install libusb-1.0-0 libgl1 libgomp1"
        ) from None


o3d = _open3d()


@dataclass(frozen=True, kw_only=True)
class RgbdImage:
    """One frame as a consumer gets it."""

    rgb: RgbImage  # (h, w, 3)
    depth_m: DepthImage  # (h, w), NaN = unknown


@dataclass(frozen=True, kw_only=True)
class MeshError:
    """How far a mesh is from the true surface.

    Source: Knapitsch, Park, Zhou, Koltun, "Tanks and Temples: Benchmarking Large-Scale Scene
    Reconstruction", SIGGRAPH 2017, section 5 (precision, recall, F; here from vertex to surface
    instead of from point to point); Mescheder et al., "Occupancy Networks", CVPR 2019, section
    4 (consistency of normals).
    """

    accuracy_m: float  # mean distance of the vertices of the mesh from the true surface
    completeness_m: float  # mean distance of the vertices of the truth from the mesh
    chamfer_m: float  # mean of the two
    area_ratio: float  # area of the mesh over that of the truth; crumpled or doubled walls add
    precision: float  # share of the vertices of the mesh nearer to the truth than the tolerance
    recall: float  # share of the vertices of the truth nearer to the mesh than the tolerance
    f_score: float  # harmonic mean of precision and recall
    normals: float  # mean |cosine| between its normals and those of the truth; 0.5 = by chance


@dataclass(frozen=True, kw_only=True)
class Odometry:
    """Motion of the camera as Open3D sees it."""

    T_start_camera: tuple[Pose, ...]
    failures: int  # steps it found no motion for; it is taken to stand still there


def odometry(images: Iterable[RgbdImage], intrinsics: Intrinsics, max_depth_m: float) -> Odometry:
    """Track the camera from frame to frame with Open3D's hybrid RGB-D odometry.

    Source: Park, Zhou, Koltun, "Colored Point Cloud Registration Revisited", ICCV 2017.
    """
    camera, option = _camera(intrinsics), o3d.pipelines.odometry.OdometryOption()
    option.depth_diff_max = _MAX_DEPTH_DIFFERENCE_M
    option.depth_max = max_depth_m
    method = o3d.pipelines.odometry.RGBDOdometryJacobianFromHybridTerm()
    poses: list[Pose] = []
    failures, last = 0, None
    for image in images:
        now = _rgbd(image, max_depth_m)
        if last is None:
            poses.append(np.eye(4))
        else:
            found, T_last_now, _ = o3d.pipelines.odometry.compute_rgbd_odometry(
                now, last, camera, np.eye(4), method, option
            )
            failures += not found
            poses.append(poses[-1] @ (np.asarray(T_last_now) if found else np.eye(4)))
        last = now
    return Odometry(T_start_camera=tuple(poses), failures=failures)


def fused_mesh(
    images: Iterable[RgbdImage],
    poses: Iterable[Pose],
    intrinsics: Intrinsics,
    voxel_m: float,
    max_depth_m: float,
) -> Any:  # noqa: ANN401 - Open3D has no types
    """Return the triangle mesh of all frames, fused in a truncated signed distance field.

    Source: Curless, Levoy, "A Volumetric Method for Building Complex Models from Range Images",
    SIGGRAPH 1996.
    """
    kind = o3d.core.float32, o3d.core.uint16, o3d.core.uint16
    grid = o3d.t.geometry.VoxelBlockGrid(
        attr_names=("tsdf", "weight", "color"),
        attr_dtypes=kind,
        attr_channels=((1,), (1,), (3,)),
        voxel_size=voxel_m,
        block_resolution=8,
        block_count=_BLOCKS,
    )
    K = o3d.core.Tensor(intrinsics.matrix())
    limits = {
        "depth_scale": 1.0,
        "depth_max": max_depth_m,
        "trunc_voxel_multiplier": _TRUNCATION_VOXELS,
    }
    for image, T_odom_camera in zip(images, poses, strict=True):
        depth = o3d.t.geometry.Image(_tensor(np.nan_to_num(image.depth_m, posinf=0.0)))
        color = o3d.t.geometry.Image(_tensor(image.rgb.astype(np.float32)))
        T_camera_odom = o3d.core.Tensor(np.linalg.inv(T_odom_camera))
        blocks = grid.compute_unique_block_coordinates(depth, K, T_camera_odom, **limits)
        grid.integrate(blocks, depth, color, K, K, T_camera_odom, **limits)
    mesh = grid.extract_triangle_mesh(_SEEN_OFTEN_ENOUGH)
    mesh.vertex.colors = mesh.vertex.colors / 255.0
    return mesh


def mesh_error(mesh: Any, truth: Any, tolerance_m: float) -> MeshError:  # noqa: ANN401
    """Compare two meshes by the distances of their vertices from the other's surface."""
    if _is_empty(mesh) or _is_empty(truth):
        raise ConfigError("a mesh is empty: too few frames, or all depth beyond --max-depth")
    there, back = _distances_m(mesh, truth), _distances_m(truth, mesh)
    precision, recall = (float(np.mean(values < tolerance_m)) for values in (there, back))
    total = precision + recall
    accuracy_m, completeness_m = float(there.mean()), float(back.mean())
    return MeshError(
        accuracy_m=accuracy_m,
        completeness_m=completeness_m,
        chamfer_m=0.5 * (accuracy_m + completeness_m),
        area_ratio=float(mesh.get_surface_area() / truth.get_surface_area()),
        precision=precision,
        recall=recall,
        f_score=2.0 * precision * recall / total if total else 0.0,
        normals=_consistency(mesh, truth),
    )


def moved(mesh: Any, T: Pose) -> Any:  # noqa: ANN401
    """Return a mesh turned and moved by T."""
    return mesh.clone().transform(_tensor(T))


def rendered_mesh(mesh: Any, T_odom_view: Pose, intrinsics: Intrinsics) -> RgbImage:  # noqa: ANN401
    """Return the mesh as a camera sees it, lit from there; cast ray by ray, without a display."""
    image = np.full((intrinsics.height * intrinsics.width, 3), _BACKGROUND)
    if not _is_empty(mesh):
        scene, K = _scene(mesh), intrinsics.matrix()
        rays = scene.create_rays_pinhole(
            K, np.linalg.inv(T_odom_view), intrinsics.width, intrinsics.height
        )
        hit = scene.cast_rays(rays)
        flat = rays.numpy().reshape(-1, 6)
        direction = flat[:, 3:] / np.linalg.norm(flat[:, 3:], axis=1, keepdims=True)
        normal = hit["primitive_normals"].numpy().reshape(-1, 3)
        triangle = hit["primitive_ids"].numpy().ravel().astype(np.int64)
        uv = hit["primitive_uvs"].numpy().reshape(-1, 2)
        seen = np.isfinite(hit["t_hit"].numpy().ravel())
        corners = mesh.triangle.indices.numpy()[triangle[seen]]
        weights = np.column_stack((1.0 - uv[seen].sum(1), uv[seen]))
        vertex_colors = mesh.vertex.colors.numpy()[corners]
        color = np.einsum("nk,nkc->nc", weights, vertex_colors)
        facing = np.abs((direction[seen] * normal[seen]).sum(1))
        image[seen] = (0.5 + 0.5 * color) * (_AMBIENT + (1.0 - _AMBIENT) * facing)[:, None]
    shape = (intrinsics.height, intrinsics.width, 3)
    return np.asarray(np.clip(255.0 * image, 0, 255).astype(np.uint8).reshape(shape))


def write_mesh(mesh: Any, path: Path) -> None:  # noqa: ANN401
    """Write a mesh with colours, in the format that the ending of `path` says."""
    o3d.t.io.write_triangle_mesh(str(path), mesh)


def _camera(K: Intrinsics) -> Any:  # noqa: ANN401
    return o3d.camera.PinholeCameraIntrinsic(K.width, K.height, K.fx, K.fy, K.cx, K.cy)


def _rgbd(image: RgbdImage, max_depth_m: float) -> Any:  # noqa: ANN401
    depth_m = np.nan_to_num(image.depth_m, nan=0.0, posinf=0.0).astype(np.float32)
    return o3d.geometry.RGBDImage.create_from_color_and_depth(
        o3d.geometry.Image(np.ascontiguousarray(image.rgb)),
        o3d.geometry.Image(np.ascontiguousarray(depth_m)),
        depth_scale=1.0,
        depth_trunc=max_depth_m,
        convert_rgb_to_intensity=True,
    )


def _scene(mesh: Any) -> Any:  # noqa: ANN401
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh)
    return scene


def _distances_m(mesh: Any, other: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
    return np.asarray(_scene(other).compute_distance(mesh.vertex.positions).numpy())


def _consistency(mesh: Any, truth: Any) -> float:  # noqa: ANN401
    nearest = _scene(truth).compute_closest_points(mesh.vertex.positions)
    normals = mesh.clone().compute_vertex_normals().vertex.normals.numpy()
    cosines = (normals * nearest["primitive_normals"].numpy()).sum(1)
    return float(np.abs(cosines).mean())


def _is_empty(mesh: Any) -> bool:  # noqa: ANN401
    return "indices" not in mesh.triangle or not len(mesh.triangle.indices)


def _tensor(values: npt.NDArray[Any]) -> Any:  # noqa: ANN401
    return o3d.core.Tensor(np.ascontiguousarray(values))
