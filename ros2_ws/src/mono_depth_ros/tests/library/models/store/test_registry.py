from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mono_depth.data import OutputKind
from mono_depth.errors import ConfigError, ModelError
from mono_depth.models.families.depth_anything import DepthAnythingNet
from mono_depth.models.families.midas import MidasNet
from mono_depth.models.families.midas_dpt import DPT_CONFIGS, MidasDptNet
from mono_depth.models.family_table import FAMILIES
from mono_depth.models.loading import load_model, usable_files
from mono_depth.models.store.registry import WeightsSource, read_registry, with_short_side

OWN = """
models:
  mine:
    family: onnx
    kind: metric
    description: a model of my own
    licence: MIT
    commercial: true
    weights: {file: mine.onnx}
    input: {width: 64, height: 48}
"""


def put(entry_name: str, folder: Path) -> Path:
    """Put an empty file where the weights of an entry belong."""
    entry = read_registry()[entry_name]
    path = entry.path_of(entry.weights[0], folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def extra(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return path

    return write


def test_every_shipped_entry_can_be_run_and_says_its_licence():
    for entry in read_registry().values():
        assert entry.family in FAMILIES
        assert entry.licence
        assert entry.description.endswith(".")


def test_the_hashes_of_shipped_downloads_are_whole_and_no_two_files_share_one():
    sources = [source for entry in read_registry().values() for source in entry.weights]
    hashes = [source.sha256 for source in sources if source.is_download and source.sha256]

    assert len(set(hashes)) == len(hashes) >= 13
    assert all(len(sha256) == 64 for sha256 in hashes)


def test_the_shipped_kinds_licences_and_ranges_are_those_of_the_publishers():
    registry = read_registry()
    facts = {
        name: (entry.kind.value, entry.commercial, entry.max_depth_m)
        for name, entry in registry.items()
        if name.startswith("depth_anything_v2_")
    }

    assert facts == {
        "depth_anything_v2_small": ("inverse_affine", True, None),
        "depth_anything_v2_base": ("inverse_affine", False, None),
        "depth_anything_v2_large": ("inverse_affine", False, None),
        "depth_anything_v2_metric_indoor_small": ("metric", None, 20.0),
        "depth_anything_v2_metric_indoor_base": ("metric", False, 20.0),
        "depth_anything_v2_metric_indoor_large": ("metric", False, 20.0),
        "depth_anything_v2_metric_outdoor_small": ("metric", None, 80.0),
        "depth_anything_v2_metric_outdoor_base": ("metric", False, 80.0),
        "depth_anything_v2_metric_outdoor_large": ("metric", False, 80.0),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("depth_anything_v2_small", lambda: DepthAnythingNet("small", None)),
        ("depth_anything_v1_large", lambda: DepthAnythingNet("large", None, is_v1=True)),
        ("midas_v21_small", lambda: MidasNet("small")),
        ("dpt_hybrid", lambda: MidasDptNet(DPT_CONFIGS["hybrid"])),
    ],
)
def test_size_and_work_are_those_of_the_network(name, make):
    entry = read_registry()[name]
    width, height = entry.input.size_for(640, 480)
    with torch.device("meta"):
        net, image = make().eval().requires_grad_(False), torch.empty(1, 3, height, width)
    floats = [value for value in net.state_dict().values() if value.is_floating_point()]

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(image)

    assert sum(value.numel() for value in floats) / 1e6 == pytest.approx(
        entry.parameters_m, abs=0.06
    )
    assert counter.get_total_flops() / 1e9 == pytest.approx(entry.gflop, rel=0.01)


def test_every_shipped_model_says_how_much_work_it_is():
    speeds = {name: entry.speed for name, entry in read_registry().items()}

    assert speeds["nano"] == speeds["midas_v21_small"] == "fast"
    assert speeds["depth_anything_v2_small"] == "medium"
    assert speeds["depth_anything_v2_large"] == "slow"
    assert set(speeds.values()) == {"fast", "medium", "slow"}


def test_the_registry_and_the_code_agree_about_nano():
    from mono_depth.models.nano.model import Nano

    entry = read_registry()["nano"]

    assert entry.kind is Nano.kind
    assert Path(entry.weights[0].file).parts[-2:] == ("models", "nano.safetensors")


def test_pulled_weights_lie_in_a_folder_of_their_model(tmp_path):
    entry = read_registry()["depth_anything_v2_small"]

    path = entry.path_of(entry.weights[0], tmp_path)

    assert path == tmp_path / "depth_anything_v2_small" / "depth_anything_v2_vits.pth"


def test_weights_that_a_person_must_get_belong_there_too_and_their_page_is_named(tmp_path):
    path = tmp_path / "leres_resnet50" / "res50.pth"

    with pytest.raises(ModelError, match=f"no weights at {path}; put there the file from https:"):
        load_model("leres_resnet50", weights_folder=tmp_path, allow_noncommercial=True)


def test_a_hub_path_cannot_leave_the_folder_of_weights(tmp_path):
    entry = read_registry()["depth_anything_v2_small"]
    source = WeightsSource(hub="a/b", file="../../../etc/net.pth")

    assert entry.path_of(source, tmp_path) == tmp_path / entry.name / "net.pth"


def test_own_entries_are_added_with_paths_relative_to_their_file(extra, tmp_path):
    registry = read_registry(extra(OWN))

    assert registry["mine"].weights[0].file == str(tmp_path / "mine.onnx")
    assert registry["mine"].kind is OutputKind.METRIC
    assert "nano" in registry


def test_an_absolute_path_stays_as_it_is(extra):
    registry = read_registry(extra(OWN.replace("mine.onnx", "/opt/models/mine.onnx")))

    assert registry["mine"].weights[0].file == "/opt/models/mine.onnx"


def test_an_own_entry_replaces_only_the_keys_that_it_gives(extra, tmp_path):
    text = "models: {depth_anything_v2_small: {weights: {file: da.pth}}}"

    entry = read_registry(extra(text))["depth_anything_v2_small"]

    assert entry.weights == (WeightsSource(file=str(tmp_path / "da.pth")),)
    assert entry.input == read_registry()["depth_anything_v2_small"].input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "is not YAML"),
        ("- nano", "has no `models:`"),
        ("models: {A B: {}}", "'A B' is no model name"),
        ("models: {auto: {}}", "'auto' is no model name"),
        ("models: {mine: 3}", "model mine is not a mapping"),
        ("models: {mine: {family: onnx}}", "mine lacks kind, description, licence, commercial"),
        (OWN.replace("metric", "meters"), "kind 'meters' is not one of metric, metric_focal"),
        (OWN.replace("true", "maybe"), "commercial is 'maybe', not true, false or unknown"),
        (OWN.replace("licence", "license"), "unknown key 'license', did you mean licence"),
        (OWN.replace("description: a model of my own", "description: 3"), "description is 3"),
        (OWN + "    auto_rank: high\n", "auto_rank is 'high', expected int"),
        (OWN + "    max_depth_m: true\n", "max_depth_m is True, expected float"),
        (OWN + "    scale_sigma_rel: 0.0\n", "scale_sigma_rel is 0.0, not a deviation above 0"),
        (OWN.replace("{file: mine.onnx}", "mine.onnx"), "weights need at least `file`"),
        (OWN.replace("{file: mine.onnx}", "[]"), "mine lists no weights"),
        (OWN.replace("mine.onnx}", "mine.onnx, sha256: abc}"), "sha256 'abc' is not 64 digits"),
        (OWN.replace("mine.onnx}", "m.onnx, hub: a/b, url: c}"), "have both hub and url"),
        (OWN.replace("width: 64", "widht: 64"), "unknown key 'widht', did you mean width"),
        (OWN.replace("width: 64, ", ""), "mine: .*missing 1 required .*'width'"),
        (OWN.replace("height: 48", "height: 48, mean: 0.5"), "mean is 0.5, not a list of 3"),
        (OWN.replace("height: 48", "height: 48, rule: crop"), "input rule 'crop' is not one of"),
    ],
)
def test_a_wrong_entry_is_refused_with_what_was_expected(extra, text, message):
    with pytest.raises(ConfigError, match=message):
        read_registry(extra(text))


