import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ConfigError, FrameError, ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import read_golden
from mono_depth.models.families.midas_dpt import golden_config
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS
from mono_depth.models.families.zoedepth import BACKBONE, ZoeDepth, golden_net, golden_weights
from mono_depth.models.families.zoedepth_heads import Attractors, BinDistribution
from mono_depth.models.loading import load_model
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.store.registry import read_registry

CPU = torch.device("cpu")
GOLDEN = read_golden("zoedepth")
FULL, SMALL = DPT_CONFIGS[BACKBONE], golden_config(BACKBONE)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["n", "k", "nk"])
def test_names_and_shapes_are_those_of_the_published_network(variant):
    tensors = golden_net(variant, FULL).state_dict()
    lines = [f"{name} {tuple(value.shape)}" for name, value in tensors.items()]

    assert len(lines) == GOLDEN[variant]["tensors"]
    found = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert found == GOLDEN[variant]["layout_sha256"]
    assert pseudo_random.checksum(golden_weights(variant)) == GOLDEN[variant]["state_dict_sha256"]


def test_the_input_of_a_vga_image_with_its_border_is_that_of_the_original():
    registry = read_registry()
    sizes = {
        name: registry[name].input.size_for(640 + 2 * 53, 480 + 2 * 46)
        for name in ("zoedepth_n", "zoedepth_k", "zoedepth_nk")
    }

    assert sizes == {
        "zoedepth_n": (512, 384),
        "zoedepth_k": (768, 576),
        "zoedepth_nk": (512, 384),
    }


def test_each_attractor_pulls_the_bins_near_it():
    attractors = Attractors(1, is_bounded=False)
    for parameter in attractors.parameters():
        parameter.data.zero_()  # softplus(0) = ln 2 = 0.693
    bins = torch.tensor([0.6, 0.693147, 5.0]).view(1, 3, 1, 1)

    moved = attractors(torch.zeros(1, 128, 1, 1), bins).flatten().tolist()

    step = 0.093147 / (1 + 300 * 0.093147**2)
    assert moved == pytest.approx([0.6 + step, 0.693147, 5.0 - 0.000774], abs=1e-5)


def test_the_distribution_over_the_bins_sums_to_1_around_its_mode():
    distribution = BinDistribution(32, 4)
    for parameter in distribution.parameters():
        parameter.data.zero_()  # mode 1/2, temperature 25
    weights = distribution(torch.zeros(1, 32, 1, 1), torch.zeros(1, 128, 1, 1)).flatten()

    assert weights.sum().item() == pytest.approx(1.0)
    assert weights.argmax().item() in (31, 32)
    assert weights[20].item() == pytest.approx(weights[43].item(), rel=1e-4)


@pytest.mark.slow
def test_a_published_file_gives_metres_through_the_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(DPT_CONFIGS, "beit_l_384", SMALL)
    constants = {
        "conditional_log_binomial.log_binomial_transform.k_idx": torch.arange(64),
        "conditional_log_binomial.log_binomial_transform.K_minus_1": torch.tensor([63.0]),
        "core.core.pretrained.model.head.bias": torch.ones(1000),
    }
    content = {"model": golden_weights("k") | constants, "optimizer": None, "epoch": 4}
    torch.save(content, tmp_path / "k.pt")
    registry = tmp_path / "mine.yaml"
    rgb = torch.from_numpy(pseudo_random.image(40, 60))

    outputs = []
    for options in ("", ", average_mirrored: false"):
        registry.write_text(f"models: {{zoedepth_k: {{weights: {{file: k.pt}}{options}}}}}")
        model = load_model("zoedepth_k", registry=registry, input_size=64)
        outputs.append(model.infer(rgb, None).values)

    assert isinstance(model, ZoeDepth)
    assert all(output.shape == (40, 60) and 1 < output.mean() < 80 for output in outputs)
    assert not torch.allclose(*outputs)


@pytest.mark.slow
def test_a_file_of_another_variant_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(DPT_CONFIGS, "beit_l_384", SMALL)
    torch.save({"model": golden_weights("k")}, tmp_path / "k.pt")

    message = "128 instead of|misshaped: attractors.0._net.2.weight"
    with pytest.raises(ModelError, match=message):
        ZoeDepth.load(read_registry()["zoedepth_n"], tmp_path / "k.pt", CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "m"}, "variant 'm' is not one of n, k, nk"),
        ({"kind": OutputKind.INVERSE_AFFINE}, "kind inverse_affine, not metric"),
        ({"max_depth_m": 10.0}, "variant k needs max_depth_m, n and nk have none"),
        ({"variant": "k"}, "variant k needs max_depth_m, n and nk have none"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()["zoedepth_n"], **change)

    with pytest.raises(ModelError, match=message):
        ZoeDepth.load(entry, Path("unused.pt"), CPU)


@pytest.mark.slow
def test_an_image_too_small_for_its_border_is_refused():
    model = ZoeDepth(
        golden_net("n", SMALL).to_empty(device="cpu"), read_registry()["zoedepth_n"], CPU, ""
    )

    with pytest.raises(FrameError, match="image of 9x4 pixels, expected 5x5 or more"):
        model.infer(torch.zeros(4, 9, 3, dtype=torch.uint8), None)


class RedModel:
    """Its depth is the red channel, its confidence half of that; remembers the camera."""

    name, kind, device, weights_sha256 = "red", OutputKind.METRIC, CPU, ""
    scale_sigma_rel = 0.5

    def __init__(self):
        self.cameras = []

    def infer(self, rgb, intrinsics):
        self.cameras.append(intrinsics)
        columns = torch.arange(rgb.shape[1])
        red = rgb[..., 0].float() + columns
        return Prediction(values=red, kind=self.kind, confidence=red / 2)


def test_a_mirrored_look_is_turned_back_before_the_average():
    rgb = torch.zeros(1, 3, 3, dtype=torch.uint8)
    rgb[0, :, 0] = torch.tensor([10, 20, 60])
    model = RedModel()
    camera = Intrinsics(width=3, height=1, fx=2.0, fy=2.0, cx=0.5, cy=0.0)

    prediction = MirrorAveraged(model).infer(rgb, camera)

    # seen 10 21 62; mirrored 60 21 12, turned back 12 21 60
    assert prediction.values.tolist() == [[11.0, 21.0, 61.0]]
    assert prediction.confidence.tolist() == [[5.5, 10.5, 30.5]]
    assert [camera.cx for camera in model.cameras] == [0.5, 1.5]


def test_the_registry_takes_only_true_or_false_for_the_mirror(tmp_path):
    registry = tmp_path / "mine.yaml"
    registry.write_text("models: {nano: {average_mirrored: 1}}")

    with pytest.raises(ConfigError, match="average_mirrored is 1, expected bool"):
        read_registry(registry)
