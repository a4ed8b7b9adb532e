"""The temporal filters on synthetic walks with a noisy network whose truth is known."""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import TemporalConfig
from mono_depth.data import Intrinsics
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.relative import RelativeFilter

WIDTH, HEIGHT, FRAMES = 160, 120, 24
PERIOD_NS = 66_666_667
BOX = (slice(45, 100), slice(60, 115))  # where an obstacle appears
CORE = (slice(49, 96), slice(64, 111))


@dataclass
class Walk:
    """A recording, and what a noisy network says about it."""

    rgb: list[np.ndarray]
    truth_m: np.ndarray
    network_m: np.ndarray
    T_odom_camera: list[np.ndarray]
    intrinsics: Intrinsics

    def stamp_ns(self, index):
        return 1 + index * PERIOD_NS


def noisy(truth_m, seed=0):
    """Return depth with 6 % of noise in scale and 5 % in soft blobs, anew for each frame."""
    rng, out = np.random.default_rng(seed), []
    for depth_m in np.nan_to_num(truth_m, nan=60.0):
        blobs = cv2.resize(rng.normal(0, 0.05, (8, 10)), (WIDTH, HEIGHT), interpolation=2)
        out.append(depth_m * np.exp(blobs + rng.normal(0, 0.06)))
    return np.asarray(out, np.float32)


@cache
def walk(scene="corridor", style="robot", seed=4, rate_hz=15.0):
    """Render a walk, once for all tests that ask for it: none of them changes it."""
    camera = SyntheticCamera(
        seed=seed,
        scene=scene,
        trajectory=style,
        width=WIDTH,
        height=HEIGHT,
        rate_hz=rate_hz,
        duration_s=6.0,
    )
    frames = [camera[index] for index in range(FRAMES)]
    truth_m = np.stack([frame.depth_m for frame in frames])
    return Walk(
        rgb=[frame.rgb for frame in frames],
        truth_m=truth_m,
        network_m=noisy(truth_m),
        T_odom_camera=[frame.T_odom_camera for frame in frames],
        intrinsics=frames[0].intrinsics,
    )


@pytest.fixture(scope="module")
def corridor():
    return walk()


@pytest.fixture(scope="module")
def brisk():
    """The corridor at four times the speed: 7 cm from frame to frame, straight ahead."""
    return walk(rate_hz=4.0)


def patch(depth_m, first, last, *, step_px=0, approach_m=0.0):
    """Paste a textured box at `depth_m` into frames `first` to `last` of a corridor."""

    def pasted(base):
        rng = np.random.default_rng(7)
        texture = cv2.GaussianBlur(rng.integers(0, 255, (55, 55, 3), np.uint8), (0, 0), 2)
        rgb, truth_m, mover = list(base.rgb), base.truth_m.copy(), np.zeros((FRAMES, 120, 160), "?")
        for index in range(first, last + 1):
            rows, columns = BOX
            moved = slice(columns.start - 40 + step_px * index, columns.stop - 40 + step_px * index)
            columns = moved if step_px else columns
            rgb[index] = rgb[index].copy()
            rgb[index][rows, columns] = texture
            truth_m[index][rows, columns] = depth_m - approach_m * index
            mover[index][rows, columns] = True
        return replace(base, rgb=rgb, truth_m=truth_m, network_m=noisy(truth_m)), mover

    return pasted


def run(recording, mode, network_m=None, filtered_by=None, frames=range(FRAMES), memory_frames=20):
    """Return depth and the reasons for starting over of the frames."""
    depth, resets = [], []
    past = filtered_by or TemporalFilter()
    network_m = recording.network_m if network_m is None else network_m
    for index in frames:
        out = apply(past, recording, index, mode, network_m, memory_frames=memory_frames)
        depth.append(out.values.numpy())
        resets.append(out.reset)
    return np.array(depth), resets


def apply(
    past, recording, index, mode, network_m=None, stamp_ns=None, pose="known", memory_frames=20
):
    network_m = recording.network_m if network_m is None else network_m
    values = torch.from_numpy(network_m[index].copy())
    pose = recording.T_odom_camera[index] if isinstance(pose, str) else pose
    return past.apply(
        values,
        rgb=recording.rgb[index],
        intrinsics=recording.intrinsics,
        stamp_ns=recording.stamp_ns(index) if stamp_ns is None else stamp_ns,
        T_odom_camera=pose if mode == "pose" else None,
        config=TemporalConfig(mode=mode, memory_frames=memory_frames),
    )


