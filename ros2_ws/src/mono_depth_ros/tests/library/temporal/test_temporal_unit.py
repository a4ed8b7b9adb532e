"""The unit of depth against that of odometry: measured by steps, held over time."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch

from mono_depth.camera.poses import rotation
from mono_depth.config import TemporalConfig
from mono_depth.motion.ego_motion import EgoMotionEstimator
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.unit import UnitOfDepth

pytestmark = pytest.mark.slow

STEP_S = 1 / 15
FRAMES = 45


@dataclass
class Drive:
    """A robot that drives along a corridor."""

    frames: list
    truth_m: np.ndarray


@pytest.fixture(scope="module")
def drive():
    camera = SyntheticCamera(seed=2, scene="corridor", trajectory="robot", width=160, height=120)
    frames = [camera[index] for index in range(FRAMES)]
    return Drive(frames, np.nan_to_num(np.stack([f.depth_m for f in frames]), nan=60.0))


def step_of(drive, now, factor=1.0, turned=(0.0, 0.0, 0.0)):
    """Measure the step from the frame before, with depth wrong by a factor."""
    last, frame = drive.frames[now - 1], drive.frames[now]
    T_last_now = np.linalg.inv(last.T_odom_camera) @ frame.T_odom_camera
    T_last_now[:3, :3] = rotation(np.array(turned)) @ T_last_now[:3, :3]
    greys = [cv2.cvtColor(f.rgb, cv2.COLOR_RGB2GRAY) for f in (frame, last)]
    log_depth = np.log(factor * drive.truth_m[now - 1]).astype(np.float32)
    return EgoMotionEstimator(frame.intrinsics).step_length(T_last_now, *greys, log_depth)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_step_is_longer_by_the_factor_that_depth_is_too_far(drive, factor):
    found = [step_of(drive, now, factor).factor for now in range(20, 30)]
    assert np.median(found) == pytest.approx(factor, rel=0.1)


def test_near_and_far_tracks_have_the_same_say(drive):
    """The near ones show the step best; but the depth of the far ones counts as much."""
    farther = replace(drive, truth_m=drive.truth_m.copy())
    for depth_m in farther.truth_m:
        depth_m[depth_m > np.median(depth_m)] *= 2.0
    found = [step_of(farther, now).factor for now in range(20, 30)]
    assert 1.2 < np.median(found) < 1.8


def test_a_turn_that_odometry_tells_wrong_by_a_tenth_of_a_degree_is_no_step(drive):
    straight = np.median([step_of(drive, now).factor for now in range(20, 30)])
    turned = [step_of(drive, now, turned=(0.0, 0.0017, 0.0)).factor for now in range(20, 30)]
    assert np.median(turned) == pytest.approx(straight, rel=0.1)


def test_a_step_too_short_to_be_seen_says_so(drive):
    frame = drive.frames[20]
    grey, log_depth = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), np.log(drive.truth_m[20])
    T_last_now = np.eye(4)
    T_last_now[2, 3] = 1e-4
    found = EgoMotionEstimator(frame.intrinsics).step_length(
        T_last_now, grey, grey, log_depth.astype(np.float32)
    )
    assert found.sigma_rel > 1.0


def test_a_memory_that_shrinks_is_brought_back_to_the_unit_of_the_network():
    """Hand-overs that lose 1 % each would leave nothing of the scale after 200 frames."""
    unit, log_scale = UnitOfDepth(), 0.0
    for _ in range(200):
        unit.predict(STEP_S)
        log_scale -= 0.01
        unit.correct(np.exp(0.3 + log_scale), sigma_rel=0.05)  # the network's own unit is 0.3
        log_scale += unit.pull(log_scale, STEP_S, time_constant_s=0.5)
    assert unit.certainty > 0.9
    assert -0.12 < log_scale < -0.03
    assert unit.log_unit == pytest.approx(0.3, abs=0.05)


def test_what_is_not_measured_is_not_pulled():
    unit = UnitOfDepth()
    assert abs(unit.pull(-0.5, STEP_S, time_constant_s=3.0)) < 1e-4
    unit.correct(np.exp(2.0), sigma_rel=50.0)
    assert abs(unit.log_unit) < 0.01


def test_certainty_is_lost_without_steps():
    unit = UnitOfDepth()
    for _ in range(10):
        unit.predict(STEP_S)
        unit.correct(1.0, sigma_rel=0.05)
    assert unit.certainty == 1.0
    unit.predict(10.0)
    assert unit.certainty < 0.2


def level_of(drive, network_m, mode):
    """Return log(depth of the filter / depth of the network) in the last frame."""
    past = TemporalFilter()
    for frame, depth_m in zip(drive.frames, network_m, strict=True):
        out = past.apply(
            torch.from_numpy(depth_m),
            rgb=frame.rgb,
            intrinsics=frame.intrinsics,
            stamp_ns=frame.stamp_ns + 1,
            T_odom_camera=frame.T_odom_camera,
            config=TemporalConfig(mode=mode),
        )
    return float(np.median(np.log(out.values.numpy() / depth_m)))


def test_odometry_holds_the_scale_of_a_network_without_contrast(drive):
    """What the robot approaches seems to come nearer too slowly: flow takes that for scale."""
    flat_m = (3.0 * (drive.truth_m / 3.0) ** 0.6).astype(np.float32)
    by_odometry, by_flow = (level_of(drive, flat_m, mode) for mode in ("pose", "flow"))
    assert by_flow < -0.2
    assert by_odometry > 0.75 * by_flow
