"""The built-in network behind a published encoder: its file, its norms, its outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mono_depth.data import Intrinsics
from mono_depth.errors import ModelError
from mono_depth.models.backbones.efficientnet_lite import EfficientNetLite, stages_of
from mono_depth.models.backbones.folding import fold_batch_norms
from mono_depth.models.nano.encoder_file import _places, read_encoder
from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.model import Nano
from mono_depth.models.nano.weights import load_net, read_net, save_weights
from mono_depth.models.protocol import Hints
from published_encoder import published

CPU = torch.device("cpu")
RGB = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (48, 64, 3), dtype=np.uint8))
CAMERA = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)


def lively(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every norm statistics of its own, as training does."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            torch.nn.init.uniform_(part.weight, 0.8, 1.2)
            torch.nn.init.uniform_(part.bias, -0.1, 0.1)
    return module


# ---- the published file


@pytest.mark.slow
@pytest.mark.parametrize("variant", [0, 2])
def test_a_published_encoder_comes_back_under_our_names(tmp_path, variant):
    encoder = lively(EfficientNetLite(variant)).eval()
    torch.save(published(encoder, variant), tmp_path / "lite.pth")
    found, found_variant, sha256 = read_encoder(tmp_path / "lite.pth")
    assert found_variant == variant
    assert len(sha256) == 64
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


def test_variants_of_the_same_depth_are_told_apart_by_their_width():
    assert len(_places(1)) == len(_places(2)) == 21
    assert stages_of(1)[-1].channels == 320
    assert stages_of(2)[-1].channels == 352


@pytest.mark.slow
def test_another_network_or_a_missing_layer_is_refused(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="has 0 blocks and 0 channels, expected those of"):
        read_encoder(tmp_path / "other.pth")
    tensors = published(EfficientNetLite(0), 0)
    del tensors["_conv_stem.weight"]
    torch.save(tensors, tmp_path / "half.pth")
    with pytest.raises(ModelError, match=r"1 missing: conv_stem\.weight"):
        read_encoder(tmp_path / "half.pth")


# ---- norms


@pytest.mark.slow
def test_a_fixed_norm_gives_the_same_in_one_step_and_in_two():
    encoder = lively(EfficientNetLite(0)).eval()
    image = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        in_two = encoder(image)
    in_one = encoder.blocks(encoder.stem(image))
    assert in_one.requires_grad
    torch.testing.assert_close(in_one.detach(), in_two, rtol=1e-3, atol=1e-4)
    fold_batch_norms(encoder)
    with torch.no_grad():
        torch.testing.assert_close(encoder(image), in_two, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_training_leaves_the_norms_and_the_first_stages_of_the_encoder_alone():
    net = lively(NanoLiteNet(0, has_hints=False)).train()
    net.freeze(2)
    before = {name: value.clone() for name, value in net.encoder.state_dict().items()}
    net(torch.randn(2, 3, 32, 32), torch.zeros(2, 2, 32, 32)).square().mean().backward()
    after = net.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    learning = {name for name, value in net.encoder.named_parameters() if value.grad is not None}
    assert learning
    assert not any(".bn" in name or name.startswith(("bn", "conv_stem")) for name in learning)
    assert not any(name.startswith(("blocks.0.", "blocks.1.")) for name in learning)
    assert not net.encoder.blocks[3][0].bn1.training
    assert net.refine[0].expand[1].training


# ---- outputs and file


@pytest.mark.slow
def test_it_says_depth_spread_and_glass_for_every_pixel():
    net = lively(NanoLiteNet(0, has_hints=False)).eval()
    with torch.inference_mode():
        said = net(torch.zeros(1, 3, 64, 32), torch.zeros(1, 2, 64, 32))
    assert said.shape == (1, 3, 64, 32)


@pytest.mark.slow
def test_the_rays_change_what_it_says_once_they_have_been_learned():
    net = NanoLiteNet(0, has_hints=False).eval()
    image, rays = torch.zeros(1, 3, 32, 32), torch.randn(1, 2, 32, 32)
    with torch.inference_mode():
        coarse = net.encoder.blocks[:3](net.encoder.stem(image))
        assert torch.equal(net.rays[0](torch.ones(1, 2, 4, 4)), torch.zeros_like(coarse))
        before = net(image, torch.zeros_like(rays))
        net.rays[2].weight.fill_(0.5)
        assert not torch.allclose(net(image, rays), before)


@pytest.mark.slow
def test_glass_comes_with_the_prediction_with_and_without_hints():
    nano = Nano(lively(NanoLiteNet(0)), CPU)
    alone = nano.infer(RGB, CAMERA)
    assert alone.glass is not None
    assert alone.glass.shape == alone.values.shape
    assert 0.0 <= float(alone.glass.min()) <= float(alone.glass.max()) <= 1.0
    known = torch.full((48, 64), 2.0)
    told = nano.infer_guided(RGB, CAMERA, Hints(depth_m=known))
    torch.testing.assert_close(told.glass, alone.glass)
    (batched,) = nano.infer_batch(RGB[None], [CAMERA])
    torch.testing.assert_close(batched.glass, alone.glass)


@pytest.mark.slow
def test_its_weights_survive_the_way_through_a_file_that_tells_their_source(tmp_path):
    net = lively(NanoLiteNet(0))
    path = tmp_path / "lite.safetensors"
    save_weights(net, path, {"seed": 1})
    with safe_open(str(path), "pt") as file:
        header = file.metadata()
    assert header["format"] == "mono_depth nano 4"
    assert json.loads(header["network"]) == {"encoder": 0, "has_hints": True}
    assert "Apache-2.0" in header["encoder_source"]
    assert path.stat().st_size < 16e6
    found, _ = read_net(path)
    assert isinstance(found, NanoLiteNet)
    expected = Nano(net, CPU).infer(RGB, CAMERA).values
    torch.testing.assert_close(
        Nano(found, CPU).infer(RGB, CAMERA).values, expected, rtol=0.05, atol=0.0
    )


@pytest.mark.slow
def test_weights_for_images_alone_get_an_untrained_network_for_hints_to_train(tmp_path):
    save_weights(NanoLiteNet(0, has_hints=False), tmp_path / "a.safetensors", {})
    assert read_net(tmp_path / "a.safetensors")[0].hints is None
    assert load_net(tmp_path / "a.safetensors").hints is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ('{"encoder": 7, "has_hints": true}', "has EfficientNet-Lite 7, expected 0, 1 or 2"),
        ("{}", "does not tell its network: KeyError"),
        ("no json", "does not tell its network: JSONDecodeError"),
    ],
)
def test_a_file_of_an_unknown_encoder_is_refused(tmp_path, network, reason):
    path = tmp_path / "lite.safetensors"
    save_weights(NanoLiteNet(0, has_hints=False), path, {})
    header = {"format": "mono_depth nano 4", "network": network, "training": "{}"}
    save_file(load_file(path), path, header)
    with pytest.raises(ModelError, match=reason):
        read_net(path)
