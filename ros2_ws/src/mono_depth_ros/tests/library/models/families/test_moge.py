import math
from dataclasses import replace

import pytest
import torch

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import built, read_golden, rule_image
from mono_depth.models.checks.golden.tokens import spec_of
from mono_depth.models.families.moge import Moge, golden_camera, golden_config, golden_weights
from mono_depth.models.families.moge_net import MogeConfig, MogeNet
from mono_depth.models.families.point_map import shift_of
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry

CPU = torch.device("cpu")
GOLDEN = read_golden("moge2")
CONFIG = GOLDEN["model_config"]


def entry(golden):
    return replace(read_registry()["moge2_small"], input=spec_of(golden))


def case_name(golden):
    fov = golden.get("fov_x_deg", "")
    return "{}x{}".format(*golden["size"]) + (f" {fov}" if fov != "" else "")


@pytest.fixture(scope="module")
def weights():
    return golden_weights()


@pytest.fixture(scope="module")
def net(weights):
    return built(lambda: MogeNet(golden_config()), weights)


@pytest.mark.slow
def test_names_and_shapes_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["tensors"]


SAME_SIZE = [golden for golden in GOLDEN["float32"] if golden["size"] != [90, 160]]
OTHER_SIZE = [golden for golden in GOLDEN["float32"] if golden["size"] == [90, 160]]


@pytest.mark.slow
def test_pixels_that_the_mask_hides_have_no_depth(net):
    prediction = Moge(net, entry(SAME_SIZE[0]), CPU, sha256="").infer(rule_image(64, 64), None)

    assert prediction.kind is OutputKind.METRIC
    assert prediction.values.dtype == torch.float32
    assert prediction.values.shape == prediction.confidence.shape == (64, 64)
    is_hidden = prediction.confidence <= 0.5
    assert 0 < int(is_hidden.sum()) < is_hidden.numel()
    assert bool(prediction.values[is_hidden].isnan().all())
    assert bool((prediction.values[~is_hidden] > 0).any())


@pytest.mark.slow
@pytest.mark.parametrize("golden", OTHER_SIZE, ids=case_name)
def test_the_shift_is_found_from_the_pixels_of_the_original_at_any_size(net, golden):
    height, width = golden["size"]
    rgb = torch.from_numpy(pseudo_random.image(height, width))

    values = Moge(net, entry(golden), CPU, sha256="").infer(rgb, golden_camera(golden)).values

    assert values.shape == (96, 160)
    plain = Moge(net, entry(golden), CPU, sha256="")
    with torch.inference_mode():
        output, _, scale_m = net(plain._preprocess(rgb), width / height)
    shift = values / scale_m - net.remapped(output)[0, 2]
    assert float(shift.nanmedian()) == pytest.approx(golden["shift"], rel=1e-4)


def wall(shift):
    """Points of a slanted wall on a 4x4 grid of rays, taken nearer by `shift`; and the rays."""
    places = torch.linspace(-0.6, 0.6, 4)
    uv = torch.cartesian_prod(places, places)
    z = 2.0 + uv[:, :1] + 0.3 * uv[:, 1:]
    return torch.cat([uv * z / 0.8, z - shift], dim=1), uv


@pytest.mark.parametrize("shift", [0.0, 0.7, -3.0])
@pytest.mark.parametrize("focal", [0.8, None])
def test_points_of_a_camera_are_put_back_where_they_were(shift, focal):
    points, uv = wall(shift)

    found = shift_of(points, uv, torch.ones(16, dtype=torch.bool), focal)

    assert float(found) == pytest.approx(shift, abs=1e-5)


def test_points_that_are_not_valid_do_not_count():
    points, uv = wall(0.7)
    is_valid = torch.arange(16) != 5
    points[5] = torch.tensor([40.0, -3.0, 9.0])

    assert float(shift_of(points, uv, is_valid, 0.8)) == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("valid", [0, 1])
def test_too_few_points_are_left_where_they_are(valid):
    points, uv = wall(0.7)

    assert float(shift_of(points, uv, torch.arange(16) < valid, 0.8)) == 0.0


@pytest.mark.slow
def test_a_longer_lens_sees_the_same_image_farther_away(net):
    golden = SAME_SIZE[1]
    rgb = torch.from_numpy(pseudo_random.image(*golden["size"]))
    model = Moge(net, entry(golden), CPU, sha256="")
    near = golden_camera(golden)

    medians = [
        model.infer(rgb, replace(near, fx=factor * near.fx)).values.nanmedian()
        for factor in (1.0, 1.5)
    ]

    assert medians[1] > 1.2 * medians[0]


@pytest.mark.slow
def test_a_published_file_gives_the_same_bits_through_the_registry(tmp_path, weights, net):
    tensors = weights | {"normal_head.output_blocks.4.bias": torch.zeros(3)}
    torch.save({"model_config": CONFIG, "model": tensors}, tmp_path / "model.pt")
    registry = tmp_path / "mine.yaml"
    registry.write_text("models: {moge2_small: {weights: {file: model.pt}}}")
    rgb = torch.from_numpy(pseudo_random.image(48, 64))

    model = load_model("moge2_small", registry=registry, input_size=42)

    shipped = read_registry()["moge2_small"]
    small = replace(shipped, input=shipped.input.with_short_side(42))
    expected = Moge(net, small, CPU, sha256="").infer(rgb, None)
    assert expected.values.shape == (48, 64)
    assert torch.equal(model.infer(rgb, None).confidence, expected.confidence)


def test_the_variant_of_the_registry_must_be_that_of_the_file(tmp_path):
    torch.save({"model_config": CONFIG, "model": {"a": torch.zeros(1)}}, tmp_path / "model.pt")

    with pytest.raises(ModelError, match="has a small backbone, moge2_base wants base"):
        Moge.load(read_registry()["moge2_base"], tmp_path / "model.pt", CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale_head": None}, "scale_head is None, expected a list of dims"),
        ({"remap_output": "log"}, "remap_output 'log' is not one of linear, sinh, exp, sinh_exp"),
        ({"mask_head": None}, "mask_head is a NoneType, expected a mapping"),
        ({"encoder": {"backbone": 14}}, "backbone is 14, expected str"),
    ],
)
def test_a_configuration_of_an_unknown_network_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        MogeConfig.read({**CONFIG, **change}, "a file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("remap", "expected"),
    [
        ("linear", [1.0, -2.0, 0.5]),
        ("sinh", [math.sinh(1.0), math.sinh(-2.0), math.sinh(0.5)]),
        ("exp", [math.exp(0.5), -2.0 * math.exp(0.5), math.exp(0.5)]),
        ("sinh_exp", [math.sinh(1.0), math.sinh(-2.0), math.exp(0.5)]),
    ],
)
def test_each_way_from_output_to_points_is_that_of_the_original(remap, expected):
    with torch.device("meta"):
        built = MogeNet(MogeConfig.read({**CONFIG, "remap_output": remap}, "a file"))

    points = built.remapped(torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1))

    torch.testing.assert_close(points.flatten(), torch.tensor(expected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": OutputKind.DEPTH_AFFINE}, "kind depth_affine, not metric"),
        ({"input": None}, "has no `input`"),
        ({"input": InputSpec(width=64, height=64, multiple_of=32)}, "expected multiples of 14"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(tmp_path, weights, change, message):
    torch.save({"model_config": CONFIG, "model": weights}, tmp_path / "model.pt")

    with pytest.raises(ModelError, match=message):
        Moge.load(replace(entry(SAME_SIZE[0]), **change), tmp_path / "model.pt", CPU)
