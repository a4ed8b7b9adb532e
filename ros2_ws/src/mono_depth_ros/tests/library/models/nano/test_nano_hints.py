"""What the built-in network is told beside the image: sparse depth, sensor depth, the ground."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.models.nano.hints import (
    above_ground,
    anchored,
    evidence,
    ground_log,
    spread_out,
    unmoved,
    with_hints,
)
from mono_depth.models.nano.model import Nano, focal_factor, network_size, ray_channels
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.protocol import GuidedModel, Hints

CPU = torch.device("cpu")
RGB = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8))
CAMERA = Intrinsics(width=128, height=96, fx=100.0, fy=100.0, cx=63.5, cy=47.5)
NAN = math.nan
DOWN = np.array([0.0, 1.0, 0.0])  # gravity for a level camera


@pytest.fixture
def guided() -> Nano:
    """Untrained, with a network for hints that corrects at random."""
    torch.manual_seed(0)
    net = NanoNet()
    with torch.no_grad():
        net.hints.head.weight.normal_(0.0, 0.02)
    return Nano(net, CPU)


def unknown(height=64, width=64):
    return torch.full((1, height, width), NAN)


# ---- filling in


def test_one_known_pixel_is_known_everywhere_and_nearest_at_itself():
    values = unknown()
    values[0, 10, 20] = 1.5
    filled, nearness = spread_out(values)
    torch.testing.assert_close(filled, torch.full((1, 64, 64), 1.5))
    assert float(nearness[0, 10, 20]) == 1.0
    assert int((nearness == 1.0).sum()) == 1
    assert float(nearness.min()) > 0.0
    assert float(nearness[0, 12, 20]) > float(nearness[0, 60, 60])


def test_known_pixels_keep_their_value_and_what_lies_between_is_between():
    values = unknown()
    values[0, :, 0], values[0, :, 63] = 1.0, 2.0
    filled, _ = spread_out(values)
    assert (filled[0, :, 0] == 1.0).all()
    assert (filled[0, :, 63] == 2.0).all()
    row = filled[0, 32]
    assert (row.diff() >= -1e-6).all()
    assert 1.2 < float(row[32]) < 1.8


def test_images_of_a_batch_do_not_mix():
    values = torch.cat((unknown(), torch.full((1, 64, 64), 3.0)))
    filled, nearness = spread_out(values)
    assert not filled[0].any()
    assert not nearness[0].any()
    assert (filled[1] == 3.0).all()


# ---- agreeing with what is known


def test_a_prediction_wrong_by_one_factor_is_right_after_one_known_pixel():
    truth = torch.rand(1, 64, 64)
    known = unknown()
    known[0, 5, 5] = truth[0, 5, 5]
    torch.testing.assert_close(anchored(truth + 0.4, known), truth)


def test_a_prediction_without_known_depth_stays_as_it_is():
    prediction = torch.rand(2, 64, 64)
    known = torch.cat((unknown(), torch.zeros(1, 64, 64)))
    moved = anchored(prediction, known)
    torch.testing.assert_close(moved[0], prediction[0])
    assert not moved[1].any()


def test_things_of_like_depth_are_corrected_alike():
    prediction = torch.zeros(1, 64, 64)
    prediction[:, :, 32:] = 2.0  # a near thing on the left, a far one on the right
    known = unknown()
    known[0, ::16, 8] = 0.5  # too near by this
    known[0, ::16, 56] = 2.0  # right
    moved = anchored(prediction, known)
    assert float(moved[0, 32, 28]) > 0.4
    assert float(moved[0, 32, 35]) < 2.2


def test_one_wrong_point_is_not_believed():
    truth, known = torch.zeros(1, 64, 64), unknown()
    known[0, ::8, ::8] = 0.0
    known[0, 32, 32] = 4.0  # 55 times too far
    assert float(anchored(truth, known).max()) < 0.71


# ---- ground


def test_level_ground_is_as_far_as_the_height_says():
    rays = ray_channels(CAMERA)[None]
    down = torch.from_numpy(DOWN).float()[None]
    ground = ground_log(rays, down, torch.tensor([1.2]), torch.tensor([1.0]))[0]
    # a ray that falls by y/z reaches the ground at z = height / (y/z)
    expected = 1.2 / ((90 - 47.5) / 100)
    torch.testing.assert_close(ground[90], torch.full((128,), math.log(expected)))
    assert ground[:48].isnan().all()
    assert not ground[60:].isnan().any()


def test_ground_before_a_camera_that_looks_straight_down_is_as_far_as_it_is_high():
    down = torch.tensor([[0.0, 0.0, 1.0]])
    ground = ground_log(ray_channels(CAMERA)[None], down, torch.tensor([2.0]), torch.tensor([0.5]))
    torch.testing.assert_close(ground, torch.full((1, 96, 128), math.log(4.0)))


def test_no_height_is_no_ground():
    down = torch.from_numpy(DOWN).float()[None]
    rays = ray_channels(CAMERA)[None]
    assert ground_log(rays, down, torch.tensor([NAN]), torch.tensor([1.0])).isnan().all()


def level_ground(height_m):
    down = torch.from_numpy(DOWN).float()[None]
    rays = ray_channels(CAMERA)[None]
    return ground_log(rays, down, torch.tensor([height_m]), torch.tensor([1.0]))


def kept_above(log_depth, height_m):
    return above_ground(log_depth, level_ground(height_m))


def test_ground_that_is_seen_too_far_is_brought_back_with_all_that_stands_on_it():
    truth = level_ground(0.2).nan_to_num(math.log(3.0)).clamp(max=math.log(3.0))  # wall at 3 m
    torch.testing.assert_close(kept_above(truth + 1.0, 0.2), truth, atol=0.05, rtol=0.0)


def test_a_strip_of_ground_says_nothing_of_the_scale():
    depth = torch.full((1, 96, 128), math.log(9.0))
    up = torch.zeros(1, 96, 128)
    up[:, :91] = NAN  # all but five rows look at no ground
    strip = level_ground(1.0) + up
    moved = above_ground(depth, strip)
    torch.testing.assert_close(moved[:, :91], depth[:, :91])
    torch.testing.assert_close(moved[:, 91:], strip[:, 91:])


def test_what_lies_above_the_ground_stays_as_it_is():
    near = torch.full((1, 96, 128), math.log(0.5))
    torch.testing.assert_close(kept_above(near, 1.5), near)


def test_single_pixels_below_the_ground_are_put_on_it():
    ground = level_ground(1.0)
    depth = torch.full((1, 96, 128), math.log(1.0))
    depth[0, 90, 5] = math.log(30.0)
    moved = kept_above(depth, 1.0)
    assert float(moved[0, 90, 5]) == pytest.approx(float(ground[0, 90, 5]))
    assert int((moved != depth).sum()) == 1


def test_without_height_nothing_is_brought_nearer():
    depth = torch.rand(1, 96, 128)
    moved = above_ground(depth, level_ground(NAN))
    assert torch.equal(moved, depth)


# ---- what the network for hints sees and does


def test_the_network_for_hints_sees_what_the_rules_did_and_what_is_left_to_know():
    predicted = torch.stack((torch.full((64, 64), 1.0), torch.full((64, 64), -1.5)))[None]
    known, ground = unknown(), unknown()
    known[0, 8, 8] = 1.6
    ground[0, 32:] = 2.0
    followed = torch.full((1, 64, 64), 1.5)
    depth, moved, spread, nearness, farther, is_ground = evidence(
        predicted, followed, known, ground
    )[0]
    assert (depth == 0.5).all()  # over a usual log depth of 1
    assert (moved == 0.5).all()
    assert not spread.any()  # a usual one
    assert float(nearness[8, 8]) == 1.0
    assert float(nearness[60, 60]) < 0.2
    assert not farther[:32].any()
    assert (farther[32:] == 0.5).all()
    assert (is_ground.sum(1) == torch.tensor([0] * 32 + [64] * 32)).all()


def test_it_changes_the_expected_error_and_without_ground_no_depth():
    predicted, followed = torch.full((1, 2, 32, 32), -1.0), torch.ones(1, 32, 32)
    said = torch.full((1, 2, 32, 32), 20.0)
    said[:, 0] = -0.5
    nothing = unknown(32, 32)
    log_depth, log_spread = with_hints(predicted, followed, nothing, nothing, said)
    torch.testing.assert_close(log_depth, followed)
    assert (log_spread == -1.5).all()


def test_what_looks_like_ground_is_put_there_and_the_rest_moves_with_it():
    predicted, said = torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    followed, ground = torch.zeros(1, 32, 32), unknown(32, 32)
    ground[:, 16:] = 0.3
    followed[:, 16:] = 0.1
    said[:, 1, :20] = -20.0
    said[:, 1, 20:] = 20.0  # the lowest three eighths look like ground
    followed[:, 18, 5] = 0.25
    known = unknown(32, 32)
    log_depth, _ = with_hints(predicted, followed, known, ground, said)
    torch.testing.assert_close(log_depth[0, 20:], ground[0, 20:])
    torch.testing.assert_close(log_depth[0, :16], followed[0, :16] + 0.2)
    assert float(log_depth[0, 18, 5]) == pytest.approx(0.3)  # not 0.45, which is below the ground

    known[0, 3, 3] = 0.0  # metres that are known are better than what looks like ground
    log_depth, _ = with_hints(predicted, followed, known, ground, said)
    torch.testing.assert_close(log_depth[0, 20:], ground[0, 20:])
    torch.testing.assert_close(log_depth[0, :20], followed[0, :20])


# ---- the model


def test_without_hints_it_is_the_network_without_hints(guided):
    assert isinstance(guided, GuidedModel)
    alone = guided.infer(RGB, CAMERA)
    told_nothing = guided.infer_guided(RGB, CAMERA, Hints())
    torch.testing.assert_close(told_nothing.values, alone.values)
    assert told_nothing.mask is None


@pytest.mark.slow
def test_before_training_the_network_for_hints_leaves_all_to_the_rules():
    torch.manual_seed(0)
    untrained = Nano(NanoNet(), CPU)
    by_rule = Nano(untrained.net.module, CPU)
    by_rule.hint_net = None
    depth_m = torch.full((96, 128), NAN)
    depth_m[::12, ::12] = 2.0
    points = Hints(depth_m=depth_m)
    ground = Hints(camera_height_m=0.5, gravity_camera=DOWN)
    for hints, most in ((points, 0.0), (ground, 0.1)):
        told, ruled = (nano.infer_guided(RGB, CAMERA, hints) for nano in (untrained, by_rule))
        torch.testing.assert_close(told.values, ruled.values, rtol=most, atol=0.0)
        torch.testing.assert_close(told.confidence, ruled.confidence)


@pytest.mark.slow
def test_weights_that_do_not_see_hints_follow_them_too():
    torch.manual_seed(0)
    blind = Nano(NanoNet(has_hints=False), CPU)
    depth_m = torch.full((96, 128), NAN)
    depth_m[::12, ::12] = 2.0
    alone = blind.infer(RGB, CAMERA).values
    told = blind.infer_guided(RGB, CAMERA, Hints(depth_m=depth_m)).values
    assert float((alone - 2.0).abs().mean()) > 0.5
    assert float((told - 2.0).abs().mean()) < 0.2
    grounded = blind.infer_guided(RGB, CAMERA, Hints(camera_height_m=0.05, gravity_camera=DOWN))
    assert float(grounded.values[-1].max()) < 0.13  # 5 cm above ground that is 45 px below the axis


def test_it_tells_what_it_said_before_the_hints(guided):
    alone = guided.infer(RGB, CAMERA)
    told = guided.infer_guided(RGB, CAMERA, Hints(camera_height_m=0.05, gravity_camera=DOWN))
    torch.testing.assert_close(told.image_only, alone.values)
    assert alone.image_only is None
    assert not torch.equal(told.values, alone.values)


def test_only_what_hints_have_moved_alone_loses_its_confidence():
    moved = torch.full((1, 8, 8), 1.2)  # all of it: that is the scale
    moved[0, 0] = 1.5
    moved[0, 1] = 0.0
    kept = unmoved(moved)[0]
    assert bool((kept[0] == 1.0).all())
    assert bool((kept[1] == 0.0).all())
    assert bool((kept[2:] == 1.0).all())


@pytest.mark.slow
def test_depth_of_a_sensor_is_kept_and_its_holes_are_filled(guided):
    width, height = network_size(CAMERA)
    depth_m = torch.full((height, width), 2.0)
    depth_m[:, width // 2 :] = NAN
    depth_m[:8] = 0.0
    prediction = guided.infer_guided(RGB, CAMERA, Hints(depth_m=depth_m, keeps_depth=True))
    is_known = depth_m == 2.0
    torch.testing.assert_close(prediction.values[is_known], torch.full_like(depth_m, 2.0)[is_known])
    assert torch.equal(prediction.mask, ~is_known)
    assert (prediction.confidence[is_known] == 1.0).all()
    assert (prediction.confidence[~is_known] < 1.0).all()
    assert prediction.values.isfinite().all()
    assert (prediction.values > 0.0).all()


@pytest.mark.slow
def test_depth_of_another_size_covers_the_same_view(guided):
    depth_m = torch.full((480, 640), NAN)
    depth_m[:, 320:] = 3.0
    prediction = guided.infer_guided(RGB, CAMERA, Hints(depth_m=depth_m, keeps_depth=True))
    half = prediction.values.shape[1] // 2
    torch.testing.assert_close(
        prediction.values[:, half:], torch.full_like(prediction.values[:, half:], 3.0)
    )
    assert prediction.mask[:, :half].all()


@pytest.mark.slow
def test_a_few_points_set_the_scale(guided):
    alone = guided.infer(RGB, CAMERA).values
    depth_m = torch.full(alone.shape, NAN)
    depth_m[::20, ::20] = 5.0 * alone[::20, ::20]
    told = guided.infer_guided(RGB, CAMERA, Hints(depth_m=depth_m)).values
    ratio = (told / alone).median()
    assert 3.0 < float(ratio) < 8.0


@pytest.mark.slow
def test_height_and_gravity_change_the_answer_only_together_and_with_a_camera(guided):
    alone = guided.infer(RGB, CAMERA).values
    height = Hints(camera_height_m=0.3)
    both = replace(height, gravity_camera=DOWN)
    torch.testing.assert_close(guided.infer_guided(RGB, CAMERA, height).values, alone)
    assert not torch.allclose(guided.infer_guided(RGB, CAMERA, both).values, alone)
    uncalibrated = guided.infer(RGB, None).values
    torch.testing.assert_close(guided.infer_guided(RGB, None, both).values, uncalibrated)


@pytest.mark.slow
def test_known_metres_are_metres_for_any_focal_length(guided):
    tele = replace(CAMERA, fx=300.0, fy=300.0)
    assert focal_factor(tele) > 2.0 * focal_factor(CAMERA)
    depth_m = torch.full((96, 128), 2.5)
    for camera in (CAMERA, tele):
        prediction = guided.infer_guided(RGB, camera, Hints(depth_m=depth_m))
        torch.testing.assert_close(
            prediction.values, torch.full_like(prediction.values, 2.5), rtol=1e-4, atol=0.0
        )


@pytest.mark.slow
def test_an_image_that_cannot_be_used_is_refused_with_hints_too(guided):
    with pytest.raises(FrameError, match="20x20 pixels, expected 32 or more"):
        guided.infer_guided(torch.zeros(20, 20, 3, dtype=torch.uint8), None, Hints())
