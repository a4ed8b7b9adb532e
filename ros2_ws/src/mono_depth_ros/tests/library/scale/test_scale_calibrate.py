"""`mono-depth calibrate`: outputs, distances, and the parameters that join them."""

import cv2
import numpy as np
import pytest
import yaml

from mono_depth.commands.main import main
from mono_depth.data import OutputKind
from mono_depth.errors import ConfigError
from mono_depth.scale.fixed_fit import FixedScale, as_params_yaml, fit_fixed

OUTPUTS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])


@pytest.mark.parametrize(
    ("kind", "depths_m"),
    [
        (OutputKind.METRIC, 2.0 * OUTPUTS + 0.5),
        (OutputKind.DEPTH_AFFINE, 2.0 * OUTPUTS + 0.5),
        (OutputKind.INVERSE_AFFINE, 1.0 / (2.0 * OUTPUTS + 0.5)),
    ],
)
def test_exact_distances_give_factor_and_shift_back(kind, depths_m):
    scale = fit_fixed(OUTPUTS, depths_m, kind)
    assert (scale.factor, scale.shift) == pytest.approx((2.0, 0.5), rel=1e-5)
    assert scale.error_rel < 1e-5
    assert scale.samples == 8


def test_two_wrong_distances_of_eight_do_not_matter():
    depths_m = 2.0 * OUTPUTS + 0.5
    depths_m[[2, 5]] = (40.0, 1.0)
    scale = fit_fixed(OUTPUTS, depths_m, OutputKind.METRIC)
    assert (scale.factor, scale.shift) == pytest.approx((2.0, 0.5), rel=0.05)


def test_one_distance_scales_a_model_of_metres():
    scale = fit_fixed(np.array([2.0]), np.array([3.0]), OutputKind.METRIC)
    assert (scale.factor, scale.shift, scale.shift_sigma) == (pytest.approx(1.5), 0.0, 0.0)
    assert scale.factor_sigma > 0.05


def test_two_distances_scale_a_model_of_inverse_depth():
    scale = fit_fixed(np.array([2.0, 5.0]), 1.0 / np.array([1.0, 4.0]), OutputKind.INVERSE_AFFINE)
    assert (scale.factor, scale.shift) == pytest.approx((1.0, -1.0))


def test_without_a_shift_only_the_factor_is_fitted():
    scale = fit_fixed(OUTPUTS, 2.0 * OUTPUTS, OutputKind.METRIC, with_shift=False)
    assert scale.factor == pytest.approx(2.0, rel=1e-5)
    assert scale.shift == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("outputs", "depths_m", "kind", "message"),
    [
        ([], [], OutputKind.METRIC, "0 distances for a model of metric: at least 1 needed"),
        ([1.0], [1.0], OutputKind.INVERSE_AFFINE, "at least 2 needed, at different depths"),
        ([3.0, 3.0], [1.0, 2.0], OutputKind.INVERSE_AFFINE, "says the same at all distances"),
        ([3.0, 4.0], [1.0, 2.0], OutputKind.INVERSE_AFFINE, "does not grow"),
        ([3.0] * 8, [1.0] * 8, OutputKind.METRIC, "says the same at all distances"),
        (OUTPUTS, [1e-2, 1e2] * 4, OutputKind.METRIC, "no scale fits the 8 distances"),
    ],
)
def test_distances_that_tell_nothing_are_refused(outputs, depths_m, kind, message):
    with pytest.raises(ConfigError, match=message):
        fit_fixed(np.asarray(outputs, float), np.asarray(depths_m, float), kind)


def test_numbers_in_the_parameter_file_are_floats_for_ros():
    scale = FixedScale(
        factor=2.0, shift=0.0, factor_sigma=0.1, shift_sigma=0.0, samples=3, error_rel=0.01
    )
    values = yaml.safe_load(as_params_yaml(scale, "nano"))["/**"]["ros__parameters"]
    assert values == {"model": "nano", "scale": {"source": "fixed", "factor": 2.0, "shift": 0.0}}
    assert all(isinstance(values["scale"][name], float) for name in ("factor", "shift"))
    tiny = as_params_yaml(FixedScale(**(vars(scale) | {"factor": 1e-7})), "nano")
    assert yaml.safe_load(tiny)["/**"]["ros__parameters"]["scale"]["factor"] == 1e-7


