"""How present and past become one, pixel by pixel."""

import math

import pytest
import torch

from mono_depth.temporal.fusion import FIRST_SPREAD, History, Warped, confidence, fuse
from mono_depth.temporal.photometric_match import matches_in_brightness
from mono_depth.temporal.warp import unmixed

GATE = 0.3  # three times the spread of the past below


def fused(surprise, *, agrees=True, count=4.0, spread=0.1, memory_frames=20):
    """Fuse pixels whose past is 0 and whose present is `surprise`."""
    present = torch.tensor([surprise])
    warped = Warped(
        values=torch.zeros_like(present),
        count=torch.full_like(present, count),
        variance=torch.full_like(present, spread**2),
        grey=torch.zeros_like(present),
        valid=torch.ones_like(present, dtype=torch.bool),
        grid=torch.zeros((1, len(surprise), 2)),
    )
    history = fuse(
        present.clone(),
        warped,
        present.clone(),
        agrees=torch.full_like(present, agrees, dtype=torch.bool),
        noise=0.0,
        grey=torch.zeros_like(present),
        memory_frames=memory_frames,
    )
    return history.values[0].tolist(), history.count[0].tolist(), history.variance[0].tolist()


def test_the_past_counts_less_the_more_the_present_differs():
    surprises = [0.0, 0.5 * GATE, GATE, 1.5 * GATE]
    _, count, _ = fused(surprises)
    expected = [1.0 + 4.0 * math.exp(-0.5 * (s / GATE) ** 2) for s in surprises]
    assert count == pytest.approx(expected, rel=1e-4)


def test_the_mean_is_weighted_by_the_frames_that_still_count():
    values, _, _ = fused([GATE])
    assert values[0] == pytest.approx(GATE / (1.0 + 4.0 * math.exp(-0.5)), rel=1e-4)


def test_what_differs_by_twice_the_gate_is_another_surface():
    values, count, _ = fused([2.01 * GATE, -2.01 * GATE])
    assert values == pytest.approx([2.01 * GATE, -2.01 * GATE])
    assert count == [1.0, 1.0]


def test_half_the_depth_is_another_surface_however_noisy_the_network():
    values, count, _ = fused([math.log(0.5), 0.4], spread=1.0)
    assert values[0] == pytest.approx(math.log(0.5))
    assert count[0] == 1.0
    assert count[1] > 1.0


def test_an_object_that_matches_here_and_there_looks_like_another_surface():
    difference = torch.full((64, 64), 2.0)
    difference[16:40, 16:40] = 60.0
    difference[16:40:2, 16:40:2] = 0.0  # every fourth pixel of it is as bright as the wall was

    alike = matches_in_brightness(difference, torch.ones(64, 64, dtype=torch.bool), limit=40.0)

    assert not alike[16:40, 16:40].any()
    assert alike[:12].all()
    assert alike[44:].all()


def test_a_image_that_is_blurred_all_over_is_still_the_same():
    difference = torch.full((64, 64), 12.0)
    valid = torch.ones(64, 64, dtype=torch.bool)
    valid[:, :8] = False

    alike = matches_in_brightness(difference, valid, limit=40.0)

    assert alike[:, 8:].all()
    assert not alike[:, :8].any()


def test_memory_stands_for_no_more_frames_than_asked():
    values, _, _ = fused([0.1], count=80.0, spread=1.0, memory_frames=4)
    assert values[0] == pytest.approx(0.1 / 5.0, rel=0.05)


def test_the_spread_follows_what_was_seen():
    _, _, variance = fused([0.2])
    assert variance[0] == pytest.approx(0.85 * 0.1**2 + 0.15 * 0.2**2, rel=1e-4)


@pytest.mark.parametrize("agrees", [True, False])
def test_the_spread_outlives_the_surface_that_is_gone(agrees):
    """The network is as noisy on the new surface, and must not fail its gate at once."""
    surprise = 3.0 * GATE if agrees else 0.01
    _, count, variance = fused([surprise], agrees=agrees, spread=0.1)
    assert count == [1.0]
    assert variance[0] == pytest.approx(0.1**2, rel=1e-4)


def test_a_new_surface_is_not_taken_for_calm():
    _, _, variance = fused([5.0], spread=0.001)
    assert variance[0] == pytest.approx(FIRST_SPREAD**2, rel=1e-4)


def test_confidence_grows_with_the_frames_and_falls_with_their_spread():
    few, many = (confidence_of(count=count, spread=0.05) for count in (1.0, 9.0))
    noisy = confidence_of(count=9.0, spread=0.2)
    assert 0.0 < few < many < 1.0
    assert noisy < many


def confidence_of(*, count, spread):
    maps = torch.tensor([0.0, count, spread**2, 0.0]).reshape(4, 1, 1)
    return float(confidence(History(maps=maps)))


def test_foreground_and_background_are_not_mixed():
    """Between 1 m and 4 m there is nothing at 2.5 m; between 1.00 m and 1.01 m there is."""
    linear, nearest = torch.tensor([[2.5, 1.005]]), torch.tensor([[1.0, 1.0]])
    assert unmixed(linear, nearest, 0.02).tolist() == [[1.0, pytest.approx(1.005)]]
