"""The fit of a law y = gain x + shift to points, with data small enough to check by eye."""

import numpy as np
import pytest
import torch

from mono_depth.data import OutputKind, Prediction
from mono_depth.scale.fit import Points, Rejection, fit_points
from mono_depth.scale.scale_shift import Pivot, ScaleShift, regressor, target

GRID = np.linspace(0.2, 1.2, 100).reshape(10, 10)  # x of a frame
PIVOT = Pivot.of(GRID)
X = np.array([0.2, 0.4, 0.6, 0.7, 0.8, 1.0, 1.2, 0.3, 0.5, 1.1])
TRUE = ScaleShift(gain=0.5, shift=0.1)


def points(x, y, **changes):
    given = {"sigma": np.full(len(x), 0.02), "y_is_depth": False} | changes
    return Points(x=np.asarray(x, float), y=np.asarray(y, float), **given)


def scale_shift_of(fit):
    return PIVOT.scale_shift_of(fit.level, fit.slope)


@pytest.mark.parametrize("y_is_depth", [False, True], ids=["inverse depth", "depth"])
def test_exact_points_give_the_law_back(y_is_depth):
    known = points(X, TRUE.gain * X + TRUE.shift, y_is_depth=y_is_depth)
    fit = fit_points(known, pivot=PIVOT, shape=None, min_points=5)
    assert (scale_shift_of(fit).gain, scale_shift_of(fit).shift) == pytest.approx(
        (0.5, 0.1), rel=1e-6
    )
    assert fit.inliers == 10
    assert fit.slope_seen


def test_three_of_ten_points_may_be_wrong():
    y = TRUE.gain * X + TRUE.shift
    y[[1, 4, 7]] = (3.0, 0.02, 1.5)
    fit = fit_points(points(X, y), pivot=PIVOT, shape=None, min_points=5)
    assert (scale_shift_of(fit).gain, scale_shift_of(fit).shift) == pytest.approx(
        (0.5, 0.1), rel=0.02
    )
    assert fit.inliers == 7


def test_points_at_one_depth_fit_the_scale_and_keep_the_slope_of_the_shape():
    fit = fit_points(
        points([0.7] * 8, [1.4] * 8),
        pivot=PIVOT,
        shape=ScaleShift(gain=1.0, shift=0.0),
        min_points=5,
    )
    assert not fit.slope_seen
    assert (scale_shift_of(fit).gain, scale_shift_of(fit).shift) == pytest.approx(
        (2.0, 0.0), abs=1e-6
    )


def test_points_at_one_depth_are_refused_without_a_shape():
    fit = fit_points(points([0.7] * 8, [1.4] * 8), pivot=PIVOT, shape=None, min_points=5)
    assert isinstance(fit, Rejection)
    assert "slope is unknown" in fit.reason or "no law" in fit.reason


def test_too_few_points_are_refused_but_are_no_doubt():
    fit = fit_points(points(X[:4], X[:4]), pivot=PIVOT, shape=TRUE, min_points=5)
    assert fit == Rejection(reason="4 usable points, at least 5 needed", is_doubt=False)


def test_wrong_points_on_one_side_do_not_pull_the_law():
    x = np.linspace(0.2, 1.2, 40)
    y = (TRUE.gain * x + TRUE.shift) * np.exp(np.random.default_rng(0).normal(0.0, 0.1, 40))
    pulled = y.copy()
    pulled[::4] *= 2.0  # a quarter at half its depth
    right, found = (
        fit_points(points(x, values), pivot=PIVOT, shape=TRUE, min_points=5)
        for values in (y, pulled)
    )
    assert found.level == pytest.approx(right.level, abs=0.03)


def test_points_that_agree_on_nothing_are_refused():
    wrong = np.exp(np.random.default_rng(0).uniform(np.log(0.05), np.log(5.0), 50))
    fit = fit_points(
        points(np.linspace(0.2, 1.2, 50), wrong), pivot=PIVOT, shape=TRUE, min_points=5
    )
    assert isinstance(fit, Rejection)
    assert fit.is_doubt
    assert "points" in fit.reason


def test_deviation_shrinks_with_the_number_of_points_and_covers_the_error():
    rng = np.random.default_rng(1)
    errors, sigmas = [], []
    for count in (20, 80):
        for _ in range(40):
            x = rng.uniform(0.2, 1.2, count)
            y = (TRUE.gain * x + TRUE.shift) * np.exp(rng.normal(0.0, 0.1, count))
            fit = fit_points(points(x, y), pivot=PIVOT, shape=None, min_points=5)
            errors.append(fit.level - np.log(TRUE.gain * PIVOT.middle + TRUE.shift))
            sigmas.append(np.sqrt(fit.covariance[0, 0]))
    errors, sigmas = np.reshape(errors, (2, 40)), np.reshape(sigmas, (2, 40))
    assert sigmas[1].mean() == pytest.approx(sigmas[0].mean() / 2.0, rel=0.3)
    assert 0.2 < (np.abs(errors) / sigmas).mean() < 1.0


@pytest.mark.parametrize(
    ("kind", "value", "depth_m"),
    [
        (OutputKind.METRIC, 2.0, 1.0 / (0.5 / 2.0 + 0.1)),
        (OutputKind.INVERSE_AFFINE, 2.0, 1.0 / (0.5 * 2.0 + 0.1)),
        (OutputKind.DEPTH_AFFINE, 2.0, 0.5 * 2.0 + 0.1),
    ],
)
def test_a_law_makes_metres_of_every_kind(kind, value, depth_m):
    prediction = Prediction(values=torch.tensor([[value, torch.nan]]), kind=kind)
    metres = TRUE.metres(prediction)
    assert float(metres[0, 0]) == pytest.approx(depth_m)
    assert metres[0, 1].isnan()
    y = TRUE.gain * regressor(np.array(value), kind) + TRUE.shift
    assert float(y) == pytest.approx(float(target(np.array(depth_m), kind)))


def test_depth_that_a_law_puts_behind_infinity_is_unknown():
    prediction = Prediction(
        values=torch.tensor([[0.0, -1.0, torch.inf, 4.0]]), kind=OutputKind.METRIC
    )
    metres = ScaleShift(gain=1.0, shift=-0.2).metres(prediction)
    assert metres[0, :3].isnan().all()
    assert float(metres[0, 3]) == pytest.approx(20.0)
    assert ScaleShift(gain=1.0, shift=-0.3).metres(prediction).isnan().all()


def test_level_and_slope_are_another_way_to_write_a_law():
    level, slope = PIVOT.state_of(TRUE)
    assert level == pytest.approx(np.log(0.5 * PIVOT.middle + 0.1))
    back = PIVOT.scale_shift_of(level, slope)
    assert (back.gain, back.shift) == pytest.approx((0.5, 0.1))


@pytest.mark.parametrize("x", [np.full((10, 10), 3.0), np.full((10, 10), np.nan), np.ones((2, 2))])
def test_a_frame_that_says_nothing_has_no_pivot(x):
    assert Pivot.of(x) is None
