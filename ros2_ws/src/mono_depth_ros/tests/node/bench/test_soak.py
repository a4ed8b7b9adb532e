"""An hour in short: a fault every few seconds, nothing lost, nothing that grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono_depth_ros.bench.faults import FAULTS, FaultSchedule
from mono_depth_ros.bench.soak import complaints, soak

pytestmark = pytest.mark.ros


def test_faults_come_in_turn_one_every_period():
    schedule = FaultSchedule(period_s=10.0)

    assert schedule.begun(9.9) == []
    assert [item.fault for item in schedule.begun(60.0)] == list(FAULTS)
    assert [item.begin_s for item in schedule.begun(30.0)] == [10.0, 20.0, 30.0]


def test_a_fault_that_lasts_ends_before_the_next_one():
    schedule = FaultSchedule(period_s=10.0)

    assert schedule.is_on("odometry lost", 21.0)
    assert not schedule.is_on("odometry lost", 23.0)
    assert not schedule.is_on("camera restart", 21.0)


def test_the_clock_is_set_back_and_forward_again():
    schedule = FaultSchedule(period_s=10.0)

    assert [schedule.clock_offset_s(time_s) for time_s in (5.0, 15.0, 65.0, 75.0)] == [
        0.0,
        -5.0,
        -5.0,
        0.0,
    ]


@pytest.mark.acceptance
def test_two_minutes_of_faults_lose_nothing_and_take_no_memory(tmp_path: Path):
    figures = soak(2.0, 10.0, tmp_path)

    assert complaints(figures) == []
    assert {item["fault"] for item in figures["faults"]} == set(FAULTS)
