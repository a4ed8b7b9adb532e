"""Real frames in training, the losses that bear their errors, and `mono-depth train`."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mono_depth.commands import join_weights, train
from mono_depth.commands.main import main
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.models.backbones.efficientnet_lite import EfficientNetLite
from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.nano.weights import load_net, read_net, read_record, save_weights
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame
from mono_depth.training.config import TrainingConfig
from mono_depth.training.finetune import Figures, split_recordings
from mono_depth.training.losses import depth_losses, glass_loss
from mono_depth.training.pool import Example, ExamplePool, Examples
from mono_depth.training.real import as_example, read_real_frames
from mono_depth.training.trainer import Trainer, make_batch
from published_encoder import published

CPU = torch.device("cpu")
CAMERA = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
SMALL = TrainingConfig(
    batch_size=4, real_share=0.5, part="image", encoder=0, early_view_size=(32, 32), steps=2
)


def place(folder: Path, name: str, count: int, size: tuple[int, int] = (64, 48)) -> None:
    """Write frames of a place as `rgbd_real` has them; the last one has no depth."""
    (folder / name).mkdir(parents=True)
    width, height = size
    lines = ["file,fx,fy,cx,cy,stamp,pose"]
    for index in range(count):
        depth_mm = np.full((height, width), 1500, np.uint16)
        depth_mm[:8] = 0
        if index == count - 1:
            depth_mm[:] = 0
        cv2.imwrite(str(folder / name / f"{index:05d}.png"), depth_mm)
        grey = np.full((height, width, 3), 9 * index, np.uint8)
        cv2.imwrite(str(folder / name / f"{index:05d}.jpg"), grey)
        lines.append(f"{index:05d},60.0,60.0,{(width - 1) / 2},{(height - 1) / 2},0,")
    (folder / name / "frames.csv").write_text("\n".join(lines))


# ---- real frames


def test_places_that_are_held_out_are_not_learned_from(tmp_path):
    place(tmp_path, "a/hall", 3)
    place(tmp_path, "b/desk", 4, (384, 288))
    learned, apart = read_real_frames(tmp_path, ("b/desk",))
    assert learned.places == ["a/hall"]
    assert {frame.place for frame in apart} == {"b/desk"}
    assert (len(learned.frames), len(apart)) == (2, 3)  # a frame without depth teaches nothing
    large = apart[0].example
    assert large.depth_m.shape == (1, 240, 320)
    assert large.camera[0].tolist() == pytest.approx([50.0, 50.0, 159.5, 119.5], abs=0.01)


def test_a_place_that_is_not_there_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no real frames with depth"):
        read_real_frames(tmp_path)
    place(tmp_path, "a/hall", 3)
    with pytest.raises(ConfigError, match=r"has no place a/attic; it has \['a/hall'\]"):
        read_real_frames(tmp_path, ("a/attic",))


def test_a_place_with_many_frames_does_not_crowd_out_the_others(tmp_path):
    place(tmp_path, "a/hall", 26)
    place(tmp_path, "b/desk", 2)
    learned, _ = read_real_frames(tmp_path)
    drawn = learned._chances[[frame.place == "b/desk" for frame in learned.frames]].sum()
    assert drawn == pytest.approx(1.0 / 6.0)


def example(depth_m: float = 2.0) -> Examples:
    rgb = np.full((48, 64, 3), 90, np.uint8)
    found = as_example(rgb, np.full((48, 64), depth_m, np.float32), CAMERA)
    assert found is not None
    return found


def test_real_images_follow_the_rendered_ones_and_tell_no_ground_and_no_glass():
    rendered = Examples(
        **{name: torch.cat([column] * 2) for name, column in vars(example(4.0)).items()}
    )
    config = replace(SMALL, pair_share=0.0)
    batch = make_batch(rendered, config, np.random.default_rng(0), 0.0, [example()] * 2)
    assert batch.is_real.tolist() == [False, False, True, True]
    assert batch.glass[2:].isnan().all()
    assert batch.glass[:2].isfinite().any()
    assert batch.ground.isnan().all()
    assert batch.image.shape == (4, 3, 32, 32)


def test_a_share_that_leaves_no_room_for_rendered_images_is_refused():
    with pytest.raises(ConfigError, match=r"real share 0\.9, expected 0 to 0\.75"):
        TrainingConfig(real_share=0.9)


@pytest.mark.slow
def test_the_command_begins_with_a_published_encoder_and_mixes_in_real_frames(tmp_path):
    place(tmp_path / "real", "a/hall", 3)
    place(tmp_path / "real", "b/desk", 3)
    encoder = EfficientNetLite(0)
    torch.save(published(encoder, 0), tmp_path / "lite0.pth")
    pool = ExamplePool(tmp_path / "pool", 4, TrainingConfig.render_size)
    for number in range(4):
        pool.add(number, Example(
            rgb=np.full((180, 240, 3), 90, np.uint8),
            depth_m=np.full((180, 240), 2.0, np.float32),
            intrinsics=Intrinsics(width=240, height=180, fx=200, fy=200, cx=119.5, cy=89.5),
            T_odom_camera=np.eye(4),
            glassy=np.zeros((180, 240), bool),
        ))  # fmt: skip
    out = tmp_path / "lite.safetensors"
    handler = signal.getsignal(signal.SIGTERM)
    try:
        train.main([
            "--out", str(out), "--encoder", str(tmp_path / "lite0.pth"), "--frozen-stages", "2",
            "--real", str(tmp_path / "real"), "--real-share", "0.5", "--held-out", "b/desk",
            "--part", "image", "--steps", "1", "--batch", "2", "--early-fraction", "1",
            "--renderers", "0", "--pool", str(tmp_path / "pool"), "--pool-capacity", "4",
            "--pool-minimum", "4",
        ])  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, handler)
    record = read_record(out)
    assert record["real_places"] == ["a/hall"]
    assert len(record["encoder_sha256"]) == 64
    net, _ = read_net(out)
    first = net.state_dict()["encoder.blocks.0.0.conv_dw.weight"]
    assert torch.equal(first, encoder.state_dict()["blocks.0.0.conv_dw.weight"].half().float())


def test_a_start_that_has_an_encoder_is_not_given_another(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main(["--out", "a", "--start", "b", "--encoder", "c"])
    assert "give it or --encoder, not both" in capsys.readouterr().err


# ---- losses


def test_the_worst_pixels_of_a_sensor_teach_nothing():
    target = torch.zeros(2, 10, 10)
    target[:, 0, :4] = 3.0  # a hole that was filled with what is far behind
    losses = {
        measured: depth_losses(
            torch.zeros(2, 10, 10),
            torch.zeros(2, 10, 10),
            target,
            torch.full((2,), 4.0),
            is_measured=torch.full((2,), measured),
        )
        for measured in (False, True)
    }
    assert float(losses[True].shape) < 0.6 * float(losses[False].shape)
    assert float(losses[True].edge) < float(losses[False].edge)


def test_a_thing_counts_by_its_edges_not_by_its_pixels():
    target = torch.ones(1, 32, 32)
    target[:, 10:14, 10:14] = 0.5
    flat, sky = torch.ones(1, 32, 32), torch.full((1,), 4.0)
    missed = depth_losses(flat, torch.zeros(1, 32, 32), target, sky)
    shown = depth_losses(target, torch.zeros(1, 32, 32), target, sky)
    assert float(shown.edge) == pytest.approx(0.0, abs=1e-6)
    assert float(missed.edge) > 0.4 * 0.5  # of its step; at the widest strides it is not met
    assert float(missed.shape) < 0.02


def test_glass_is_learned_where_somebody_says_what_it_is():
    logit = torch.tensor([[[8.0, -8.0, 8.0, 8.0]]])
    glass = torch.tensor([[[1.0, 0.0, math.nan, math.nan]]])
    assert float(glass_loss(logit, glass)) == pytest.approx(0.0, abs=1e-3)
    assert float(glass_loss(-logit, glass)) == pytest.approx(8.0, abs=1e-2)


@pytest.mark.slow
def test_the_encoder_learns_at_its_own_rate_and_its_norms_not_at_all():
    rendered = Examples(
        **{name: torch.cat([column] * 2) for name, column in vars(example(4.0)).items()}
    )
    config = replace(SMALL, pair_share=0.0, frozen_stages=2)
    trainer = Trainer(config, start=NanoLiteNet(0))
    before = {name: value.clone() for name, value in trainer._net.state_dict().items()}
    batch = make_batch(rendered, config, np.random.default_rng(0), 0.0, [example()] * 2)
    losses = trainer.step(batch, 0.5)
    assert all(torch.isfinite(value) for value in losses.values())
    after = trainer._net.state_dict()
    moved = {
        name: float((after[name] - value).abs().max())
        for name, value in before.items()
        if value.is_floating_point() and not torch.equal(after[name], value)
    }
    assert not any(name.startswith("encoder.") and ".bn" in name for name in moved)
    assert not any(name.startswith(("encoder.blocks.0", "encoder.blocks.1")) for name in moved)
    assert {"encoder.blocks.2.0.conv_pw.weight", "head.weight"} < set(moved)
    # the first step of Adam is about the rate, for every weight
    assert moved["head.weight"] == pytest.approx(0.5 * SMALL.learning_rate, rel=0.1)
    encoder = [change for name, change in moved.items() if name.startswith("encoder.")]
    assert max(encoder) < 0.06 * SMALL.learning_rate


# ---- joined files


@pytest.mark.slow
def test_two_networks_of_two_files_become_one_file_with_both_records(tmp_path):
    image, hints, out = (tmp_path / f"{name}.safetensors" for name in ("i", "h", "out"))
    save_weights(NanoLiteNet(0, has_hints=False), image, {"seed": 1})
    second = NanoNet()
    torch.nn.init.constant_(second.hints.head.bias, 0.5)
    save_weights(second, hints, {"seed": 2})

    join_weights.main([str(out), str(image), str(hints)])

    net, _ = read_net(out)
    assert isinstance(net, NanoLiteNet)
    assert torch.all(net.hints.head.bias == 0.5)
    first = read_net(image)[0].state_dict()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in first.items())
    assert read_record(out) == {"image": {"seed": 1}, "hints": {"seed": 2}}
    with pytest.raises(ConfigError, match=r"i\.safetensors knows no hints"):
        join_weights.main([str(out), str(hints), str(image)])


# ---- mono-depth train


def sequence(count: int, shade: float = 0.0) -> FrameSequence:
    depth_m = np.repeat(np.geomspace(6.0, 1.0, 48, dtype=np.float32)[:, None], 64, axis=1)
    grey = (255.0 / depth_m).astype(np.uint8)

    def load(index: int) -> SequenceFrame:
        return SequenceFrame(
            rgb=np.dstack([grey] * 3),
            depth_m=depth_m + shade * index,
            intrinsics=CAMERA,
            stamp_ns=index,
        )

    return FrameSequence(name="slope", indices=range(count), load=load)


def test_the_end_of_a_recording_is_held_out_with_a_gap_before_it():
    split = split_recordings([sequence(20)])
    assert [frame.stamp_ns for frame in split.held_out] == [16, 17, 18, 19]
    assert len(split.learned.frames) == 15
    with pytest.raises(ConfigError, match="slope has 5 frames with depth, expected 8 or more"):
        split_recordings([sequence(5)])


@pytest.mark.parametrize("name", ["abs_rel", "raw_abs_rel", "delta1", "obstacles_found"])
def test_whatever_is_worse_is_named(name):
    before = Figures(abs_rel=0.2, raw_abs_rel=0.5, delta1=0.7, obstacles_found=0.5)
    for value in (before.__dict__[name] + (0.1 if "abs" in name else -0.1), math.nan):
        (worse,) = replace(before, **{name: value}).worse_than(before)
        assert worse.startswith(name)
    assert before.worse_than(before) == []
    nothing_there = replace(before, obstacles_found=math.nan)
    assert nothing_there.worse_than(nothing_there) == []


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    for name in ("rgb", "depth"):
        (folder / name).mkdir()
    (folder / "intrinsics.json").write_text('{"fx": 60, "fy": 60, "cx": 31.5, "cy": 23.5}')
    for index, frame in enumerate(sequence(10)):
        cv2.imwrite(str(folder / "rgb" / f"{index:03d}.png"), frame.rgb)
        np.save(folder / "depth" / f"{index:03d}.npy", frame.depth_m)
    return folder


@pytest.mark.acceptance
def test_the_command_writes_weights_that_are_better_and_refuses_worse_ones(
    recording, tmp_path, monkeypatch, capsys
):
    from mono_depth.training import finetune

    monkeypatch.setattr(finetune, "_RENDERED_IMAGES", 4)
    torch.manual_seed(0)
    start, out = tmp_path / "start.safetensors", tmp_path / "new.safetensors"
    save_weights(NanoNet(), start, {"seed": 5})
    given = ["train", "--from", str(recording), "--start", str(start), "--out", str(out)]
    given += ["--batch", "2"]

    assert main([*given, "--steps", "6"]) == 0
    assert "abs_rel" in capsys.readouterr().out
    old, new = load_net(start).state_dict(), load_net(out).state_dict()
    changed = {name for name in old if not torch.equal(old[name].half(), new[name].half())}
    assert changed
    assert not any(name.startswith("hints.") or "running" in name for name in changed)

    out.unlink()
    monkeypatch.setattr(finetune, "_LEARNING_RATE", 0.5)
    assert main([*given, "--steps", "2"]) == 1
    assert "not written, for it is worse" in capsys.readouterr().err
    assert not out.exists()
