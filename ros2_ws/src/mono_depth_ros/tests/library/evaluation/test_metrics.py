"""Error measures against numbers worked out by hand."""

import math

import numpy as np
import pytest

from mono_depth.evaluation.measures.metrics import (
    abs_rel,
    delta,
    depth_scores,
    log_contrast,
    log_correlation,
    mean_scores,
    median_scale,
    rmse_m,
    valid_pairs,
)

TRUTH = np.array([[1.0, 2.0], [4.0, np.nan]])
PREDICTION = np.array([[1.2, 2.0], [6.0, 7.0]])


def test_abs_rel_is_the_mean_of_relative_errors_where_there_is_truth():
    assert abs_rel(PREDICTION, TRUTH) == pytest.approx((0.2 + 0.0 + 0.5) / 3)


def test_rmse_is_in_metres():
    assert rmse_m(PREDICTION, TRUTH) == pytest.approx(math.sqrt((0.04 + 0.0 + 4.0) / 3))


def test_delta_counts_ratios_on_both_sides_below_powers_of_a_quarter_more():
    truth = np.ones(5)
    prediction = np.array([1.2, 1 / 1.2, 1.5, 1 / 1.9, 2.0])
    assert delta(prediction, truth, 1) == pytest.approx(2 / 5)
    assert delta(prediction, truth, 2) == pytest.approx(3 / 5)
    assert delta(prediction, truth, 3) == pytest.approx(4 / 5)


def test_delta_does_not_count_a_ratio_of_exactly_a_quarter_more():
    assert delta(np.array([1.25]), np.array([1.0])) == 0.0


def test_median_scale_makes_the_medians_equal():
    assert median_scale(np.array([1.0, 2.0, 30.0]), np.array([3.0, 8.0, 9.0])) == 4.0


def test_a_prediction_wrong_by_one_factor_is_perfect_once_aligned():
    truth = np.array([1.0, 2.0, 4.0])
    aligned = depth_scores(3.0 * truth, truth, align_median=True)
    raw = depth_scores(3.0 * truth, truth)
    assert (aligned.abs_rel, aligned.delta1) == (0.0, 1.0)
    assert (raw.abs_rel, raw.delta3) == (pytest.approx(2.0), 0.0)


def test_log_correlation_and_contrast_of_a_power_law():
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    flatter = np.sqrt(truth)
    assert log_correlation(flatter, truth) == pytest.approx(1.0)
    assert log_correlation(1 / flatter, truth) == pytest.approx(-1.0)
    assert log_contrast(flatter, truth) == pytest.approx(0.5)


def test_a_constant_has_no_correlation_and_no_contrast():
    truth = np.array([1.0, 2.0, 4.0])
    assert math.isnan(log_correlation(np.full(3, 2.0), truth))
    assert log_contrast(np.full(3, 2.0), truth) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_a_positive_finite_value_on_either_side_do_not_count(bad):
    prediction, truth = valid_pairs(np.array([1.0, bad, 3.0]), np.array([bad, 2.0, 3.5]))
    assert prediction.tolist() == [3.0]
    assert truth.tolist() == [3.5]


def test_no_common_pixel_gives_nan_instead_of_a_number():
    scores = depth_scores(np.array([np.nan]), np.array([1.0]), align_median=True)
    assert math.isnan(scores.abs_rel)
    assert math.isnan(scores.delta1)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\), truth of \(3,\)"):
        abs_rel(np.ones(2), np.ones(3))


def test_mean_scores_skip_frames_without_the_measure():
    truth = np.array([1.0, 2.0])
    scores = [depth_scores(truth, truth), depth_scores(np.ones(2), truth)]
    assert mean_scores(scores).log_correlation == pytest.approx(1.0)
    assert mean_scores(scores).abs_rel == pytest.approx(0.125)
