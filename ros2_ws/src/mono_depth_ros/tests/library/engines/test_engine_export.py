"""Every family as an ONNX file that gives what torch gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.engines.export import export_onnx
from mono_depth.engines.protocol import EngineError, Network
from mono_depth.models.backbones.dinov2 import VitConfig
from mono_depth.models.backbones.folding import fold_batch_norms
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import read_golden
from mono_depth.models.families.depth_anything import DepthAnythingNet
from mono_depth.models.families.depth_anything_3 import GOLDEN_CONFIG, Da3Net
from mono_depth.models.families.leres import LeresNet
from mono_depth.models.families.lingbot_net import LingBotConfig, LingBotNet
from mono_depth.models.families.midas import MidasNet
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS, MidasDptNet, prepared
from mono_depth.models.families.moge_net import MogeConfig, MogeNet
from mono_depth.models.families.zoedepth_heads import BinDistribution
from mono_depth.models.families.zoedepth_net import ZoeNet, ZoeNetNK
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.store.weights import load_strictly

onnxruntime = pytest.importorskip("onnxruntime", reason="the package onnxruntime runs the files")

TINY_VIT = VitConfig(width=64, depth=4, heads=4)
DEPTH_M = torch.full((1, 1, 56, 84), 2.0)
DEPTH_M[..., 20:50, 30:70] = torch.nan


def image(height, width):
    pixels = torch.from_numpy(pseudo_random.image(height, width))
    return pixels.permute(2, 0, 1)[None].float() / 255


def filled(make, positive=()):
    with torch.device("meta"):
        net = make()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    load_strictly(net, pseudo_random.fill(shapes, positive), "the rule")
    return net.eval().requires_grad_(False)


def config(golden):
    return read_golden(golden)["model_config"]


def dpt(variant):
    vit = DPT_CONFIGS[variant].vit if variant == "hybrid" else TINY_VIT
    layers = (1, 3) if variant == "hybrid" else (0, 1, 2, 3)
    return replace(DPT_CONFIGS[variant], vit=replace(vit, depth=4), layers=layers)


def nano():
    net = NanoNet().eval().requires_grad_(False)
    fold_batch_norms(net)
    return net, (image(64, 96), torch.zeros(1, 2, 64, 96))


def depth_anything(max_depth_m, **version):
    return filled(lambda: DepthAnythingNet("small", max_depth_m, **version)), (image(56, 84),)


def depth_anything_3():
    return filled(lambda: Da3Net(GOLDEN_CONFIG)), (image(56, 84),)


def folded(make):
    net = filled(make)
    fold_batch_norms(net)
    return net, (image(64, 96),)


def midas_dpt(variant):
    return prepared(filled(lambda: MidasDptNet(dpt(variant)))), (image(64, 96),)


def zoedepth(make):
    net = filled(make)
    prepared(net.core.core)
    return net, (image(64, 96),)


def moge():
    net = filled(
        lambda: MogeNet(MogeConfig.read(config("moge2"), "")),
        ["mask_head.output_blocks.4.bias", "encoder.image_std"],
    )
    return net, (image(56, 84), 1.5)


def lingbot():
    last = ["depth_head.output_blocks.4.bias", "mask_head.output_blocks.4.bias"]
    net = filled(
        lambda: LingBotNet(LingBotConfig.read(config("lingbot_depth"), "")),
        [*last, "encoder.image_std"],
    )
    return net, (image(56, 84), DEPTH_M, 1.5)


def zoedepth_bins():
    net = filled(lambda: BinDistribution(32, 4))
    return net, (torch.rand(1, 32, 6, 8), torch.rand(1, 128, 6, 8))


# The newer exporter takes seconds for each, so it runs where it is the most likely to differ.
TRACED = {
    "nano": nano,
    "depth_anything_v1": lambda: depth_anything(None, is_v1=True),
    "depth_anything_v2": lambda: depth_anything(None),
    "depth_anything_v2_metric": lambda: depth_anything(20.0),
    "depth_anything_3": depth_anything_3,
    "midas": lambda: folded(lambda: MidasNet("small")),
    "leres": lambda: folded(lambda: LeresNet("resnet50")),
    "dpt_large": lambda: midas_dpt("large"),
    "dpt_hybrid": lambda: midas_dpt("hybrid"),
    "midas_beit": lambda: midas_dpt("beit_b_384"),
    "zoedepth_k": lambda: zoedepth(lambda: ZoeNet(80.0, dpt("beit_l_384"))),
    "moge": moge,
}
QUICK = ("nano", "depth_anything_v2", "midas")  # every other network is of the acceptance
EXPORTED = {
    "zoedepth_bins": zoedepth_bins,
    "lingbot": lingbot,
}


def network(make):
    net, arguments = make()
    return Network(name="test", sha256="", arguments=arguments, net=net)


def run(path, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = zip(session.get_inputs(), inputs, strict=True)
    return session.run(None, {node.name: value.numpy() for node, value in fed})


def check(made, path, traced):
    module = made.module
    with torch.inference_mode():
        expected = module(*made.inputs)
    names = [f"output{index}" for index in range(len(expected))]

    export_onnx(
        module, made.inputs, path, input_names=made.input_names, output_names=names, traced=traced
    )

    for found, value in zip(run(path, made.inputs), expected, strict=True):
        assert value.abs().max() > 0
        assert np.abs(found - value.numpy()).max() < 2e-5 * value.abs().max()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.acceptance) for name in TRACED],
)
def test_a_traced_network_gives_what_torch_gives(family, tmp_path):
    check(network(TRACED[family]), tmp_path / "net.onnx", traced=True)


@pytest.mark.acceptance
@pytest.mark.parametrize("family", EXPORTED)
def test_an_exported_network_gives_what_torch_gives(family, tmp_path):
    pytest.importorskip("onnxscript", reason="the package onnxscript exports")
    check(network(EXPORTED[family]), tmp_path / "net.onnx", traced=None)


@pytest.mark.acceptance
def test_the_file_of_two_heads_chooses_by_the_image_and_not_by_the_example(tmp_path):
    net, (example,) = zoedepth(lambda: ZoeNetNK(dpt("beit_l_384")))
    other = example.flip(-1) * 0.5
    logits = []
    net.mlp_classifier.register_forward_hook(lambda *call: logits.append(call[2][0]))
    net(example)
    net(other)
    between = (logits[0] + logits[1]) / 2
    net.mlp_classifier[2].bias.sub_(between)
    net(example)
    net(other)
    assert logits[2].argmax() != logits[3].argmax()

    made = Network(name="test", sha256="", arguments=(example,), net=net)
    check(made, tmp_path / "net.onnx", traced=True)

    (found,) = run(tmp_path / "net.onnx", (other,))
    np.testing.assert_allclose(found, net(other).numpy(), rtol=1e-4)


@pytest.mark.slow
def test_a_network_stays_in_evaluation_mode(tmp_path):
    made = network(nano)

    check(made, tmp_path / "net.onnx", traced=True)

    assert not any(module.training for module in made.net.modules())


class Unexportable(torch.nn.Module):
    def forward(self, image):
        return image * 2 if image.sum().item() > 0 else image


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_leaves_no_file(tmp_path):
    pytest.importorskip("onnxscript", reason="the package onnxscript exports")
    with pytest.raises(EngineError, match="torch cannot export the network to ONNX: "):
        export_onnx(
            Unexportable(),
            (image(4, 4),),
            tmp_path / "net.onnx",
            input_names=["a"],
            output_names=["b"],
        )
    assert not list(tmp_path.iterdir())
