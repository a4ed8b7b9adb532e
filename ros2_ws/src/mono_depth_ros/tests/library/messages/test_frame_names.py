"""Names of frames as drivers write them."""

from __future__ import annotations

import pytest

from mono_depth.messages.frame_names import frame_name


@pytest.mark.parametrize("written", ["camera", "/camera", "//camera", " camera ", "/ camera"])
def test_slashes_before_and_spaces_around_a_frame_mean_nothing(written):
    assert frame_name(written) == "camera"


@pytest.mark.parametrize("written", ["", "/", " ", "//"])
def test_a_name_of_nothing_but_those_is_empty(written):
    assert frame_name(written) == ""


def test_the_robot_that_a_frame_belongs_to_stays_part_of_its_name():
    assert frame_name("/robot1/camera") == "robot1/camera"
