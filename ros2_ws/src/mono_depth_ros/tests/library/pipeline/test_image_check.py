"""Images that show nothing, little, or enough."""

import math

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScaleConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics, PlannerUse
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.image_check import check_image

HEIGHT, WIDTH = 120, 160
CAMERA = Intrinsics(width=WIDTH, height=HEIGHT, fx=120.0, fy=120.0, cx=79.5, cy=59.5)


def scene():
    """A floor of tiles before a wall with a dark door."""
    grey = np.full((HEIGHT, WIDTH), 150.0)
    grey[20:80, 60:90] = 40.0
    tiles = np.add.outer(np.arange(40) // 8, np.arange(WIDTH) // 16) % 2
    grey[80:] = np.where(tiles, 90.0, 200.0)
    return grey


def image(grey, noise=0.0, seed=0):
    noisy = grey + np.random.default_rng(seed).normal(0.0, noise or 1e-9, (HEIGHT, WIDTH))
    return np.dstack([np.clip(np.rint(noisy), 0, 255).astype(np.uint8)] * 3)


def finger():
    """A glow that comes through what covers the lens."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    return 30.0 + 60.0 * np.exp(-((column - 70.0) ** 2 + (row - 50.0) ** 2) / 6400.0)


@pytest.mark.parametrize("noise", [0.0, 4.0, 10.0])
def test_a_usual_image_is_clear_at_any_noise_of_the_sensor(noise):
    check = check_image(image(scene(), noise))

    assert check.clarity == 1.0
    assert not check.is_blind
    assert check.problem == ""
    assert check.allows is PlannerUse.MARK_AND_CLEAR


@pytest.mark.parametrize(
    ("grey", "cause"),
    [
        (np.zeros((HEIGHT, WIDTH)), "it is dark, or the lens is covered"),
        (np.full((HEIGHT, WIDTH), 255.0), "it is overexposed, or the lens is covered"),
        (np.full((HEIGHT, WIDTH), 120.0), "a covered lens, fog, or a bare wall"),
        (finger(), "a covered lens, fog, or a bare wall"),
        (np.tile(np.linspace(60.0, 180.0, WIDTH), (HEIGHT, 1)), "a covered lens, fog, or a bare"),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
def test_a_covered_lens_shows_nothing_whatever_the_noise(grey, cause, noise):
    check = check_image(image(grey, noise))

    assert check.is_blind
    assert check.clarity == 0.0
    assert check.problem.startswith(f"the image shows nothing: {cause}")
    assert check.allows is PlannerUse.NONE


@pytest.mark.parametrize(
    "grey", [scene() / 16.0, 200.0 + 0.05 * (scene() - 128.0)], ids=["night", "dense fog"]
)
def test_an_image_that_shows_next_to_nothing_is_not_believed(grey):
    check = check_image(image(grey, 1.0))

    assert check.clarity < 0.1
    assert check.allows is not PlannerUse.MARK_AND_CLEAR
    assert "the image shows n" in check.problem


def test_haze_costs_confidence():
    clear, hazy = check_image(image(scene())), check_image(image(180.0 + 0.2 * (scene() - 128.0)))

    assert 0.1 < hazy.clarity < clear.clarity


def test_the_black_border_of_a_rectified_image_is_no_edge():
    is_visible = np.zeros((HEIGHT, WIDTH), bool)
    is_visible[10:-10, 10:-10] = True
    covered = image(np.where(is_visible, 200.0, 0.0))

    assert not check_image(covered).is_blind
    assert check_image(covered, is_visible).is_blind


def test_gravel_is_texture_and_not_noise():
    gravel = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH)).astype(np.float64)

    assert check_image(image(gravel)).clarity == 1.0


def test_an_image_of_some_pixels_is_not_judged():
    assert check_image(np.zeros((6, 8, 3), np.uint8)).clarity == 1.0


@pytest.fixture(scope="module")
def pipeline(tiny_models):
    return build_pipeline(
        PipelineConfig(
            model="tiny_metric",
            registry=str(tiny_models),
            device="cpu",
            scale=ScaleConfig(source="model"),
            temporal=TemporalConfig(mode="static"),
        )
    )


def frame(number, rgb):
    return Frame(rgb=rgb, stamp_ns=number * 10**8, frame_id="camera", intrinsics=CAMERA)


def test_behind_a_covered_lens_nothing_is_known_and_the_past_is_no_help(pipeline):
    before = pipeline.process(frame(1, image(scene())))
    covered = pipeline.process(frame(2, image(finger(), 2.0)))
    after = pipeline.process(frame(3, image(scene())))

    assert before.depth_m.isfinite().all()
    assert covered.depth_m.shape == (HEIGHT, WIDTH)
    assert covered.depth_m.isnan().all()
    assert covered.relative.isnan().all()
    assert covered.confidence.max() == 0.0
    assert covered.planner_use is PlannerUse.NONE
    assert covered.image_problem.startswith("the image shows nothing: ")
    torch.testing.assert_close(after.depth_m, before.depth_m)
    assert after.image_problem == ""


def test_a_first_image_that_shows_nothing_gives_no_metres(tiny_models):
    fresh = build_pipeline(
        PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")
    )

    covered = fresh.process(frame(1, image(np.zeros((HEIGHT, WIDTH)))))

    assert covered.depth_m is None
    assert "the image shows nothing" in covered.scale.reason
    assert math.isnan(covered.relative[0, 0])


def test_by_night_depth_is_given_without_confidence(pipeline):
    dark = pipeline.process(frame(4, image(scene() / 14.0, 1.0)))

    assert dark.depth_m.isfinite().all()
    assert dark.confidence.max() < 0.1
    assert dark.planner_use is not PlannerUse.MARK_AND_CLEAR