def test_distances_in_images_become_a_parameter_file(tiny_models, tmp_path, capsys):
    """The network says mean(R, G, B) / 25: 4 m on the left, 8 m on the right."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[:, :4], image[:, 4:] = 100, 200
    cv2.imwrite(str(tmp_path / "wall.png"), image)
    rgb, out = str(tmp_path / "wall.png"), tmp_path / "scale.yaml"
    argv = ["calibrate", "--registry", str(tiny_models), "--model", "tiny_inverse"]
    argv += ["--distance", rgb, "1", "3", "0.5", "--distance", rgb, "6", "3", "0.25"]
    assert main([*argv, "--out", str(out)]) == 0
    scale = yaml.safe_load(out.read_text())["/**"]["ros__parameters"]["scale"]
    assert scale["factor"] == pytest.approx(0.5)  # 1 / 0.5 m = 0.5 * 4, 1 / 0.25 m = 0.5 * 8
    assert scale["shift"] == pytest.approx(0.0, abs=1e-6)
    assert "factor 0.5 +-" in capsys.readouterr().err


def measured_at(tiny_models, folder, metres, *more):
    """Calibrate with three distances; the network says 4 m on the left and 8 m on the right."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[:, :4], image[:, 4:] = 100, 200
    cv2.imwrite(str(folder / "wall.png"), image)
    argv = ["calibrate", "--registry", str(tiny_models), "--out", str(folder / "scale.yaml")]
    for place, distance in zip((("1", "3"), ("6", "3"), ("7", "1")), metres, strict=True):
        argv += ["--distance", str(folder / "wall.png"), *place, distance]
    return main([*argv, "--model", *(more or ("tiny_metric",))])


@pytest.mark.parametrize(
    ("metres", "warning"),
    [
        (("2.0", "4.0", "4.0"), None),
        (("40", "80", "80"), "wrong by a factor of 10: METRES must be metres"),
        (("2.0", "4.0", "16"), "wall.png (7, 1) was measured at 16 m, and the others put it at"),
    ],
)
def test_distances_that_may_be_wrong_are_told(tiny_models, tmp_path, capsys, metres, warning):
    assert measured_at(tiny_models, tmp_path, metres) == 0
    said = capsys.readouterr().err
    assert "the worst " in said
    assert "% at " in said
    assert ("warning" in said) == (warning is not None)
    assert warning is None or warning in said
    assert (tmp_path / "scale.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metres", "model", "reason"),
    [
        (("200", "400", "400"), "tiny_metric", "wrong by a factor of 50 (centimetres?)"),
        (("2000", "4000", "4000"), "tiny_metric", "wrong by a factor of 500 (millimetres?)"),
        (("0.02", "0.04", "0.04"), "tiny_metric", "wrong by a factor of 0.005: METRES must be"),
        (("2.0", "4.0", "400"), "tiny_metric", "(7, 1) was measured at 400 m, and the others put"),
        (("400", "200", "200"), "tiny_inverse", "of 400 m was not measured by tape"),
    ],
)
def test_distances_in_another_unit_are_refused(
    tiny_models, tmp_path, capsys, metres, model, reason
):
    assert measured_at(tiny_models, tmp_path, metres, model) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert "Nothing is written (--force writes it)" in said
    assert not (tmp_path / "scale.yaml").exists()
    assert measured_at(tiny_models, tmp_path, metres, model, "--force") == 0
    assert reason in capsys.readouterr().err
    assert (tmp_path / "scale.yaml").is_file()


@pytest.mark.slow
def test_a_model_with_a_focal_rule_needs_the_camera(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((48, 64, 3), 100, np.uint8))
    argv = ["calibrate", "--model", "nano", "--distance", str(tmp_path / "wall.png")]
    assert main([*argv, "9", "9", "1.0"]) == 1
    assert "give --camera FX FY CX CY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (["99", "3", "1.0"], "column 99 lies outside the image of 8 columns"),
        (["1", "-3", "1.0"], "row -3 lies outside the image of 6 rows"),
        (["1", "3", "-1.0"], "the distance is not positive"),
        (["1", "3", "far"], "COLUMN, ROW and METRES must be numbers"),
    ],
)
def test_a_distance_that_cannot_be_is_refused(tiny_models, tmp_path, capsys, numbers, message):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((6, 8, 3), 100, np.uint8))
    argv = ["calibrate", "--registry", str(tiny_models), "--model", "tiny_metric"]
    assert main([*argv, "--distance", str(tmp_path / "wall.png"), *numbers]) == 1
    assert message in capsys.readouterr().err


def test_nothing_to_calibrate_with_is_an_error(capsys):
    assert main(["calibrate"]) == 1
    assert "give --distance or --recording" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recording_with_depth_becomes_a_parameter_file(tiny_models, capsys):
    argv = ["calibrate", "--registry", str(tiny_models), "--model", "tiny_metric", "--no-shift"]
    assert main([*argv, "--recording", "synthetic:room/robot/1/64x48", "--frames", "4"]) == 0
    scale = yaml.safe_load(capsys.readouterr().out)["/**"]["ros__parameters"]["scale"]
    assert scale["factor"] > 0.0
    assert scale["shift"] == pytest.approx(0.0, abs=1e-6)
