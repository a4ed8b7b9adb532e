"""Level ground that is drawn on over an edge is not believed."""

import math

import pytest
import torch

from mono_depth.models.nano.ground_doubt import drawn_on
from mono_depth.models.nano.hints import follow

ROWS, COLUMNS = 64, 96
HEIGHT_M = 0.5
EDGE = 40  # row


def ground():
    """Return (1, h, w) log depth of level ground in the lower half, horizon at row 20."""
    fall = (torch.arange(float(ROWS)) - 20.0) / 60.0
    depth_m = torch.where(fall > 0.1, HEIGHT_M / fall.clamp(min=1e-3), torch.nan)
    return depth_m.log()[None, :, None].expand(1, ROWS, COLUMNS)


def view(drop_m, *, scale=1.0, noise=0.04):
    """Return what a network sees: floor up to a row, and from there on a floor farther down."""
    level = ground()
    log_depth = level.nan_to_num(math.log(5.0)).clone()
    log_depth[:, :EDGE] += math.log((HEIGHT_M + drop_m) / HEIGHT_M) * level[:, :EDGE].isfinite()
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 1, 8, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (ROWS, COLUMNS), mode="bilinear")[:, 0]
    return log_depth + math.log(scale) + noise * smooth


def kept_of(predicted):
    level = ground()
    return drawn_on(predicted, follow(predicted, level * torch.nan, level, has_known=False), level)


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("drop_m", [0.3, 1.0])
def test_floor_that_is_drawn_on_over_an_edge_has_no_confidence(scale, drop_m):
    kept = kept_of(view(drop_m, scale=scale))

    assert kept[:, 28 : EDGE - 1].mean() < 0.15
    assert kept[:, EDGE + 1 :].mean() > 0.9


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
def test_a_level_floor_is_believed_at_any_scale_of_the_network(scale):
    assert kept_of(view(0.0, scale=scale)).mean() > 0.95


def test_stairs_that_lead_down_are_doubted_step_by_step():
    predicted = view(0.0)
    for index, row in enumerate(range(EDGE, 28, -4)):
        predicted[:, row - 4 : row] += math.log(1.0 + 0.34 * (index + 1))

    kept = kept_of(predicted)

    assert kept[:, 28:36].mean() < 0.1
    assert kept[:, EDGE + 1 :].mean() > 0.9


def test_what_stands_on_the_ground_is_left_alone():
    predicted = view(0.0)
    predicted[:, 10:50, 30:50] = math.log(0.8)

    assert (kept_of(predicted)[:, 10:50, 32:48] == 1.0).all()


def test_without_ground_in_view_nothing_is_doubted():
    nothing = ground() * torch.nan

    assert (drawn_on(view(0.0), view(0.0), nothing) == 1.0).all()
