"""Depth that is known in part, completed: by a small LingBot-Depth on pseudo-random weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from mono_depth.config import CompletionConfig, PipelineConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.guessed_completion import GuessedCompletion, doubtful
from mono_depth.models.loading import load_model
from mono_depth.outputs.holes import HoleReason
from mono_depth.pipeline.build import build_pipeline, warm_up
from mono_depth.pipeline.predict import drawn, known_depth

pytestmark = pytest.mark.slow

CAMERA = Intrinsics(width=128, height=96, fx=100.0, fy=100.0, cx=63.5, cy=47.5)
RGB = pseudo_random.image(96, 128)
NAN = math.nan


@pytest.fixture(scope="module")
def pipeline(completing_models):
    return build_pipeline(config(completing_models))


def config(registry, **completion):
    return PipelineConfig(
        model="small_lingbot",
        registry=str(registry),
        device="cpu",
        engine="torch",
        threads=1,
        temporal=TemporalConfig(mode="none"),
        completion=CompletionConfig(**completion),
    )


def frame(**known):
    return Frame(rgb=RGB, stamp_ns=1, frame_id="camera", intrinsics=CAMERA, **known)


def half_a_wall():
    """Depth of a wall 2 m away; the camera does not see the right half of it."""
    depth_m = np.full((96, 128), 2.0, np.float32)
    depth_m[:, 64:] = np.nan
    return depth_m


def points_of_a_wall(count):
    """Points 2 m away in the upper left quarter of the image."""
    random = np.random.default_rng(0)
    across, down = random.uniform(-1.2, -0.1, count), random.uniform(-0.9, -0.1, count)
    return np.stack([across, down, np.full(count, 2.0)], axis=1).astype(np.float32)


def test_depth_of_a_sensor_is_completed_and_its_holes_are_shown(pipeline):
    result = pipeline.process(frame(sensor_depth_m=half_a_wall()))

    assert result.completed == "sensor_depth"
    assert result.hole_reasons[:, 64:].unique().tolist() == [HoleReason.HOLE]
    assert result.mask.shape == (96, 128)
    assert not result.mask[:, :64].any()
    assert result.mask[:, 64:].all()
    assert result.scale.state == "valid"
    assert (result.depth_m[:, 64:] > 0).sum() > 1000


def test_sparse_points_are_completed(pipeline):
    result = pipeline.process(frame(sparse_points_m=points_of_a_wall(400)))

    assert result.completed == "sparse_points"
    seen = ~result.mask.numpy()
    assert 300 < seen.sum() < 600
    assert result.hole_reasons.unique().tolist() == [HoleReason.KNOWN, HoleReason.HOLE]
    assert not seen[48:].any()
    assert not seen[:, 64:].any()


def between(values, share):
    """Return a number above that share of the values, as far from all of them as there is room."""
    ordered = values.flatten().sort().values
    start = int(share * len(ordered))
    near = ordered[start : start + len(ordered) // 20]
    widest = int(near.diff().argmax())
    return float(near[widest : widest + 2].mean())


def test_without_either_the_guess_of_another_model_is_completed(completing_models):
    guess = load_model("nano").infer(torch.from_numpy(RGB), CAMERA)
    # a third is not believed and a tenth are edges, and rounding moves no pixel from side to side
    logarithm = guess.values.log()
    jumps = torch.cat([logarithm.diff(dim=axis).abs().flatten() for axis in (0, 1)])
    exact = config(
        completing_models,
        min_confidence=between(guess.confidence, 0.3),
        max_jump=math.expm1(between(jumps, 0.9)),
    )

    fp32 = replace(exact, engine="torch", precision="fp32")
    result = build_pipeline(fp32).process(frame())

    assert result.completed == "guess"
    assert (result.scale.state, result.scale.sigma_rel) == ("assumed", 0.62)  # those of nano
    hole_reasons = doubtful(guess, exact.completion)
    assert hole_reasons.unique().tolist() == [HoleReason.KNOWN, HoleReason.EDGE, HoleReason.UNSURE]
    # nearest pixels, both times
    shown = torch.nn.functional.interpolate(hole_reasons[None, None].float(), (96, 128))[0, 0]
    assert torch.equal(result.network_mask, shown > 0)
    assert torch.equal(result.hole_reasons, shown.to(torch.uint8))


def test_models_for_images_alone_complete_nothing(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")

    result = build_pipeline(config).process(frame(sensor_depth_m=half_a_wall()))

    assert result.completed == ""
    assert result.network_mask is result.mask is result.hole_reasons is None


def test_too_few_points_are_left_to_the_guess(pipeline):
    result = pipeline.process(frame(sparse_points_m=points_of_a_wall(30)))

    assert result.completed == "guess"


def test_a_sensor_that_sees_nothing_is_left_to_the_points(pipeline):
    blind = np.full((96, 128), np.nan, np.float32)

    result = pipeline.process(frame(sensor_depth_m=blind, sparse_points_m=points_of_a_wall(400)))

    assert result.completed == "sparse_points"


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ("sensor_depth", {"sensor_depth_m": half_a_wall()}),
        ("sparse_points", {"sparse_points_m": points_of_a_wall(400)}),
        ("guess", {}),
    ],
)
def test_the_source_can_be_chosen(completing_models, pipeline, source, known):
    both = {"sensor_depth_m": half_a_wall(), "sparse_points_m": points_of_a_wall(400)}
    pipeline.reconfigure(config(completing_models, source=source))
    chosen = pipeline.process(frame(**both))
    pipeline.reconfigure(config(completing_models))

    assert chosen.completed == source
    assert torch.equal(chosen.network_mask, pipeline.process(frame(**known)).network_mask)


def test_a_chosen_source_that_is_missing_is_an_error_of_the_frame(completing_models, pipeline):
    pipeline.reconfigure(config(completing_models, source="sensor_depth"))
    with pytest.raises(
        FrameError, match=r"completion\.source is sensor_depth, but the frame has 0"
    ):
        pipeline.process(frame(sparse_points_m=points_of_a_wall(400)))
    pipeline.reconfigure(config(completing_models, source="sparse_points", min_points=500))
    with pytest.raises(FrameError, match=r"fewer than completion\.min_points = 500"):
        pipeline.process(frame(sparse_points_m=points_of_a_wall(400)))
    pipeline.reconfigure(config(completing_models))


def test_a_model_that_completes_can_be_warmed_up(pipeline):
    assert warm_up(pipeline, runs=1) > 0.0


def guess(values, confidence=None):
    confidence = None if confidence is None else torch.tensor(confidence)
    return Prediction(values=torch.tensor(values), kind=OutputKind.METRIC, confidence=confidence)


def test_both_sides_of_a_jump_are_doubtful():
    depth_m = [[1.0, 1.05, 2.0, 2.1], [1.0, 1.05, 1.1, 2.1]]

    hole_reasons = doubtful(guess(depth_m), CompletionConfig(max_jump=0.1))

    assert (hole_reasons == HoleReason.EDGE).int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]
    assert (hole_reasons != HoleReason.KNOWN).sum() == 4


def test_a_jump_between_rows_is_one_too():
    hole_reasons = doubtful(guess([[1.0], [1.0], [2.0], [2.0]]), CompletionConfig(max_jump=0.1))

    assert (hole_reasons == HoleReason.EDGE).int().tolist() == [[0], [1], [1], [0]]


def test_pixels_without_depth_or_confidence_are_doubtful():
    config = CompletionConfig(min_confidence=0.5, max_jump=1000.0)

    rating = [[1.0, 1.0, 1.0, 1.0, 0.4, 0.5]]

    hole_reasons = doubtful(guess([[1.0, NAN, 0.0, NAN, 1.0, 1.0]], rating), config)

    hole, unsure = int(HoleReason.HOLE), int(HoleReason.UNSURE)
    assert hole_reasons.int().tolist() == [[0, hole, hole, hole, unsure, 0]]


def test_of_points_in_one_pixel_the_nearest_is_drawn():
    camera = Intrinsics(width=3, height=2, fx=1.0, fy=1.0, cx=1.0, cy=0.0)
    points_m = np.float32(
        [[0, 0, 4], [0, 0, 2], [0, 0, 3], [5, 5, 5], [-2, 0, 2], [9, 0, 1], [0, 0, -1], [NAN, 0, 1]]
    )

    depth_m = drawn(points_m, camera)

    np.testing.assert_array_equal(depth_m, np.float32([[2, 2, NAN], [NAN, NAN, 5]]))


def test_points_need_a_camera():
    blind = Frame(rgb=RGB, stamp_ns=1, frame_id="camera", sparse_points_m=points_of_a_wall(400))

    assert known_depth(blind, (112, 84), CompletionConfig()) is None
    assert known_depth(frame(sparse_points_m=points_of_a_wall(400)), (112, 84), CompletionConfig())


def test_the_guess_must_be_in_metres(completing_models, tiny_models, tmp_path):
    merged = {}
    for registry in (completing_models, tiny_models):
        for name, entry in yaml.safe_load(registry.read_text())["models"].items():
            entry["weights"] = {"file": str(registry.parent / entry["weights"]["file"])}
            merged[name] = entry
    (tmp_path / "both.yaml").write_text(yaml.safe_dump({"models": merged}))

    with pytest.raises(ModelError, match=r"guess_model tiny_inverse gives inverse_affine"):
        load_model(
            "small_lingbot",
            registry=tmp_path / "both.yaml",
            completion=CompletionConfig(guess_model="tiny_inverse"),
        )


@pytest.mark.parametrize(
    ("guess_model", "message"),
    [
        ("small_lingbot", "completion.guess_model is small_lingbot itself"),
        ("same_lingbot", "guess_model same_lingbot gives completion"),
        ("nanu", "no model 'nanu' in the registry: did you mean nano"),
    ],
)
def test_a_guess_that_cannot_be_one_is_refused(completing_models, guess_model, message):
    with pytest.raises(ModelError, match=message):
        load_model(
            "small_lingbot",
            registry=completing_models,
            completion=CompletionConfig(guess_model=guess_model),
        )


def test_the_limits_of_doubt_reach_the_model(pipeline):
    rgb, nano = torch.from_numpy(RGB), load_model("nano")

    def hole_reasons(**limits):
        model = GuessedCompletion(pipeline.model, nano, CompletionConfig(**limits))
        return model.infer(rgb, CAMERA).mask.float().mean()

    assert hole_reasons(max_jump=1000.0, min_confidence=0.0) == 0.0
    assert hole_reasons(max_jump=0.001, min_confidence=0.0) > 0.5
    assert hole_reasons(max_jump=1000.0, min_confidence=1.0) > 0.5
