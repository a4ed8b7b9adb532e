from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.folding import fold_batch_norms
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden import case
from mono_depth.models.checks.golden.case import GoldenCase, built, read_golden
from mono_depth.models.families.leres import Leres, LeresNet, golden_weights
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.pipeline import DepthPipeline

CPU = torch.device("cpu")
GOLDEN = read_golden("leres")
FILES = {"resnet50": "res50.pth", "resnext101": "res101.pth"}


@pytest.fixture(scope="module")
def weights():
    return golden_weights("resnet50")


@pytest.fixture
def net(weights):
    return built(partial(LeresNet, "resnet50"), weights)


def noise(height, width):
    return case.noise(height, width, -2.0, 2.0)


def deviation(output, expected):
    found = torch.from_numpy(output)
    wanted = GoldenCase(name="", expected=expected, tolerance=0.0, compute=lambda: found)
    return wanted.deviation()


def published(tensors):
    """Lay tensors out as the published files do."""
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    return {"depth_model": parallel, "shift_model": {"module.w": torch.zeros(1)}}


@pytest.mark.slow
def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["resnet50"]["tensors"]
    assert pseudo_random.checksum(weights) == GOLDEN["resnet50"]["state_dict_sha256"]


@pytest.mark.slow
def test_folded_batch_normalisation_changes_nothing_but_the_rounding(net):
    image = noise(32, 64).double()
    before = net.double()(image)

    fold_batch_norms(net)

    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    torch.testing.assert_close(net(image), before, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
def test_each_image_of_a_batch_is_shifted_by_its_own_least_value(net):
    images = torch.cat([noise(32, 32), torch.ones(1, 3, 32, 32)])

    together = net(images)

    assert together.amin((1, 2)).tolist() == pytest.approx([0.01, 0.01])
    torch.testing.assert_close(together[1:], net(images[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["resnet50", "resnext101"])
def test_a_published_file_runs_through_registry_and_pipeline(tmp_path, variant):
    tensors = golden_weights(variant)
    name, expected = f"leres_{variant}", GOLDEN[variant]["image_float32"][-1]
    assert len(tensors) == GOLDEN[variant]["tensors"]
    path = tmp_path / name / FILES[variant]
    path.parent.mkdir()
    torch.save(published(tensors), path)
    del tensors  # 460 MB for the large one
    registry = tmp_path / "mine.yaml"
    registry.write_text(f"models: {{{name}: {{weights: {{page: none, file: {path.name}}}}}}}")
    frame = Frame(rgb=pseudo_random.image(*expected["image"]), stamp_ns=1, frame_id="camera")

    model = load_model(
        name,
        registry=registry,
        weights_folder=tmp_path,
        allow_noncommercial=True,
        input_size=expected["input_size"],
    )
    path.unlink()  # pytest would keep it
    result = DepthPipeline(model, PipelineConfig()).process(frame)

    assert deviation(1.0 / result.network_relative.numpy(), expected) < 1e-4
    assert result.kind is OutputKind.DEPTH_AFFINE
    assert result.network_depth_m is None  # no metres without a scale


def test_the_licence_is_refused_unless_the_user_agrees(tmp_path):
    with pytest.raises(ModelError, match=r"under Adobe Research License .* forbids commercial use"):
        load_model("leres_resnet50", weights_folder=tmp_path)


@pytest.mark.slow
def test_a_file_without_one_tensor_or_of_the_other_backbone_is_refused(tmp_path, weights):
    path = tmp_path / "res50.pth"
    lost = "depth_model.decoder_modules.outconv.adapt_conv.3.bias"
    torch.save(published({name: weights[name] for name in weights if name != lost}), path)
    registry = read_registry()

    with pytest.raises(ModelError, match=rf"fit the network: 1 missing: {lost}$"):
        Leres.load(registry["leres_resnet50"], path, CPU)
    with pytest.raises(ModelError, match=r"missing: depth_model\.encoder_modules\.encoder\.layer3"):
        Leres.load(registry["leres_resnext101"], path, CPU)
    path.unlink()  # pytest would keep it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "resnet18"}, "variant 'resnet18' is not one of resnet50, resnext101"),
        ({"kind": OutputKind.METRIC}, "kind metric, not depth_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()["leres_resnet50"], **change)

    with pytest.raises(ModelError, match=message):
        Leres.load(entry, Path("unused.pth"), CPU)


@pytest.mark.slow
def test_a_square_that_is_no_multiple_of_32_is_refused(net):
    entry = read_registry()["leres_resnet50"]
    wrong = replace(entry, input=entry.input.with_short_side(450))

    with pytest.raises(ModelError, match=r"fixed 450x450 .* expected multiples of 32"):
        Leres(net, wrong, CPU, sha256="")