def test_a_missing_registry_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml: No such file"):
        read_registry(tmp_path / "none.yaml")


def test_an_unknown_name_lists_close_ones():
    with pytest.raises(ModelError, match="did you mean depth_anything_v2_small or"):
        load_model("depth_anything_small")


def test_an_unknown_family_is_refused(extra):
    with pytest.raises(ModelError, match="mine: family 'oracle' is not one of nano, onnx"):
        load_model("mine", registry=extra(OWN.replace("onnx\n", "oracle\n")))


def test_missing_weights_name_the_path_and_the_command_that_gets_them(tmp_path):
    with pytest.raises(ModelError) as caught:
        load_model("depth_anything_v2_small", weights_folder=tmp_path)

    path = tmp_path / "depth_anything_v2_small" / "depth_anything_v2_vits.pth"
    assert str(caught.value) == (
        f"depth_anything_v2_small: no weights at {path}; "
        "get them with: mono-depth models pull depth_anything_v2_small"
    )


def test_missing_weights_of_an_own_entry_name_its_file(extra, tmp_path):
    with pytest.raises(ModelError, match=r"no weights at .*mine\.onnx; the registry entry names"):
        load_model("mine", registry=extra(OWN))


def test_noncommercial_weights_are_refused_with_the_way_to_allow_them(tmp_path):
    name = "depth_anything_v2_large"
    put(name, tmp_path)

    with pytest.raises(ModelError, match=r"CC-BY-NC-4\.0, which forbids.* allow_noncommercial"):
        load_model(name, weights_folder=tmp_path)
    with pytest.raises(ModelError, match="0 bytes"):  # past the licence, at the empty file
        load_model(name, weights_folder=tmp_path, allow_noncommercial=True)


