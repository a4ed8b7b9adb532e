import hashlib
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
from mono_depth.models.families.midas import LAST_BIAS, Midas, MidasNet, golden_weights
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.pipeline import DepthPipeline

CPU = torch.device("cpu")
GOLDEN = read_golden("midas_v21")


@pytest.fixture(scope="module")
def weights():
    return golden_weights("small")


@pytest.fixture
def net(weights):
    return built(partial(MidasNet, "small"), weights)


def noise(height, width):
    return case.noise(height, width, -2.0, 2.0)


def deviation(output, expected):
    found = torch.from_numpy(output)
    wanted = GoldenCase(name="", expected=expected, tolerance=0.0, compute=lambda: found)
    return wanted.deviation()


@pytest.mark.slow
def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["small"]["tensors"]
    assert pseudo_random.checksum(weights) == GOLDEN["small"]["state_dict_sha256"]


@pytest.mark.slow
def test_folded_batch_normalisation_changes_nothing_but_the_rounding(net):
    image = noise(64, 32).double()
    before = net.double()(image)

    fold_batch_norms(net)

    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    torch.testing.assert_close(net(image), before, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_inverse_depth_is_never_negative(weights):
    net = built(partial(MidasNet, "small"), weights | {LAST_BIAS: torch.tensor([-100.0])})

    assert not net(noise(32, 32)).any()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["small", "large"])
def test_a_published_file_runs_through_registry_and_pipeline(tmp_path, variant):
    tensors = golden_weights(variant)
    name, expected = f"midas_v21_{variant}", GOLDEN[variant]["image_float32"][-1]
    assert len(tensors) == GOLDEN[variant]["tensors"]
    torch.save(tensors, tmp_path / "published.pt")
    del tensors  # 420 MB for the large one
    registry = tmp_path / "mine.yaml"
    pin = hashlib.sha256((tmp_path / "published.pt").read_bytes()).hexdigest()
    weights = f"{{file: published.pt, sha256: {pin}}}"  # without a pin its output is judged
    registry.write_text(f"models: {{{name}: {{weights: {weights}}}}}")
    frame = Frame(rgb=pseudo_random.image(*expected["image"]), stamp_ns=1, frame_id="camera")

    model = load_model(name, registry=registry, input_size=expected["input_size"])
    (tmp_path / "published.pt").unlink()  # pytest would keep it
    result = DepthPipeline(model, PipelineConfig()).process(frame)

    assert deviation(result.network_relative.numpy(), expected) < 1e-4
    assert result.kind is OutputKind.INVERSE_AFFINE
    assert result.network_depth_m is None  # no metres without a scale


@pytest.mark.slow
def test_a_file_without_one_tensor_or_of_the_other_size_is_refused(tmp_path, weights):
    path = tmp_path / "published.pt"
    registry = read_registry()
    torch.save({name: weights[name] for name in weights if name != LAST_BIAS}, path)

    with pytest.raises(ModelError, match=rf"fit the network: 1 missing: {LAST_BIAS}$"):
        Midas.load(registry["midas_v21_small"], path, CPU)
    with pytest.raises(ModelError, match=r"missing: pretrained\.layer1\.4\.0\.conv1\.weight"):
        Midas.load(registry["midas_v21_large"], path, CPU)
    path.unlink()  # pytest would keep it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "medium"}, "variant 'medium' is not one of small, large"),
        ({"kind": OutputKind.METRIC}, "kind metric, not inverse_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()["midas_v21_small"], **change)

    with pytest.raises(ModelError, match=message):
        Midas.load(entry, Path("unused.pt"), CPU)


def test_an_input_that_is_not_in_multiples_of_32_is_refused(net):
    entry = read_registry()["midas_v21_small"]
    wrong = replace(entry, input=replace(entry.input, multiple_of=14))

    with pytest.raises(ModelError, match="in multiples of 14, expected multiples of 32"):
        Midas(net, wrong, CPU, sha256="")
    with pytest.raises(ModelError, match="midas_v21_small has no `input`"):
        Midas(net, replace(entry, input=None), CPU, sha256="")