def log_error(depth_m, truth_m):
    """Return log(depth / truth) after one scale for the sequence."""
    error = np.log(depth_m / truth_m)
    return error - np.nanmedian(error)


# What it is for


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
@pytest.mark.parametrize("scene", [("corridor", "robot"), ("office", "handheld")], ids=str)
def test_depth_becomes_truer_and_its_scale_calmer(mode, scene):
    recording = walk(*scene)
    depth_m, resets = run(recording, mode)
    raw, now = (log_error(d, recording.truth_m) for d in (recording.network_m, depth_m))
    assert not any(resets)
    assert np.nanmean(np.abs(now)) < 0.5 * np.nanmean(np.abs(raw))
    spreads = [np.std(np.nanmedian(error, axis=(1, 2))) for error in (raw, now)]
    assert spreads[1] < 0.5 * spreads[0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
def test_obstacles_are_not_reported_farther_than_they_are_while_driving_at_them(brisk, mode):
    depth_m, _ = run(brisk, mode)
    near = brisk.truth_m < np.nanquantile(brisk.truth_m, 0.15)
    raw, now = (np.nanmean(log_error(d, brisk.truth_m)[near]) for d in (brisk.network_m, depth_m))
    assert now < max(raw, 0.0) + 0.02


@pytest.mark.slow
def test_depth_that_is_wrong_by_a_factor_is_fused_as_well_as_depth_that_is_right(brisk):
    """Odometry is in metres; where depth is not, its steps are brought to the unit of depth."""
    error = []
    for factor in (1.0, 1.5):
        depth_m, resets = run(brisk, "pose", brisk.network_m * np.float32(factor))
        assert not any(resets)
        error.append(np.nanmean(np.abs(log_error(depth_m, brisk.truth_m))))
    assert error[1] < 1.35 * error[0]


@pytest.mark.slow
def test_with_perfect_depth_the_filter_changes_next_to_nothing(corridor):
    truth_m = np.nan_to_num(corridor.truth_m, nan=60.0)
    depth_m, _ = run(corridor, "pose", truth_m)
    assert np.mean(np.abs(np.log(depth_m / truth_m))) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow", "static"])
def test_the_output_of_a_frame_depends_on_that_frame(corridor, mode):
    """No latency: a change in the newest frame is seen in the output of the same frame."""
    changed_m = corridor.network_m.copy()
    changed_m[-1][CORE] *= 0.5
    before, after = (run(corridor, mode, d)[0] for d in (corridor.network_m, changed_m))
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert np.median(after[-1][CORE] / before[-1][CORE]) == pytest.approx(0.5, rel=0.06)


# Things that come and go


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
def test_an_obstacle_is_there_in_its_first_frame_and_gone_in_the_first_after(corridor, mode):
    recording, _ = patch(1.2, 10, 15)(corridor)
    past, depth_m = TemporalFilter(), []
    for index in range(17):
        depth_m.append(apply(past, recording, index, mode).values.numpy())
        if index in (10, 16):
            aligned_m = recording.network_m[index] * np.exp(past._memory.log_scale)
            np.testing.assert_allclose(depth_m[index][CORE], aligned_m[CORE], rtol=0.05)
    assert np.median(depth_m[10][CORE] / recording.truth_m[9][CORE]) < 0.35
    assert np.median(depth_m[16][CORE] / recording.truth_m[15][CORE]) > 3.0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
def test_what_moves_is_no_worse_than_the_network_alone(corridor, mode):
    recording, mover = patch(2.0, 0, FRAMES - 1, step_px=3, approach_m=0.02)(corridor)
    depth_m, _ = run(recording, mode)
    raw, now = (
        np.nanmean(np.abs(log_error(d, recording.truth_m)[mover]))
        for d in (recording.network_m, depth_m)
    )
    assert now <= raw


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
def test_a_hard_cut_starts_over_with_its_first_frame(corridor, mode):
    other = walk("room", "robot", seed=1)
    # Odometry goes on: it does not see a cut.
    other = replace(other, T_odom_camera=corridor.T_odom_camera)
    past = TemporalFilter()
    run(corridor, mode, filtered_by=past, frames=range(8))
    out = apply(past, other, 8, mode)
    assert out.reset != ""
    np.testing.assert_allclose(out.values, other.network_m[8], rtol=1e-5)
    assert not any(run(other, mode, filtered_by=past, frames=range(9, 12))[1])


# What goes wrong


POISONS = {
    "NaN": lambda d: np.full_like(d, np.nan),
    "a NaN patch": lambda d: np.where(np.indices(d.shape)[0] < 60, np.nan, d).astype(np.float32),
    "infinite": lambda d: np.full_like(d, np.inf),
    "constant": lambda d: np.full_like(d, 3.0),
    "negative": lambda d: -d,
    "zero": lambda d: np.zeros_like(d),
    "huge": lambda d: np.full_like(d, 1e30),
}


@pytest.fixture(scope="module")
def unharmed(corridor):
    """Return a function that gives depth of a filter that began after the bad output."""
    return cache(lambda mode: run(corridor, mode, frames=range(7, FRAMES), memory_frames=4)[0])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pose", "flow"])
@pytest.mark.parametrize("poison", POISONS)
def test_bad_output_of_the_network_leaves_no_trace(corridor, unharmed, mode, poison):
    bad_m = corridor.network_m.copy()
    bad_m[5:7] = [POISONS[poison](d) for d in bad_m[5:7]]
    out, _ = run(corridor, mode, bad_m, memory_frames=4)
    assert np.isfinite(out[7:]).all()
    difference = np.abs(np.log(out[-5:] / unharmed(mode)[-5:]))
    assert np.median(difference) < 0.03
    assert np.quantile(difference, 0.99) < 0.15


def test_an_unknown_pixel_stays_unknown_and_has_no_confidence(corridor):
    holed_m = corridor.network_m.copy()
    holed_m[:, 30:40, 50:60] = np.nan
    past = TemporalFilter()
    for index in range(6):
        out = apply(past, corridor, index, "pose", holed_m)
    hole = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    hole[30:40, 50:60] = True
    torch.testing.assert_close(out.values.isnan(), hole)
    assert (out.confidence[hole] == 0.0).all()
    assert ((out.confidence[~hole] > 0.0) & (out.confidence <= 1.0)[~hole]).all()


@pytest.mark.parametrize(
    ("step_ns", "reason"), [(0, "0.000 s"), (-PERIOD_NS, "-0.067 s"), (600_000_000, "0.600 s")]
)
def test_a_stamp_that_repeats_goes_back_or_leaves_a_gap_starts_over(corridor, step_ns, reason):
    past = TemporalFilter()
    run(corridor, "pose", filtered_by=past, frames=range(4))
    out = apply(past, corridor, 4, "pose", stamp_ns=corridor.stamp_ns(3) + step_ns)
    assert reason in out.reset
    np.testing.assert_allclose(out.values, corridor.network_m[4], rtol=1e-5)


def test_a_new_calibration_starts_over(corridor):
    past = TemporalFilter()
    run(corridor, "pose", filtered_by=past, frames=range(4))
    zoomed = replace(corridor, intrinsics=replace(corridor.intrinsics, fx=200.0))
    assert "calibration" in apply(past, zoomed, 4, "pose").reset


def test_without_odometry_for_a_while_the_image_itself_tells_the_motion(corridor):
    past, modes, resets = TemporalFilter(), [], []
    for index in range(10):
        pose = None if index in (4, 5) else corridor.T_odom_camera[index]
        out = apply(past, corridor, index, "pose", pose=pose)
        modes.append(out.mode)
        resets.append(out.reset)
    assert modes == ["pose"] * 4 + ["flow"] * 3 + ["pose"] * 3
    assert not any(resets)


@pytest.mark.slow
@pytest.mark.parametrize("jump_m", [5.0, 1e6, np.nan])
def test_a_jump_of_the_odometry_is_survived(corridor, jump_m):
    jumped = replace(corridor, T_odom_camera=[pose.copy() for pose in corridor.T_odom_camera])
    for pose in jumped.T_odom_camera[8:]:
        pose[:3, 3] += jump_m
    depth_m, _ = run(jumped, "pose")
    clean_m, _ = run(corridor, "pose", frames=range(8, FRAMES))
    error = [np.mean(np.abs(log_error(d[-5:], corridor.truth_m[-5:]))) for d in (depth_m, clean_m)]
    assert error[0] < 1.1 * error[1] + 0.002


@pytest.mark.slow
def test_memory_does_not_grow(corridor):
    def held(past):
        memory = past._memory
        return memory.history.maps.numel(), memory.history.maps.untyped_storage().nbytes()

    past = TemporalFilter()
    run(corridor, "pose", filtered_by=past, frames=range(2))
    after_two = held(past)
    run(corridor, "pose", filtered_by=past, frames=range(2, FRAMES))
    assert held(past) == after_two
    assert not hasattr(past._memory, "last")


# Models without metres


def affine_network(recording):
    """Return 7 / depth + b with scale and shift that differ from frame to frame."""
    rng = np.random.default_rng(3)
    scales = 7.0 * np.exp(rng.normal(0, 0.08, FRAMES))
    shifts = 1.0 + rng.normal(0, 0.1, FRAMES)
    maps = scales[:, None, None] / recording.network_m + shifts[:, None, None]
    return maps.astype(np.float32)


def run_relative(recording, values, filtered_by=None, frames=range(FRAMES), intrinsics="known"):
    past, out = filtered_by or RelativeFilter(), []
    for index in frames:
        out.append(
            past.apply(
                torch.from_numpy(values[index].copy()),
                rgb=recording.rgb[index],
                intrinsics=recording.intrinsics if intrinsics == "known" else None,
                stamp_ns=recording.stamp_ns(index),
                config=TemporalConfig(mode="flow"),
            )
        )
    return np.array([o.values.numpy() for o in out]), [o.reset for o in out]


def relative_error(values, truth_m):
    """Return (fitted - true) / true inverse depth after one scale and shift for the sequence."""
    true = 1.0 / np.nan_to_num(truth_m, nan=60.0)
    weight = 1.0 / true.ravel()
    system = np.stack((values.ravel(), np.ones(values.size)), axis=1) * weight[:, None]
    scale, shift = np.linalg.lstsq(system, true.ravel() * weight, rcond=None)[0]
    return (scale * values + shift - true) / true


@pytest.mark.slow
@pytest.mark.parametrize("intrinsics", ["known", "unknown"])
def test_relative_depth_becomes_truer_and_no_obstacle_moves_away(brisk, intrinsics):
    network = affine_network(brisk)
    values, resets = run_relative(brisk, network, intrinsics=intrinsics)
    raw, now = (relative_error(v, brisk.truth_m) for v in (network, values))
    assert not any(resets)
    assert np.mean(np.abs(now)) < 0.8 * np.mean(np.abs(raw))
    steps = [np.mean(np.abs(np.diff(np.median(e, axis=(1, 2))))) for e in (raw, now)]
    assert steps[1] < 0.4 * steps[0]
    near = brisk.truth_m < np.nanquantile(brisk.truth_m, 0.15)
    assert -np.mean(now[near]) < max(-np.mean(raw[near]), 0.0) + 0.01


@pytest.mark.slow
def test_relative_scale_does_not_drift_in_a_long_hover(corridor):
    still = replace(corridor, rgb=[corridor.rgb[0]] * FRAMES)
    rng, past = np.random.default_rng(5), RelativeFilter()
    config = TemporalConfig(mode="flow")
    clean = 7.0 / np.nan_to_num(corridor.truth_m[0], nan=60.0)
    for index in range(150):
        noise = cv2.resize(rng.normal(0, 0.05, (8, 10)), (WIDTH, HEIGHT), interpolation=2)
        out = past.apply(
            torch.from_numpy((clean * np.exp(noise)).astype(np.float32)),
            rgb=still.rgb[0],
            intrinsics=corridor.intrinsics,
            stamp_ns=1 + index * PERIOD_NS,
            config=config,
        )
    slope = np.polyfit(clean.ravel(), out.values.numpy().ravel(), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
def test_a_cut_starts_a_relative_model_over(corridor):
    past = RelativeFilter()
    run_relative(corridor, affine_network(corridor), past, range(6))
    other = walk("room", "robot", seed=1)
    network = affine_network(other)
    values, resets = run_relative(other, network, past, range(6, 9))
    assert [bool(reset) for reset in resets] == [True, False, False]
    np.testing.assert_allclose(values[0], network[6], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("poison", ["NaN", "a NaN patch", "infinite", "constant", "negative"])
def test_bad_output_of_a_relative_model_leaves_no_trace(corridor, poison):
    network, past = affine_network(corridor), RelativeFilter()
    bad = network.copy()
    bad[5:7] = [POISONS[poison](values) for values in bad[5:7]]
    values, _ = run_relative(corridor, bad, past)
    assert np.isfinite(values[7:]).all()
    raw, now = (
        np.mean(np.abs(relative_error(v[-5:], corridor.truth_m[-5:]))) for v in (network, values)
    )
    assert now < 0.7 * raw