def test_an_unclear_licence_is_pointed_out(tmp_path, caplog):
    name = "depth_anything_v2_metric_indoor_small"
    put(name, tmp_path)

    with pytest.raises(ModelError, match="0 bytes"):
        load_model(name, weights_folder=tmp_path)

    assert "not clear whether the weights of depth_anything_v2_metric_indoor_small" in caplog.text


@pytest.mark.parametrize(
    ("here", "allow_noncommercial", "chosen"),
    [
        ([], False, "nano"),
        (["small"], False, "depth_anything_v2_small"),
        (["small", "large"], False, "depth_anything_v2_small"),
        (["small", "large"], True, "depth_anything_v2_large"),
        (["base"], False, "nano"),
        (["metric_indoor_small"], True, "nano"),
    ],
)
def test_auto_takes_the_best_that_is_here_and_allowed(tmp_path, here, allow_noncommercial, chosen):
    for variant in here:
        put(f"depth_anything_v2_{variant}", tmp_path)

    found = usable_files(read_registry(), tmp_path, allow_noncommercial=allow_noncommercial)
    entry = next(found)[0]

    assert entry.name == chosen


def test_an_own_entry_can_be_the_first_choice_of_auto(extra, tmp_path):
    (tmp_path / "mine.onnx").touch()
    registry = read_registry(extra(OWN + "    auto_rank: 1\n"))

    assert next(usable_files(registry, tmp_path, allow_noncommercial=False))[0].name == "mine"


def test_the_input_size_changes_the_short_side_of_the_input():
    entry = read_registry()["depth_anything_v2_small"]

    assert with_short_side(entry, 252).input.size_for(640, 480) == (336, 252)
    assert with_short_side(entry, None) is entry
    assert with_short_side(entry, 0) is entry


def test_an_input_size_that_cannot_be_is_refused():
    registry = read_registry()

    with pytest.raises(ModelError, match=r"input_size 7 does not suit .* multiples of 14"):
        with_short_side(registry["depth_anything_v2_small"], 7)
    with pytest.raises(ModelError, match="input size of nano is fixed"):
        with_short_side(registry["nano"], 128)


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "'gpu' is not a device such as cpu"), ("cuda:99", "torch sees .* CUDA devices")],
)
def test_a_device_that_is_not_there_is_refused(extra, tmp_path, device, message):
    (tmp_path / "mine.onnx").touch()

    with pytest.raises(ModelError, match=message):
        load_model("mine", registry=extra(OWN), device=device)


def test_an_unverified_file_is_pointed_out(extra, tmp_path, caplog):
    (tmp_path / "mine.onnx").touch()

    with pytest.raises(ModelError, match="0 bytes"):
        load_model("mine", registry=extra(OWN), device=torch.device("cpu"))

    assert "knows no sha256 of" in caplog.text
