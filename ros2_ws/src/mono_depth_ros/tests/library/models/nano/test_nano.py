"""The built-in network: shapes, focal rule, weights file, and what it has learned."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mono_depth.data import Intrinsics, OutputKind
from mono_depth.errors import FrameError, ModelError
from mono_depth.evaluation.measures.metrics import depth_scores
from mono_depth.evaluation.nano.baselines import learn_prior
from mono_depth.evaluation.nano.table import (
    evaluate,
    held_out_frames,
    markdown,
    mean_of_seeds,
    synthetic_prior,
)
from mono_depth.models.nano.model import (
    CANONICAL_FOCAL_PX,
    Nano,
    confidence,
    network_size,
    ray_channels,
)
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.nano.weights import load_net, read_record, save_weights
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.system.resources import share_dir

CPU = torch.device("cpu")
RGB = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (120, 160, 3), dtype=np.uint8))
CAMERA = Intrinsics(width=160, height=120, fx=140.0, fy=140.0, cx=79.5, cy=59.5)


@pytest.fixture(scope="module")
def shipped() -> Nano:
    return Nano.load(share_dir() / "models" / "nano.safetensors", CPU)


@pytest.fixture
def untrained() -> Nano:
    torch.manual_seed(0)
    return Nano(NanoNet(), CPU)


# ---- shapes


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(64, 32), (160, 96), (32, 64)])
def test_output_has_the_size_of_the_input(width, height):
    net = NanoNet().eval()
    with torch.inference_mode():
        output = net(torch.zeros(2, 3, height, width), torch.zeros(2, 2, height, width))
    assert output.shape == (2, 2, height, width)


@pytest.mark.slow
def test_the_network_stays_between_one_and_three_million_parameters():
    assert 1.0e6 < sum(p.numel() for p in NanoNet().parameters()) < 3.0e6


@pytest.mark.parametrize(
    ("image", "network"),
    [
        ((640, 480), (224, 160)),
        ((1280, 720), (224, 128)),
        ((480, 640), (160, 224)),
        ((500, 500), (192, 192)),
    ],
)
def test_network_size_keeps_aspect_and_area_in_multiples_of_32(image, network):
    assert network_size(Intrinsics.assumed(*image)) == network


@pytest.mark.parametrize(
    ("focal_px", "network"),
    [(300, (224, 160)), (690, (224, 160)), (720, (192, 128)), (3000, (192, 128))],
)
def test_through_a_long_lens_the_network_sees_the_image_smaller(focal_px, network):
    camera = replace(Intrinsics.assumed(640, 480), fx=focal_px, fy=focal_px)
    assert network_size(camera) == network


@pytest.mark.slow
def test_the_size_is_searched_for_once_for_each_camera(shipped):
    camera = replace(CAMERA, fx=CAMERA.fx + 0.125)
    before = network_size.cache_info().misses
    for _ in range(3):
        assert shipped.point_size(camera) == shipped.infer(RGB, camera).values.shape[::-1]
    assert network_size.cache_info().misses == before + 1


def test_folding_the_batch_norms_does_not_change_the_output():
    torch.manual_seed(0)
    net = NanoNet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    image, rays = torch.randn(1, 3, 64, 64), torch.randn(1, 2, 64, 64)
    with torch.inference_mode():
        before = net.eval()(image, rays)
        folded = Nano(net, CPU).net.module
        torch.testing.assert_close(folded(image, rays), before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


# ---- camera


def test_rays_point_along_the_pixels():
    rays = ray_channels(Intrinsics(width=3, height=2, fx=2.0, fy=4.0, cx=1.0, cy=0.0))
    assert rays[0].tolist() == [[-0.5, 0.0, 0.5], [-0.5, 0.0, 0.5]]
    assert rays[1].tolist() == [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]


@pytest.mark.slow
def test_twice_the_focal_length_is_twice_the_depth_for_the_same_network_output(untrained):
    with torch.no_grad():
        untrained.net.module.down[0][0].weight[:, 3:] = 0.0  # deaf to the rays
    near = untrained.infer(RGB, replace(CAMERA, fx=70.0, fy=70.0)).values
    far = untrained.infer(RGB, CAMERA).values
    torch.testing.assert_close(far, 2.0 * near)


@pytest.mark.slow
def test_depth_is_the_exponential_of_the_output_times_focal_over_canonical_focal(untrained):
    with torch.no_grad():
        untrained.net.module.head.weight.zero_()
        untrained.net.module.head.bias.copy_(torch.tensor([math.log(3.0)] * 4 + [0.0] * 4))
    # 160x120 is seen as 224x160: fx 140 -> 196, fy 140 -> 186.67
    expected = 3.0 * math.sqrt(196.0 * 140.0 * 160 / 120) / CANONICAL_FOCAL_PX
    values = untrained.infer(RGB, CAMERA).values
    torch.testing.assert_close(values, torch.full((160, 224), expected))


@pytest.mark.slow
def test_without_intrinsics_the_default_field_of_view_is_assumed(untrained):
    assumed = Intrinsics.assumed(160, 120)
    assert 2 * math.degrees(math.atan(80 / assumed.fx)) == pytest.approx(60.0)
    torch.testing.assert_close(
        untrained.infer(RGB, None).values, untrained.infer(RGB, assumed).values
    )


# ---- predictions


@pytest.mark.slow
@pytest.mark.parametrize("fill", [0, 255, None], ids=["black", "white", "noise"])
def test_depth_is_finite_and_positive_and_confidence_a_probability(shipped, fill):
    rgb = RGB if fill is None else torch.full_like(RGB, fill)
    prediction = shipped.infer(rgb, CAMERA)
    assert prediction.kind is OutputKind.METRIC_FOCAL
    assert prediction.values.dtype == torch.float32
    assert torch.isfinite(prediction.values).all()
    assert (prediction.values > 0).all()
    assert prediction.confidence.shape == prediction.values.shape
    assert ((prediction.confidence >= 0) & (prediction.confidence <= 1)).all()


def test_confidence_is_the_probability_of_an_error_below_a_quarter():
    sharp, even = torch.log(torch.tensor([math.log(1.25) / 3.0, math.log(1.25)]))
    assert float(confidence(sharp)) == pytest.approx(1 - math.exp(-3), abs=1e-4)
    assert float(confidence(even)) == pytest.approx(1 - math.exp(-1), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rgb", "reason"),
    [
        (torch.zeros(120, 160, 3), r"\(120, 160, 3\) torch.float32, expected \(H, W, 3\) uint8"),
        (torch.zeros(120, 160, dtype=torch.uint8), r"image \(120, 160\)"),
        (torch.zeros(20, 160, 3, dtype=torch.uint8), "160x20 pixels, expected 32 or more"),
        (torch.zeros(64, 64, 3, dtype=torch.uint8), "intrinsics of 160x120 pixels for .* 64x64"),
    ],
)
def test_images_that_cannot_be_used_are_refused(untrained, rgb, reason):
    with pytest.raises(FrameError, match=reason):
        untrained.infer(rgb, CAMERA)


# ---- weights file


@pytest.mark.slow
def test_weights_survive_the_way_through_a_file(tmp_path):
    torch.manual_seed(1)
    net = NanoNet()
    save_weights(net, tmp_path / "a.safetensors", {"seed": 1, "images_seen": 5})
    first = Nano.load(tmp_path / "a.safetensors", CPU).infer(RGB, CAMERA).values
    torch.testing.assert_close(first, Nano(net, CPU).infer(RGB, CAMERA).values, rtol=0.02, atol=0.0)
    assert read_record(tmp_path / "a.safetensors") == {"seed": 1, "images_seen": 5}


@pytest.mark.slow
def test_large_statistics_of_a_norm_survive_the_file(tmp_path):
    net = NanoNet()
    net.hints.up[3].spatial[1].running_var.fill_(1e6)
    save_weights(net, tmp_path / "a.safetensors", {})
    assert (load_net(tmp_path / "a.safetensors").hints.up[3].spatial[1].running_var == 1e6).all()


def _rewritten(path, change, weights_format="mono_depth nano 3"):
    save_weights(NanoNet(), path, {})
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": weights_format, "training": "{}"})
    return path


def _forget_hints(tensors):
    for name in [name for name in tensors if name.startswith("hints.")]:
        del tensors[name]


@pytest.mark.slow
def test_weights_that_know_no_hints_are_still_of_use(tmp_path):
    path = _rewritten(tmp_path / "old.safetensors", _forget_hints, "mono_depth nano 1")

    old = Nano.load(path, CPU)
    to_train = load_net(path)

    torch.testing.assert_close(
        Nano(to_train, CPU).infer(RGB, CAMERA).values, old.infer(RGB, CAMERA).values
    )


@pytest.mark.slow
def test_weights_that_lack_the_hints_they_promise_are_refused(tmp_path):
    path = _rewritten(tmp_path / "half.safetensors", _forget_hints)
    with pytest.raises(ModelError, match=r"missing: hints\.down\.0\.0\.weight"):
        Nano.load(path, CPU)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("head.bias"), "1 missing: head.bias"),
        (lambda tensors: tensors.update(tail=torch.ones(1)), "1 unexpected: tail"),
        (
            lambda tensors: tensors.update({"head.bias": torch.ones(3)}),
            r"1 misshaped: head.bias \(3,\) instead of \(8,\)",
        ),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_weights_of_another_network_are_refused_by_name_of_the_tensor(tmp_path, change, reason):
    path = _rewritten(tmp_path / "bad.safetensors", change)
    with pytest.raises(ModelError, match=reason):
        Nano.load(path, CPU)


def test_files_that_are_not_its_weights_are_refused(tmp_path):
    with pytest.raises(
        ModelError, match=r"cannot read the weights .*none\.safetensors: No such file"
    ):
        Nano.load(tmp_path / "none.safetensors", CPU)
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(ModelError, match="is not a file of weights: it is text"):
        Nano.load(tmp_path / "text.safetensors", CPU)
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="format 'none', expected 'mono_depth nano 3' or"):
        Nano.load(tmp_path / "other.safetensors", CPU)


def test_a_wrong_checksum_is_refused(tmp_path):
    save_weights(NanoNet(), tmp_path / "a.safetensors", {})
    with pytest.raises(ModelError, match=r"has sha256 \w+, but the registry expects 0123"):
        Nano.load(tmp_path / "a.safetensors", CPU, sha256="0123")


# ---- what it has learned


def test_the_row_prior_repeats_the_depth_of_the_rows_it_learned():
    depth_m = np.repeat(np.geomspace(8.0, 1.0, 48, dtype=np.float32)[:, None], 64, axis=1)
    camera = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
    prior = learn_prior([(depth_m, camera)])
    np.testing.assert_allclose(prior.rows(camera), depth_m, rtol=0.05)
    wider = replace(camera, fx=30.0, fy=30.0)
    np.testing.assert_allclose(prior.rows(wider) * 2, prior.rows(camera), rtol=1e-5)


@pytest.mark.slow
def test_the_shipped_weights_beat_constant_and_row_prior_on_an_unseen_recording(shipped):
    frames = list(held_out_frames("room", "robot", count=3))
    prior = synthetic_prior(20)
    nano, rows, constant = [], [], []
    for frame in frames:
        values = shipped.infer(torch.from_numpy(frame.rgb), frame.intrinsics).values
        up = torch.nn.functional.interpolate(values[None, None], frame.depth_m.shape)[0, 0]
        nano.append(depth_scores(up.numpy(), frame.depth_m, align_median=True).abs_rel)
        for guesses, guess in ((rows, prior.rows), (constant, prior.constant)):
            depth_m = guess(frame.intrinsics)
            guesses.append(depth_scores(depth_m, frame.depth_m, align_median=True).abs_rel)
    assert np.mean(nano) < 0.7 * np.mean(constant)
    assert np.mean(nano) < np.mean(rows)


def all_runs(record):
    for run in record.get("average_of", [record]):
        yield run
        if run.get("started_from"):
            yield from all_runs(run["started_from"])


def test_the_shipped_weights_tell_how_they_were_made_and_stay_small():
    path = share_dir() / "models" / "nano.safetensors"
    record = read_record(path)
    assert path.stat().st_size < 10e6
    runs = list(all_runs(record))
    assert {run["part"] for run in runs} == {"image", "hints"}
    for run in runs:
        assert run["images_seen"] == run["steps_done"] * run["trainers"] * run["batch_size"]


def test_the_table_scores_each_predictor_raw_and_aligned():
    rgb = np.zeros((48, 64, 3), np.uint8)
    wall_m = np.full((48, 64), 2.0, np.float32)
    frame = SequenceFrame(rgb=rgb, depth_m=wall_m, intrinsics=CAMERA, stamp_ns=0)
    predictors = {
        "right": lambda _: np.full((6, 8), 2.0, np.float32),
        "twice": lambda _: np.full((6, 8), 4.0, np.float32),
    }
    lines = markdown(evaluate("a wall", [frame], predictors, max_depth_m=10.0)).splitlines()
    assert lines[2] == "| a wall (1) | right | 0.000 | 1.000 | 0.000 | 1.000 | - | - |"
    assert lines[3] == "| a wall (1) | twice | 0.000 | 1.000 | 1.000 | 0.000 | - | - |"


def test_the_table_has_the_mean_of_several_seeds():
    frame = SequenceFrame(
        rgb=np.zeros((48, 64, 3), np.uint8),
        depth_m=np.full((48, 64), 2.0, np.float32),
        intrinsics=CAMERA,
        stamp_ns=0,
    )
    predictors = {
        "FastDepth": lambda _: np.full((6, 8), 9.0, np.float32),
        "nano a": lambda _: np.full((6, 8), 4.0, np.float32),
        "nano b": lambda _: np.full((6, 8), 3.0, np.float32),
    }
    (mean,) = mean_of_seeds(evaluate("a wall", [frame], predictors, max_depth_m=10.0))
    assert mean.predictor == "mean of 2 nanos"
    assert mean.raw.abs_rel == pytest.approx(0.75)
