"""Scale from the ground, from odometry and by focal length, on synthetic robots."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.models.loading import load_model
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.synthetic.camera import SyntheticCamera

pytestmark = pytest.mark.slow

ROBOTS = ((1, "office"), (3, "warehouse"), (1, "street"))


def smooth_noise(rng, shape, deviation):
    coarse = rng.standard_normal((6, 8)).astype(np.float32)
    noise = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / noise.std() * deviation


def as_network(truth_m, scale, rng, deviation=0.03):
    noise = np.exp(smooth_noise(rng, truth_m.shape, deviation))
    values = torch.from_numpy((truth_m * scale * noise).astype(np.float32))
    return Prediction(values=values, kind=OutputKind.METRIC)


def seen_by(recorded, **known):
    return Frame(
        rgb=recorded.rgb,
        stamp_ns=recorded.stamp_ns,
        frame_id="camera",
        intrinsics=recorded.intrinsics,
        **known,
    )


def down_of(recorded, pitch_error_deg=0.0):
    angle = np.radians(pitch_error_deg)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    return turn @ -recorded.T_odom_camera[2, :3]  # z of odom is up


def scale_errors(frames, config, knowledge):
    """Return |log(depth / truth)|, its median per frame, of the frames with metres."""
    rng, tracker = np.random.default_rng(0), ScaleTracker()
    scale, errors, status = float(np.exp(rng.uniform(-0.5, 0.5))), [], None
    for recorded in frames:
        prediction = as_network(recorded.depth_m, scale, rng)
        depth_m, status = tracker.update(
            prediction, seen_by(recorded, **knowledge(recorded)), config
        )
        if depth_m is not None and status.state in ("valid", "degraded"):
            errors.append(abs(float(np.nanmedian(np.log(depth_m.numpy() / recorded.depth_m)))))
    return errors, status


@pytest.fixture(scope="module")
def robots():
    made = []
    for seed, scene in ROBOTS:
        camera = SyntheticCamera(
            seed,
            scene=scene,
            width=120,
            height=90,
            rate_hz=6.0,
            duration_s=2.0,
            samples_per_pixel=1,
        )
        made.append(list(camera))
    return made


@pytest.mark.parametrize(
    ("pitch_error_deg", "limit"),
    [(0.0, 0.02), (1.0, 0.03), (-1.0, 0.03), (None, 0.03)],
    ids=["gravity known", "1 degree up", "1 degree down", "gravity unknown"],
)
def test_the_ground_tells_the_scale(robots, pitch_error_deg, limit):
    def knowledge(recorded):
        down = None if pitch_error_deg is None else down_of(recorded, pitch_error_deg)
        return {"camera_height_m": float(recorded.T_odom_camera[2, 3]), "gravity_camera": down}

    errors = []
    for frames in robots:
        found, status = scale_errors(frames, ScaleConfig(source="ground_plane"), knowledge)
        assert status.source == "ground_plane"
        assert len(found) > 5
        errors += found
    assert np.median(errors) < limit


def test_a_wrong_height_is_a_wrong_scale_by_the_same_factor(robots):
    errors, _ = scale_errors(
        robots[0],
        ScaleConfig(source="ground_plane"),
        lambda recorded: {
            "camera_height_m": 1.1 * float(recorded.T_odom_camera[2, 3]),
            "gravity_camera": down_of(recorded),
        },
    )
    assert np.median(errors) == pytest.approx(np.log(1.1), abs=0.02)


def test_a_camera_that_sees_no_ground_has_no_scale_from_it(robots):
    tilted = np.array([0.0, 0.0, -1.0])  # gravity says: it looks straight up
    errors, status = scale_errors(
        robots[0],
        ScaleConfig(source="ground_plane", camera_height_m=0.5),
        lambda _: {"gravity_camera": tilted},
    )
    assert not errors
    assert status.state == "uninitialised"
    assert "ground" in status.last_reject


@pytest.fixture(scope="module")
def drive():
    camera = SyntheticCamera(
        1, scene="room", width=320, height=240, rate_hz=10.0, duration_s=3.0, samples_per_pixel=1
    )
    return list(camera)


ODOMETRY = ScaleConfig(source="odometry")


def test_odometry_tells_the_scale(drive):
    errors, status = scale_errors(
        drive, ODOMETRY, lambda recorded: {"T_odom_camera": recorded.T_odom_camera}
    )
    assert status.source == "odometry"
    assert len(errors) > 10
    assert np.median(errors) < 0.04


def test_a_camera_that_only_turns_has_no_scale_from_odometry(drive):
    def turning(recorded):
        T = recorded.T_odom_camera.copy()
        T[:3, 3] = 0.0
        return {"T_odom_camera": T}

    errors, status = scale_errors(drive[:12], ODOMETRY, turning)
    assert not errors
    assert status.state == "uninitialised"
    assert "needs a step sideways" in status.last_reject


def test_odometry_that_does_not_fit_the_image_is_refused(drive):
    def sideways(recorded):
        T = np.eye(4)
        T[0, 3] = 0.6e-9 * recorded.stamp_ns
        return {"T_odom_camera": T}

    errors, status = scale_errors(drive, ODOMETRY, sideways)
    assert not errors
    assert not status.is_metric


@pytest.mark.parametrize("fault", ["gap", "jump", "small jump", "NaN"])
def test_faults_of_odometry_do_not_poison_the_scale(drive, fault):
    def knowledge(recorded):
        T = recorded.T_odom_camera.copy()
        if round(recorded.stamp_ns * 1e-8) % 8 == 7:
            if fault == "gap":
                return {"T_odom_camera": None}
            T[:3, 3] += {"jump": 100.0, "small jump": 0.5, "NaN": np.nan}[fault]
        return {"T_odom_camera": T}

    errors, _ = scale_errors(drive, replace(ODOMETRY, lost_sigma=1.0), knowledge)
    assert not errors or np.max(errors) < 0.15


def test_the_built_in_network_follows_the_focal_length():
    """Without the focal rule the wide lens would make everything 1.6 times farther."""
    model, ratios = load_model("nano", device=torch.device("cpu"), threads=1), []
    for seed in (1, 2, 3):
        metres = []
        for fov_deg in (55.0, 80.0):
            camera = SyntheticCamera(
                seed,
                scene="street",
                width=320,
                height=240,
                rate_hz=1.0,
                duration_s=1.0,
                horizontal_fov_deg=fov_deg,
                samples_per_pixel=1,
            )
            recorded = camera[0]
            K = recorded.intrinsics.scaled_to(224, 160)
            values = model.infer(torch.from_numpy(recorded.rgb), recorded.intrinsics).values
            x = np.abs((np.arange(224) - K.cx) / K.fx)[None]
            y = np.abs((np.arange(160) - K.cy) / K.fy)[:, None]
            half = np.tan(np.radians(26.0))
            metres.append(float(values[torch.from_numpy((x < half) & (y < 0.75 * half))].median()))
        ratios.append(metres[0] / metres[1])
    assert np.median(ratios) == pytest.approx(1.0, abs=0.2)


def test_odometry_that_is_twice_too_long_is_no_valid_scale_of_a_right_network(drive):
    """Wheels that slip, or a wrong radius: depth is 1.9 times too far, and the network says so."""
    rng, tracker, told = np.random.default_rng(0), ScaleTracker(), []
    for recorded in drive:
        T = recorded.T_odom_camera.copy()
        T[:3, 3] *= 2.0
        prediction = as_network(recorded.depth_m, 1.0, rng)
        metres, status = tracker.update(prediction, seen_by(recorded, T_odom_camera=T), ODOMETRY)
        if metres is not None:
            told.append((float(np.nanmedian(metres.numpy() / recorded.depth_m)), status))
    assert np.median([ratio for ratio, _ in told]) > 1.7
    assert all(status.state != "valid" for ratio, status in told if ratio > 1.65)
    assert "odometry and model differ by" in told[-1][1].conflict
