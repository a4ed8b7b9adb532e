"""Measures of confidence in raw metres."""

import numpy as np
import pytest

from mono_depth.evaluation.measures.confidence_measures import confidence_scores
from mono_depth.evaluation.promises.confidence_proof import (
    ConfidenceProof,
    confidence_rows,
    markdown,
    plot,
)


def recording(seed=0):
    """Return truth and depth with an error that has nothing to do with the distance."""
    rng = np.random.default_rng(seed)
    truth_m = rng.uniform(0.5, 8.0, (3, 40, 50))
    return truth_m, truth_m * np.exp(rng.normal(0.0, 0.3, truth_m.shape))


def error_of(truth_m, depth_m):
    return np.abs(depth_m / truth_m - 1.0)


def test_a_confidence_that_knows_the_error_is_the_best_possible():
    truth_m, depth_m = recording()
    scores = confidence_scores(depth_m, truth_m, 1.0 - error_of(truth_m, depth_m))

    assert scores.half_in_bands == pytest.approx(scores.best_in_bands)
    assert scores.half == pytest.approx(0.4, abs=0.05)
    assert [off for *_, off in scores.curve] == sorted((o for *_, o in scores.curve), reverse=True)


def test_a_confidence_by_chance_is_worth_nothing():
    truth_m, depth_m = recording()
    chance = np.random.default_rng(1).random(truth_m.shape)

    scores = confidence_scores(depth_m, truth_m, chance)

    assert scores.half == pytest.approx(1.0, abs=0.05)
    assert scores.half_in_bands == pytest.approx(1.0, abs=0.05)
    assert scores.caught == pytest.approx(0.1, abs=0.03)
    assert scores.gated == pytest.approx(0.1, abs=0.03)


def test_to_be_confident_of_what_is_near_ranks_nothing_within_a_band():
    truth_m, _ = recording()
    depth_m = truth_m * (1.0 + 0.1 * truth_m)

    scores = confidence_scores(depth_m, truth_m, -np.floor(truth_m))

    assert scores.half < 0.7
    assert scores.half_in_bands > 0.9


def test_what_is_near_and_too_far_must_lie_below_the_gate():
    truth_m = np.full((1, 10, 10), 2.0)
    depth_m = truth_m.copy()
    depth_m[0, :4] = 3.0
    confidence = np.full(truth_m.shape, 0.5)
    confidence[0, :3] = 0.05
    confidence[0, 9] = 0.0

    scores = confidence_scores(depth_m, truth_m, confidence)

    assert scores.too_far == pytest.approx(0.4)
    assert scores.caught == pytest.approx(0.75)
    assert scores.gated == pytest.approx(1 / 6)


def test_what_is_unknown_is_not_judged():
    truth_m, depth_m = recording()
    depth_m[:, :20], truth_m[:, 20:30] = np.nan, np.nan
    good = confidence_scores(depth_m, truth_m, np.ones(truth_m.shape))

    assert np.isfinite(good.half_in_bands)
    assert np.isnan(confidence_scores(depth_m * np.nan, truth_m, truth_m).half)


@pytest.mark.slow
def test_the_report_has_a_line_a_bound_and_a_curve_for_each_recording(tmp_path):
    truth_m, depth_m = recording()
    scores = confidence_scores(depth_m, truth_m, 1.0 - error_of(truth_m, depth_m))
    proofs = [
        ConfidenceProof(recording="desk", network="nano", metres="raw", scores=scores),
        ConfidenceProof(recording="drive", network="nano", metres="odometry", scores=scores),
    ]

    assert "| desk | nano | raw | 0.4" in markdown(proofs)
    assert [row.limit for row in confidence_rows(proofs)] == pytest.approx(
        [0.8, 0.8, 0.2, 0.7, 0.7, 0.2]
    )
    pytest.importorskip("matplotlib")
    plot(proofs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
