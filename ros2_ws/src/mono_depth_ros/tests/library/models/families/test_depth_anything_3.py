from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.checks.golden.case import built, read_golden, rule_image
from mono_depth.models.checks.pseudo_random import shapes_of
from mono_depth.models.families.depth_anything_3 import (
    DA3_CONFIGS,
    GOLDEN_CONFIG,
    Da3Net,
    DepthAnything3,
    golden_camera,
    golden_weights,
)
from mono_depth.models.loading import load_model
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.store.registry import read_registry, with_short_side

CPU = torch.device("cpu")
METRIC, MONO = "depth_anything_3_metric_large", "depth_anything_3_mono_large"


@pytest.fixture(scope="module")
def weights():
    return golden_weights()


@pytest.fixture(scope="module")
def net(weights):
    return built(lambda: Da3Net(GOLDEN_CONFIG), weights)


@pytest.mark.slow
def test_names_and_shapes_are_those_of_the_original(weights):
    assert len(weights) == read_golden("depth_anything_3")["small"]["tensors"]


@pytest.mark.slow
def test_there_is_no_depth_in_the_sky(net):
    entry = with_short_side(read_registry()[METRIC], 56)

    prediction = DepthAnything3(net, entry, CPU, "").infer(rule_image(60, 80), None)

    with torch.inference_mode():
        _, sky = net(Preprocess(entry.input, CPU)(rule_image(60, 80)))
    assert prediction.values.dtype == torch.float32
    assert 0 < int((sky >= 0.3).sum()) < sky.numel()
    assert torch.equal(prediction.values.isnan(), sky[0] >= 0.3)


def test_the_large_network_has_the_parameters_of_the_published_file():
    shapes = shapes_of(lambda: Da3Net(DA3_CONFIGS["large"]))

    assert len(shapes) == 406
    assert sum(shape.numel() for shape in shapes.values()) == 334_171_394


@pytest.mark.slow
def test_metres_grow_with_the_focal_length_and_relative_depth_does_not(net):
    rgb = rule_image(60, 80)
    near, registry = golden_camera(60, 80), read_registry()
    far = replace(near, fx=2 * near.fx, fy=2 * near.fy)
    ratios = {}
    for name in (METRIC, MONO):
        entry = replace(registry[name], input=registry[name].input.with_short_side(56))
        model = DepthAnything3(net, entry, CPU, sha256="")
        first, second = (model.infer(rgb, one).values for one in (near, far))
        ratios[name] = float((second / first).nanmedian())

    assert ratios == {METRIC: pytest.approx(2.0), MONO: pytest.approx(1.0)}


def test_a_vga_image_is_seen_as_large_as_the_original_sees_it():
    assert read_registry()[METRIC].input.size_for(640, 480) == (504, 378)


@pytest.mark.slow
def test_a_published_file_gives_the_same_bits_through_the_registry(
    tmp_path, monkeypatch, weights, net
):
    monkeypatch.setitem(DA3_CONFIGS, "large", GOLDEN_CONFIG)
    save_file(
        {f"model.{key}": value for key, value in weights.items()}, tmp_path / "model.safetensors"
    )
    registry = tmp_path / "mine.yaml"
    registry.write_text(f"models: {{{METRIC}: {{weights: {{file: model.safetensors}}}}}}")
    rgb = rule_image(60, 80)

    model = load_model(METRIC, registry=registry, input_size=56)

    entry = read_registry()[METRIC]
    entry = replace(entry, input=entry.input.with_short_side(56))
    expected = DepthAnything3(net, entry, CPU, sha256="").infer(rgb, None).values
    values = model.infer(rgb, None).values
    assert model.kind is OutputKind.METRIC_FOCAL
    assert values.shape == (42, 56)
    assert torch.equal(values.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "giant"}, "variant 'giant' is not one of large"),
        ({"kind": OutputKind.METRIC}, "kind metric, not metric_focal or depth_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()[METRIC], **change)

    with pytest.raises(ModelError, match=message):
        DepthAnything3.load(entry, Path("unused.safetensors"), CPU)
