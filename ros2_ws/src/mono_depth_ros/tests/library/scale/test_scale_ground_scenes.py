"""Ground that is no level floor: tables, platforms, ramps, stairs and edges in front of a robot."""

import numpy as np
import pytest

from mono_depth.evaluation.promises.uneven_ground import (
    ALONG_M,
    SCENES,
    GroundScene,
    depth_of,
    foot_m,
    ground_scene,
    profile,
    told_about,
    uneven_rows,
)


def level_floor(height_m, pitch_deg):
    """Return a scene with nothing but floor and a wall far behind."""
    view_m = depth_of(np.zeros_like(ALONG_M), height_m, pitch_deg)
    return GroundScene(thing="floor", depth_m=view_m, height_m=height_m, pitch_deg=pitch_deg)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_known", "limit"), [(True, 1.05), (False, 1.08)], ids=["gravity known", "gravity unknown"]
)
def test_of_40_scenes_that_are_no_level_floor_none_is_too_far_while_valid(is_known, limit):
    """Without gravity a gentle ramp right behind the lowest rows looks like a pitched camera."""
    too_far = []
    for seed in range(SCENES):
        scene, rng = ground_scene(seed)
        for told in told_about(scene, [scene.depth_m] * 6, rng, is_known=is_known):
            if told.status.state == "valid" and told.ratio > limit:
                too_far.append((seed, scene.thing, round(told.ratio, 2), told.status.source))
    assert not too_far


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [True, False], ids=["gravity known", "gravity unknown"])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.5])
def test_a_level_floor_is_measured_as_before(is_known, scale):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        height_m, pitch_deg = rng.uniform(0.3, 1.5), rng.uniform(0.0, 30.0)
        floor = level_floor(height_m, pitch_deg)
        *_, told = told_about(floor, [floor.depth_m] * 6, rng, is_known=is_known, scale=scale)
        assert (told.status.source, told.status.state) == ("ground_plane", "valid")
        assert told.ratio == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("thing", ["table", "platform", "ramp"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_robot_drives_up_to_does_not_become_its_ground(thing, seed):
    """At the end it fills the view; the floor was measured before."""
    rng = np.random.default_rng(seed)
    height_m, pitch_deg = rng.uniform(0.8, 1.3), rng.uniform(5.0, 25.0)
    shape = rng.integers(1 << 30)
    views_m = []
    for ahead_m in np.linspace(foot_m(height_m, pitch_deg) + 2.0, 0.6 * height_m, 40):
        ground_m = profile(thing, np.random.default_rng(shape), height_m, ahead_m)
        views_m.append(depth_of(ground_m, height_m, pitch_deg))
    for told in told_about(level_floor(height_m, pitch_deg), views_m, rng):
        assert told.status.state != "valid" or told.ratio < 1.05


@pytest.mark.slow
@pytest.mark.parametrize("ends_m", [3.0, 0.4], ids=["climbs", "descends"])
@pytest.mark.parametrize("with_odometry", [True, False])
def test_a_height_that_is_not_constant_is_noticed(ends_m, with_odometry):
    """A drone with scale.camera_height_m: by odometry early, else by the network's own metres."""
    heights_m = np.append(np.full(10, 1.0), np.linspace(1.0, ends_m, 60))
    views_m = [depth_of(np.zeros_like(ALONG_M), height_m, 30.0) for height_m in heights_m]
    risen_m = heights_m - 1.0 if with_odometry else np.zeros_like(heights_m)
    limit = 1.1 if with_odometry else 1.65
    rng = np.random.default_rng(0)
    told = list(told_about(level_floor(1.0, 30.0), views_m, rng, risen_m=risen_m))
    assert told[9].status.state == "valid"
    for now in told:
        assert now.status.state != "valid" or now.ratio < limit
    if with_odometry:
        assert "1 m is not constant" in told[-1].status.last_reject
        assert all(now.status.state != "valid" for now in told[40:])


def test_a_robot_that_climbs_a_ramp_keeps_its_scale():
    """It rises, and stays as high over what it drives on."""
    floor, risen_m = level_floor(0.5, 20.0), np.linspace(0.0, 2.0, 30)
    *_, told = told_about(floor, [floor.depth_m] * 30, np.random.default_rng(0), risen_m=risen_m)
    assert (told.status.source, told.status.state) == ("ground_plane", "valid")
    assert told.ratio == pytest.approx(1.0, abs=0.03)


@pytest.mark.acceptance
def test_the_promise_holds_for_what_a_view_can_tell():
    seen, hidden = uneven_rows()

    assert seen.is_met
    assert hidden.value < 1.65  # beyond, the network refutes it
