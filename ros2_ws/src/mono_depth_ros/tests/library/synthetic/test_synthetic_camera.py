"""Recordings and training images of procedural scenes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic import camera as synthetic_camera
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.dataset import training_sample, training_views
from mono_depth.synthetic.scene import SCENE_KINDS
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.sensor import SensorEffects
from mono_depth.synthetic.trajectory import (
    OPTICAL_IN_BODY,
    TRAJECTORY_STYLES,
    camera_pose,
    make_trajectory,
)

OPTICAL = np.eye(4)
OPTICAL[:3, :3] = OPTICAL_IN_BODY


def small_camera(seed: int = 3, scene: str = "room", **more: object) -> SyntheticCamera:
    return SyntheticCamera(seed, scene, width=96, height=72, duration_s=2.0, **more)  # type: ignore[arg-type]


def points_in_odom(depth_m: np.ndarray, k: Intrinsics, T_odom_camera: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: k.height, : k.width]
    z = depth_m.astype(np.float64)
    optical = np.stack([(u - k.cx) / k.fx * z, (v - k.cy) / k.fy * z, z], axis=-1)
    return optical @ T_odom_camera[:3, :3].T + T_odom_camera[:3, 3]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes():
    first = small_camera()[5]
    synthetic_camera._world.cache_clear()
    synthetic_camera._exposure.cache_clear()
    second = small_camera()[5]
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_array_equal(first.sparse_points_m, second.sparse_points_m)
    assert first.stamp_ns == second.stamp_ns


@pytest.mark.slow
def test_another_seed_gives_another_image():
    assert np.abs(small_camera(3)[5].depth_m - small_camera(4)[5].depth_m).max() > 0.1


@pytest.mark.slow
def test_frames_have_the_promised_types():
    frame = small_camera()[-1]
    assert frame.rgb.shape == (72, 96, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.depth_m.dtype == np.float32
    assert frame.mover_mask.dtype == bool
    assert frame.T_odom_camera.dtype == np.float64
    assert frame.sparse_points_m.dtype == np.float32
    assert frame.stamp_ns == 1_933_333_333  # 29 / 15 s


@pytest.mark.slow
def test_depth_and_poses_of_two_views_agree():
    camera = small_camera(seed=8)
    k, here = camera.intrinsics, camera.trajectory.T_odom_camera[0]
    step = camera_pose(np.array([0.1, 0.05, 0.0]), 0.06, 0.03, 0.05) @ np.linalg.inv(OPTICAL)
    there = here @ OPTICAL.T @ step @ OPTICAL  # 0.1 m ahead, 0.05 m left, turned a little
    first, second = camera.render(here, 1.0), camera.render(there, 1.0)
    back = np.linalg.inv(there)
    seen = points_in_odom(first.depth_m, k, here) @ back[:3, :3].T + back[:3, 3]
    u = np.rint(seen[..., 0] / seen[..., 2] * k.fx + k.cx).astype(int)
    v = np.rint(seen[..., 1] / seen[..., 2] * k.fy + k.cy).astype(int)
    inside = (u >= 0) & (u < k.width) & (v >= 0) & (v < k.height)
    error = np.abs(second.depth_m[v[inside], u[inside]] / seen[..., 2][inside] - 1.0)
    assert inside.mean() > 0.7
    assert np.median(error) < 0.01  # half a pixel of rounding on slanted floors
    assert (error < 0.05).mean() > 0.9  # the rest is hidden in one of the views


def test_sparse_points_lie_on_the_depth_image():
    frame = small_camera(sparse_points=80, sparse_noise=0.0)[3]
    k, p = frame.intrinsics, frame.sparse_points_m.astype(np.float64)
    u = np.rint(p[:, 0] / p[:, 2] * k.fx + k.cx).astype(int)
    v = np.rint(p[:, 1] / p[:, 2] * k.fy + k.cy).astype(int)
    assert len(p) == 80
    np.testing.assert_allclose(frame.depth_m[v, u], p[:, 2], rtol=1e-5)


@pytest.mark.slow
def test_sky_is_unknown_and_everything_else_is_ahead():
    frames = [small_camera(seed, "street", horizontal_fov_deg=90.0)[0] for seed in range(4)]
    upper = np.concatenate([f.depth_m[:8].ravel() for f in frames])
    assert np.isnan(upper).any()
    assert all((f.depth_m[np.isfinite(f.depth_m)] > 0).all() for f in frames)
    assert not any((f.mover_mask & np.isnan(f.depth_m)).any() for f in frames)


def test_people_walk():
    scene = next(
        s for s in (make_scene("room", np.random.default_rng(i)) for i in range(20)) if s.movers
    )
    before, after = scene.movers_at(0.0).center_m, scene.movers_at(0.5).center_m
    moved = np.linalg.norm(after - before, axis=1)
    assert moved.min() > 0.02
    assert moved.max() < 1.5


@pytest.mark.slow
def test_the_recording_plays_to_and_fro_without_a_jump():
    camera = small_camera()
    n = len(camera)
    last, after_last = camera.played(n - 1), camera.played(n)
    np.testing.assert_array_equal(last.depth_m, camera[n - 1].depth_m)
    np.testing.assert_array_equal(after_last.depth_m, camera[n - 2].depth_m)
    np.testing.assert_array_equal(camera.played(2 * n - 2).depth_m, camera[0].depth_m)
    assert after_last.stamp_ns - last.stamp_ns == pytest.approx(1e9 / 15.0, abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("style", TRAJECTORY_STYLES)
@pytest.mark.parametrize("kind", ["room", "corridor", "yard"])
def test_paths_are_smooth_and_keep_their_distance(kind: str, style: str):
    rng = np.random.default_rng(5)
    scene = make_scene(kind, rng)
    poses = make_trajectory(style, scene, rng, duration_s=6.0, rate_hz=15.0).T_odom_camera
    place = poses[:, :3, 3]
    step = np.linalg.norm(np.diff(place, axis=0), axis=1)
    assert step.max() < 2.5 / 15.0  # nothing is faster than 2.5 m/s
    assert step.sum() > 0.1
    forward = poses[:, :3, 2]
    turn = np.arccos(np.clip((forward[1:] * forward[:-1]).sum(axis=1), -1.0, 1.0))
    assert turn.max() < 2.0 / 15.0
    band = None if style == "drone" else (0.06, float(place[0, 2]) + 0.1)
    assert scene.clearance_m(place, band).min() > 0.1
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3)[None].repeat(90, 0),
        atol=1e-12,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_every_kind_of_scene_gives_images_with_contrast(kind: str):
    frame = small_camera(1, kind)[10]
    assert frame.rgb.std() > 15
    assert 30 < frame.rgb.mean() < 220
    assert np.isfinite(frame.depth_m).mean() > 0.3


@pytest.mark.slow
def test_training_images_are_a_pure_function_of_the_seed():
    first, second = training_sample(11, 64, 48), training_sample(11, 64, 48)
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.depth_m, training_views(11, 64, 48, 2)[0].depth_m)
    assert training_sample(12, 64, 48).rgb.tobytes() != first.rgb.tobytes()


@pytest.mark.slow
def test_training_frames_travel_between_processes():
    frame = training_sample(2, 64, 48)
    again = pickle.loads(pickle.dumps(frame))
    np.testing.assert_array_equal(again.rgb, frame.rgb)
    assert again.intrinsics == frame.intrinsics


@pytest.mark.slow
def test_training_images_are_mostly_neither_blank_nor_right_before_a_wall():
    frames = [f for seed in range(8) for f in training_views(seed, 64, 48, 3)]
    nearest = np.array([np.nanpercentile(f.depth_m, 10) for f in frames])
    assert np.median(nearest) > 0.5
    assert (nearest > 0.25).mean() > 0.9


def test_noise_blur_and_compression_change_the_image_as_they_should():
    light = np.full((40, 60, 3), 0.2, np.float32)
    light[:, 30:] = 0.6
    clean = SensorEffects(defocus_px=0, vignetting=0, shot_noise=0, read_noise=0)

    def image(**changes: object) -> np.ndarray:
        effects = SensorEffects(**{**vars(clean), **changes})  # type: ignore[arg-type]
        return effects.apply(light, np.random.default_rng(0), gain=1.0).astype(np.float64)

    plain = image()
    assert plain[:, :30].std() == 0.0
    assert image(shot_noise=0.05)[:, :30].std() > 2.0
    assert len(np.unique(image(defocus_px=2.0)[20, :, 0])) > 4
    assert len(np.unique(image(motion_px=6.0)[20, :, 0])) > 4
    assert image(exposure=2.0).mean() > plain.mean() + 20
    assert image(vignetting=0.4)[0, 0, 0] < plain[0, 0, 0] - 10
    assert image(white_balance=(1.3, 1.0, 0.8))[20, 5, 0] > plain[20, 5, 0]
    assert np.abs(image(jpeg_quality=20) - plain).max() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scene": "moon"}, "scene 'moon' is not one of room, office"),
        ({"trajectory": "train"}, "trajectory 'train' is not one of robot, drone, handheld"),
        ({"duration_s": 0.0}, "duration 0.0 s at 15.0 Hz, expected both above 0"),
        ({"horizontal_fov_deg": 190.0}, "horizontal_fov_deg is 190.0, expected 0 to 170"),
    ],
)
def test_wrong_settings_are_refused_with_the_reason(settings: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        SyntheticCamera(0, **settings)  # type: ignore[arg-type]


def test_a_frame_beyond_the_end_is_an_index_error():
    with pytest.raises(IndexError, match="frame 30 of a recording of 30 frames"):
        small_camera()[30]
