from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from mono_depth.commands.main import main
from mono_depth.data import OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models import check
from mono_depth.models.check import check_golden, check_on_image, synthetic_image
from mono_depth.models.families import depth_anything
from mono_depth.models.family_table import family_of
from mono_depth.models.store.registry import read_registry

CPU = torch.device("cpu")
V1 = "depth_anything_v1_small"


@pytest.fixture(scope="module")
def image():
    return synthetic_image()


def model_that_gives(values, kind=OutputKind.METRIC):
    prediction = Prediction(values=values, kind=kind)
    return SimpleNamespace(device=CPU, infer=lambda rgb, intrinsics: prediction)


def metric_entry():
    return read_registry()["depth_anything_v2_metric_indoor_small"]


@pytest.mark.slow
def test_nano_is_checked_on_the_built_in_image(capsys):
    assert main(["models", "check", "nano"]) == 0

    shown = capsys.readouterr().out
    assert "nano: metric_focal of a rendered room of 320x240 pixels" in shown
    assert f"sha256 {read_registry()['nano'].weights[0].sha256}" in shown
    assert "ms on cpu" in shown
    assert shown.endswith("nano: ok\n")


@pytest.mark.slow
def test_without_a_name_all_that_is_here_is_checked(tmp_path, capsys):
    assert main(["models", "check", "--weights-dir", str(tmp_path)]) == 0

    assert capsys.readouterr().out.count(": ok") == 1  # nano alone is always there


def test_absent_weights_are_an_error_that_names_the_ways_out(tmp_path, capsys):
    assert main(["models", "check", V1, "--weights-dir", str(tmp_path)]) == 1

    shown = capsys.readouterr().err
    assert f"{V1}: no weights at {tmp_path / V1 / 'depth_anything_vits14.pth'}" in shown
    assert f"get them with: mono-depth models pull {V1}" in shown
    assert f"mono-depth models check {V1} --random" in shown


@pytest.mark.slow
def test_without_weights_the_arithmetic_is_checked(capsys):
    assert main(["models", "check", V1, "--random"]) == 0

    shown = capsys.readouterr().out
    assert "of 1e-06  network 84x112 in float64\n" in shown
    assert "of 1e-04  image 60x80 at 70\n" in shown
    assert shown.endswith(f"{V1}: ok\n")


@pytest.mark.slow
def test_arithmetic_that_is_not_that_of_the_original_fails(monkeypatch, capsys):
    monkeypatch.setattr(depth_anything, "LAST_BIAS", "pretrained.norm.bias")
    monkeypatch.setattr(depth_anything, "check_rule", lambda weights, golden: weights)

    assert main(["models", "check", V1, "--random"]) == 1

    shown = capsys.readouterr().out
    assert "network 84x112 in float64  FAILED" in shown
    assert shown.endswith(f"{V1}: FAILED\n")


def test_a_network_without_an_original_cannot_be_compared():
    with pytest.raises(ModelError, match=r"nano .* has no original to compare with"):
        list(check_golden(read_registry()["nano"]))


def test_all_shipped_models_but_nano_can_be_compared():
    names = [n for n, e in read_registry().items() if family_of(e).golden_cases is None]

    assert names == ["nano"]


def test_weights_of_another_network_fail_the_check(tmp_path, capsys):
    folder = tmp_path / "depth_anything_3_mono_large"
    folder.mkdir()
    save_file({"model.a": torch.zeros(1)}, folder / "model.safetensors")

    assert main(["models", "check", folder.name, "--weights-dir", str(tmp_path)]) == 1

    shown = capsys.readouterr()
    assert "1 unexpected: a" in shown.err
    assert "depth_anything_3_mono_large: FAILED" in shown.out


def test_the_true_depth_passes_whatever_its_kind(image):
    depth_m = image.depth_m
    report = check_on_image(model_that_gives(depth_m), metric_entry(), image)
    inverse = model_that_gives(1 / depth_m, OutputKind.INVERSE_AFFINE)
    of_inverse = check_on_image(inverse, read_registry()[V1], image)

    assert report.size == (320, 240)
    assert report.order == pytest.approx(1.0, abs=1e-3)
    assert of_inverse.order == pytest.approx(1.0, abs=1e-3)
    assert report.least < report.median < report.greatest
    assert report.unknown == 0.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d / d.max() * 21, "expected 0 to 20 m"),
        (lambda d: d - d.mean(), "expected 0 to 20 m"),
        (lambda d: d.max() + 1 - d, "takes near for far: rank correlation -1.00"),
        (lambda d: d[:, :100], "gives 100x240 for an image of 320x240: another field of view"),
        (lambda d: d.where(torch.arange(320) < 16, torch.nan), "gives no value for 95 % of it"),
    ],
)
def test_what_cannot_be_depth_of_the_image_fails(image, spoil, message):
    model = model_that_gives(spoil(image.depth_m))

    with pytest.raises(ModelError, match=message):
        check_on_image(model, metric_entry(), image)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.full((60, 80), torch.nan), "no finite value"),
        (torch.full((60, 80), 3.0), "the constant 3"),
    ],
)
def test_what_says_nothing_fails(image, values, message):
    with pytest.raises(FrameError, match=message):
        check_on_image(model_that_gives(values), metric_entry(), image)


def test_the_image_is_the_same_on_every_run(image):
    again = check.synthetic_image()

    assert (again.rgb == image.rgb).all()
    assert replace(again.intrinsics) == image.intrinsics
    assert 2 * float(image.depth_m.min()) < float(image.depth_m.max()) < 20.0
