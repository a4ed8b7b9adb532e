"""From the numbers of a network to metres and to relative depth."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ConfigError, FrameError
from mono_depth.models.informative import check_informative
from mono_depth.scale.kinds import check_source, to_metres, to_relative, with_focal_rule

NAN, INF = math.nan, math.inf
CAMERA = Intrinsics(width=4, height=1, fx=8.0, fy=8.0, cx=1.5, cy=0.0)
METRIC = [OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION]
RELATIVE = [OutputKind.INVERSE_AFFINE, OutputKind.DEPTH_AFFINE]


def prediction(kind: OutputKind, *values: float) -> Prediction:
    return Prediction(values=torch.tensor([values]), kind=kind)


def assert_same(given: torch.Tensor | None, *expected: float) -> None:
    torch.testing.assert_close(given, torch.tensor([expected]), equal_nan=True)


@pytest.mark.parametrize("kind", METRIC)
def test_metric_models_give_metres_as_they_are(kind):
    depth_m, status = to_metres(
        prediction(kind, 2.0, 5.0),
        ScaleConfig(source="model" if kind != METRIC[1] else "auto"),
        intrinsics=CAMERA,
    )

    assert_same(depth_m, 2.0, 5.0)
    assert status.is_metric
    assert status.state == "assumed"
    assert status.source == ("model_focal" if kind is OutputKind.METRIC_FOCAL else "model")


def test_metres_of_a_network_have_the_deviation_of_its_record_and_a_way_out():
    claimed = replace(prediction(OutputKind.METRIC, 2.0), scale_sigma_rel=0.62)

    _, status = to_metres(claimed, ScaleConfig(), intrinsics=CAMERA)

    assert status.sigma_rel == 0.62
    assert "nothing measures the scale of the network, which is off by 62 % on rec" in status.reason
    assert "scale.camera_height_m" in status.reason


def test_metres_of_a_depth_sensor_that_was_completed_are_valid():
    completed = replace(prediction(OutputKind.COMPLETION, 2.0), is_measured=True)

    _, status = to_metres(completed, ScaleConfig(), intrinsics=CAMERA)

    assert (status.source, status.state, status.reason) == ("model", "valid", "")


@pytest.mark.parametrize("kind", METRIC)
def test_numbers_that_are_no_depth_become_unknown(kind):
    depth_m, _ = to_metres(
        prediction(kind, 2.0, 0.0, -1.0, NAN, INF, -INF), ScaleConfig(), intrinsics=CAMERA
    )

    assert_same(depth_m, 2.0, NAN, NAN, NAN, NAN, NAN)


def test_a_fixed_scale_of_inverse_depth_is_inverted():
    config = ScaleConfig(source="fixed", factor=0.5, shift=0.1)

    depth_m, status = to_metres(
        prediction(OutputKind.INVERSE_AFFINE, 0.8, 0.0, -0.2, -1.0, INF), config, intrinsics=CAMERA
    )

    assert_same(depth_m, 1 / 0.5, 1 / 0.1, NAN, NAN, NAN)  # 1 / (0.5 x + 0.1)
    assert (status.source, status.state) == ("fixed", "valid")


@pytest.mark.parametrize("kind", [OutputKind.METRIC, OutputKind.DEPTH_AFFINE])
def test_a_fixed_scale_of_depth_is_applied_as_it_is(kind):
    config = ScaleConfig(source="fixed", factor=2.0, shift=-3.0)

    depth_m, _ = to_metres(prediction(kind, 4.0, 1.0), config, intrinsics=CAMERA)

    assert_same(depth_m, 5.0, NAN)


@pytest.mark.parametrize(
    ("kind", "source", "intrinsics", "reason"),
    [
        (OutputKind.METRIC, "auto", None, "no usable camera_info: the camera is uncalibrated"),
        (OutputKind.INVERSE_AFFINE, "fixed", None, "no usable camera_info"),
        (OutputKind.METRIC, "none", CAMERA, "scale.source is none"),
        (OutputKind.INVERSE_AFFINE, "auto", CAMERA, "the model gives inverse_affine"),
        (OutputKind.DEPTH_AFFINE, "auto", CAMERA, "the model gives depth_affine"),
    ],
)
def test_without_a_scale_there_are_no_metres_but_a_reason(kind, source, intrinsics, reason):
    depth_m, status = to_metres(
        prediction(kind, 1.0, 2.0), ScaleConfig(source=source), intrinsics=intrinsics
    )

    assert depth_m is None
    assert not status.is_metric
    assert reason in status.reason


@pytest.mark.parametrize("kind", RELATIVE)
@pytest.mark.parametrize("source", ["model", "model_focal"])
def test_metres_of_a_model_that_has_none_are_refused(kind, source):
    with pytest.raises(ConfigError, match=f"source is {source}, but the model gives {kind.value}"):
        check_source(kind, ScaleConfig(source=source))


def test_a_focal_rule_needs_a_focal_length():
    with pytest.raises(ConfigError, match=r"without a focal rule .* scale.reference_focal"):
        check_source(OutputKind.METRIC, ScaleConfig(source="model_focal"))
    check_source(OutputKind.METRIC, ScaleConfig(source="model_focal", reference_focal=1.0))
    check_source(OutputKind.METRIC_FOCAL, ScaleConfig(source="model_focal"))


@pytest.mark.parametrize(
    ("kind", "source", "factor"),
    [
        (OutputKind.METRIC, "auto", 4.0),  # fx / width = 2, half a width was the reference
        (OutputKind.METRIC, "fixed", 1.0),
        (OutputKind.METRIC_FOCAL, "auto", 1.0),
        (OutputKind.INVERSE_AFFINE, "auto", 1.0),
    ],
)
def test_the_focal_rule_is_for_models_of_metres_without_one(kind, source, factor):
    config = ScaleConfig(source=source, reference_focal=0.5)

    assert_same(with_focal_rule(prediction(kind, 3.0), config, CAMERA).values, 3.0 * factor)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (OutputKind.INVERSE_AFFINE, (2.0, 0.0, -1.0, NAN, NAN)),
        (OutputKind.DEPTH_AFFINE, (0.5, NAN, NAN, NAN, NAN)),
        (OutputKind.METRIC, (0.5, NAN, NAN, NAN, NAN)),
    ],
)
def test_relative_depth_is_larger_where_it_is_nearer(kind, expected):
    assert_same(to_relative(prediction(kind, 2.0, 0.0, -1.0, NAN, INF)), *expected)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((NAN, NAN), "no finite value"),
        ((INF, NAN), "no finite value"),
        ((0.0, 0.0), r"no positive value \(largest 0\)"),
        ((-2.0, -1.0, NAN), r"no positive value \(largest -1\)"),
        ((3.0, 3.0), "the constant 3"),
        ((3.0, 3.0, NAN, INF), "the constant 3"),
    ],
)
def test_an_output_that_says_nothing_is_refused(values, reason):
    with pytest.raises(FrameError, match=reason):
        check_informative(prediction(OutputKind.METRIC, *values))


@pytest.mark.parametrize("values", [(3.0, 3.1), (0.0, 1e-6), (-1.0, 2.0), (NAN, 1.0, 2.0, INF)])
def test_an_output_that_says_something_is_accepted(values):
    check_informative(prediction(OutputKind.METRIC, *values))
