"""The measure by which engines are refused, and the parts of networks that stay in fp32."""

from __future__ import annotations

import json
import re
from importlib import import_module

import pytest
import torch

from mono_depth.engines.accuracy import OutputError, output_error, tolerance
from mono_depth.engines.protocol import EngineError, StaticNet, outputs_of
from mono_depth.engines.torch_engine import in_lower_precision
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.family_table import FAMILIES
from mono_depth.models.loading import load_model
from mono_depth.models.nano.family import FAMILY as NANO
from mono_depth.models.nano.net import HintNet
from mono_depth.system.resources import share_dir

RAMP = torch.linspace(0.0, 1.0, 101).repeat(10, 1)[None]  # (1, 10, 101), range 0.96


def test_equal_outputs_do_not_deviate():
    assert output_error([(RAMP,)], [(RAMP.clone(),)]) == OutputError(median=0.0, tail=0.0)


def test_an_offset_is_measured_in_shares_of_the_range():
    found = output_error([(5.0 * RAMP + 0.048,)], [(5.0 * RAMP,)])
    assert found.median == pytest.approx(0.01, rel=1e-3)
    assert found.tail == pytest.approx(0.01, rel=1e-3)


def test_what_is_wrong_in_few_places_is_in_the_tail():
    wrong = RAMP.clone()
    wrong[..., 50:53] += 0.96
    found = output_error([(wrong,)], [(RAMP,)])
    assert found.median == 0.0
    assert found.tail == pytest.approx(1.0, rel=1e-3)


def test_each_channel_has_its_own_range_and_the_worst_one_counts():
    truth = torch.stack([1000.0 * RAMP, RAMP], dim=1)  # (1, 2, 10, 101)
    said = truth + torch.tensor([0.0, 0.096]).view(1, 2, 1, 1)
    assert output_error([(said,)], [(truth,)]).median == pytest.approx(0.1, rel=1e-3)


def test_the_worst_image_and_the_worst_output_count():
    fine, scale = RAMP, torch.tensor([2.0])
    found = output_error([(fine, scale), (fine, scale * 1.03)], [(fine, scale), (fine, scale)])
    assert found.median == pytest.approx(0.03, rel=1e-3)


def test_a_flat_map_is_compared_with_its_size():
    flat = torch.full((1, 8, 8), 2.0)
    assert output_error([(flat + 0.0002,)], [(flat,)]).median == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_lost_are_refused(value):
    broken = RAMP.clone()
    broken[..., 0] = value
    with pytest.raises(EngineError, match=r"0\.99 % of the output is NaN or infinite"):
        output_error([(broken,)], [(RAMP,)])


def test_values_that_the_network_itself_lacks_do_not_count():
    holes = RAMP.clone()
    holes[..., :50] = float("nan")
    assert output_error([(RAMP,)], [(holes,)]).tail == 0.0
    assert output_error([(holes,)], [(holes,)]).tail == 0.0


def test_another_shape_is_refused():
    with pytest.raises(EngineError, match=r"outputs of shape \[\(1, 10, 100\)\], expected"):
        output_error([(RAMP[..., 1:],)], [(RAMP,)])


def test_nan_is_within_no_limit():
    nothing = OutputError(median=float("nan"), tail=float("nan"))
    assert not nothing.is_within(tolerance("int8"))
    assert OutputError(median=0.001, tail=0.01).is_within(tolerance("fp32"))
    assert not OutputError(median=0.0, tail=0.02).is_within(tolerance("fp32"))


def test_the_images_have_detail_and_differ():
    room, street = trial_images()
    assert room.shape == street.shape == (480, 640, 3)
    assert min(room.std(), street.std()) > 40.0
    assert abs(room.astype(float) - street).mean() > 40.0


@pytest.mark.slow
def test_islands_stay_in_fp32_and_the_rest_does_not():
    net = load_model("nano").net.module
    example = (torch.rand(1, 3, 64, 96), torch.rand(1, 2, 64, 96))
    short = in_lower_precision(StaticNet(net, example), "head", torch.bfloat16, torch.device("cpu"))
    types = {name: parameter.dtype for name, parameter in short.module.net.named_parameters()}
    assert types["head.weight"] == torch.float32
    assert types["down.0.0.weight"] == torch.bfloat16
    with torch.inference_mode():
        (output,) = short(*example)
        (expected,) = outputs_of(net(*example))
    assert output.dtype == torch.float32
    assert 0.0 < output_error([(output,)], [(expected,)]).median < 0.02
    assert net.down[0][0].weight.dtype == torch.float32  # the network itself is as it was


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"onnx"}))
def test_every_family_has_islands_and_they_are_on_the_map(family):
    names = {name for name, _ in _net_of(family).named_modules()}
    islands = import_module(FAMILIES[family]).FAMILY.fp32_layers
    assert [name for name in names if re.fullmatch(islands, name)]


def test_the_network_for_hints_has_its_island_too():
    names = {name for name, _ in HintNet().named_modules()}
    assert [name for name in names if re.fullmatch(NANO.fp32_layers, name)] == ["head"]


def _net_of(family: str) -> torch.nn.Module:
    """Return a network of a family, without weights."""
    from mono_depth.models.families.depth_anything import DepthAnythingNet
    from mono_depth.models.families.depth_anything_3 import DA3_CONFIGS, Da3Net
    from mono_depth.models.families.leres import LeresNet
    from mono_depth.models.families.lingbot_net import LingBotConfig, LingBotNet
    from mono_depth.models.families.midas import MidasNet
    from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS, MidasDptNet
    from mono_depth.models.families.moge_net import MogeConfig, MogeNet
    from mono_depth.models.families.zoedepth_net import ZoeNet
    from mono_depth.models.nano.net import NanoNet

    makers = {
        "nano": NanoNet,
        "midas": lambda: MidasNet("small"),
        "midas_dpt": lambda: MidasDptNet(DPT_CONFIGS["hybrid"]),
        "leres": lambda: LeresNet("resnet50"),
        "depth_anything_v1": lambda: DepthAnythingNet("small", None),
        "depth_anything_v2": lambda: DepthAnythingNet("small", None),
        "depth_anything_3": lambda: Da3Net(DA3_CONFIGS["large"]),
        "zoedepth": lambda: ZoeNet(None, DPT_CONFIGS["beit_l_384"]),
        "moge": lambda: MogeNet(MogeConfig.read(_config("moge2"), "golden")),
        "lingbot_depth": lambda: LingBotNet(LingBotConfig.read(_config("lingbot_depth"), "golden")),
    }
    with torch.device("meta"):
        return makers[family]()


def _config(name: str) -> dict[str, object]:
    golden = share_dir() / "models" / "golden" / f"{name}.json"
    return json.loads(golden.read_text())["model_config"]
