"""The direction of gravity from what an accelerometer and a gyroscope feel."""

import math

import numpy as np
import pytest

from mono_depth.camera.gravity import GravityFilter
from mono_depth.camera.poses import rotation
from mono_depth.stream.clock_watch import ClockChange

G = 9.81
STEP_NS = 10_000_000  # 100 Hz
UP = np.array([0.0, 0.0, G])


def fed(forces, turns=None, *, start_ns=0):
    """Return a filter after samples at 100 Hz, and the stamp of the last."""
    gravity, stamp_ns = GravityFilter(), start_ns
    for i, force in enumerate(forces):
        stamp_ns = start_ns + i * STEP_NS
        gravity.add(stamp_ns, np.asarray(force), None if turns is None else np.asarray(turns[i]))
    return gravity, stamp_ns


def degrees_off(found, expected):
    return math.degrees(math.acos(np.clip(found @ expected / np.linalg.norm(expected), -1, 1)))


def test_at_rest_gravity_points_against_what_is_felt():
    gravity, last_ns = fed([UP] * 20)

    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])


def test_it_takes_a_tenth_of_a_second_to_know():
    gravity, _ = fed([UP] * 20)

    assert gravity.directions.at(0) is None
    assert gravity.directions.at(5 * STEP_NS) is None
    assert gravity.directions.at(12 * STEP_NS) is not None


def test_noise_is_averaged():
    noise = np.random.default_rng(0).normal(0.0, 0.3, (300, 3))

    gravity, last_ns = fed(UP + noise)

    assert degrees_off(gravity.directions.at(last_ns), -UP) < 0.6  # one sample: 2.5 degrees


def test_a_push_does_not_tilt_it():
    push = UP + np.array([4.0, 0.0, 0.0])

    gravity, last_ns = fed([UP] * 50 + [push] * 100, np.zeros((150, 3)))

    assert degrees_off(gravity.directions.at(last_ns), -UP) < 1e-6


def test_after_three_seconds_of_pushing_it_is_unknown_until_it_is_felt_again():
    push = UP + np.array([4.0, 0.0, 0.0])

    gravity, last_ns = fed([UP] * 50 + [push] * 310 + [UP] * 1)

    assert gravity.directions.at(last_ns - STEP_NS) is None
    assert gravity.directions.reaches(last_ns - STEP_NS)
    assert gravity.force_mps2 == pytest.approx(G)
    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])


def test_the_gyroscope_turns_it_where_the_accelerometer_says_nothing():
    """One second nose over at 90 degrees a second, while the robot is pushed about."""
    turn = np.array([0.0, math.pi / 2, 0.0])
    forces, turns = [UP] * 50, [np.zeros(3)] * 50
    for i in range(100):
        forces.append(rotation(-turn * (i + 1) / 100) @ UP + np.array([6.0, 6.0, 0.0]))
        turns.append(turn)

    gravity, last_ns = fed(forces, turns)

    down = rotation(-turn) @ [0.0, 0.0, -1.0]
    np.testing.assert_allclose(gravity.directions.at(last_ns), down, atol=0.02)
    np.testing.assert_allclose(down, [1, 0, 0], atol=1e-9)  # nose over: down is ahead


def test_an_answer_is_that_of_its_stamp():
    turn = np.array([0.5, 0.0, 0.0])
    forces = [rotation(-turn * i * 0.01) @ UP for i in range(200)]

    gravity, _ = fed(forces, [turn] * 200)

    for i in (50, 100, 150):
        expected = rotation(-turn * i * 0.01) @ -UP
        assert degrees_off(gravity.directions.at(i * STEP_NS), expected) < 0.1


def test_far_from_every_sample_it_is_unknown():
    gravity, last_ns = fed([UP] * 20, start_ns=10**9)

    assert gravity.directions.at(last_ns + 50_000_000) is not None
    assert gravity.directions.at(last_ns + 150_000_000) is None
    assert gravity.directions.at(10**9 - 150_000_000) is None
    assert not GravityFilter().directions.reaches(0)


@pytest.mark.parametrize("force", [[math.nan, 0, G], [math.inf, 0, 0]])
def test_what_is_no_number_is_left_out(force):
    gravity, last_ns = fed([UP] * 20 + [force] + [UP])

    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])


@pytest.mark.parametrize("turn", [1e300, -1e20, math.inf, math.nan])
def test_a_turn_that_no_gyroscope_measures_turns_nothing(turn):
    gravity, last_ns = fed([UP] * 20, [(turn, 0.0, 0.0)] * 20)

    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])


def test_late_samples_are_left_out_and_a_clock_that_starts_over_starts_over():
    gravity, last_ns = fed([UP] * 20, start_ns=10**10)
    gravity.add(last_ns - STEP_NS, -UP, None)
    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])

    for i in range(20):
        gravity.add(i * STEP_NS, np.array([G, 0.0, 0.0]), None)

    np.testing.assert_allclose(gravity.directions.at(19 * STEP_NS), [-1, 0, 0])
    assert gravity.directions.at(last_ns) is None


@pytest.mark.parametrize("wrong_ns", [10**13, 5])
def test_one_wrong_stamp_costs_the_direction_nothing(wrong_ns):
    gravity, last_ns = fed([UP] * 20, start_ns=10**10)
    gravity.add(wrong_ns, np.array([G, 0.0, 0.0]), None)
    gravity.add(last_ns + STEP_NS, UP, None)

    np.testing.assert_allclose(gravity.directions.at(last_ns), [0, 0, -1])
    np.testing.assert_allclose(gravity.directions.at(last_ns + STEP_NS), [0, 0, -1])


def test_an_image_that_shows_a_jump_of_the_clock_takes_the_direction_of_before_away():
    gravity, last_ns = fed([UP] * 20, start_ns=10**10)
    gravity.follow(ClockChange(from_ns=last_ns, to_ns=last_ns - 10**9))

    assert not gravity.directions.reaches(last_ns)
    for i in range(20):
        gravity.add(last_ns - 10**9 + i * STEP_NS, np.array([G, 0.0, 0.0]), None)
    np.testing.assert_allclose(gravity.directions.at(last_ns - 8 * 10**8), [-1, 0, 0])
