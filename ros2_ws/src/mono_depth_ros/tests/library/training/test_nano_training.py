"""Training of the built-in network: views, looks, hints, losses, pool, and runs that go on."""

import json
import math
import signal
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mono_depth.commands.train import main
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.models.nano.model import CANONICAL_FOCAL_PX
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.nano.weights import load_net, read_net, read_record, save_weights
from mono_depth.synthetic.dataset import training_pairs
from mono_depth.training.average import average
from mono_depth.training.config import HintShares, TrainingConfig
from mono_depth.training.hints import (
    random_ground,
    random_known,
    random_mistake,
)
from mono_depth.training.look import _jpeg, _shade, random_look
from mono_depth.training.losses import depth_losses, ground_loss
from mono_depth.training.nano import TrainingRun, train
from mono_depth.training.pool import Example, ExamplePool, Examples, render_synthetic
from mono_depth.training.source import ExampleSource
from mono_depth.training.team import Team, lead
from mono_depth.training.trainer import Trainer, make_batch
from mono_depth.training.views import Matches, Views, match_pairs, random_views

CPU = torch.device("cpu")
CAMERA = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
NAN = math.nan
LEVEL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 0.0, 1.0]]
)  # looks ahead from 1.5 m up


def slope() -> Example:
    """A plane whose brightness is its nearness, so there is something to learn."""
    depth_m = np.repeat(np.geomspace(8.0, 1.0, 48, dtype=np.float32)[:, None], 64, axis=1)
    grey = (255.0 / depth_m).astype(np.uint8)
    return Example(
        rgb=np.dstack([grey] * 3),
        depth_m=depth_m,
        intrinsics=CAMERA,
        T_odom_camera=LEVEL,
        glassy=np.zeros((48, 64), bool),
    )


def taken(examples: list[Example], folder: Path) -> Examples:
    height, width = examples[0].depth_m.shape
    pool = ExamplePool(folder, 4 * math.ceil(len(examples) / 4), (width, height))
    for number, example in enumerate(examples):
        pool.add(number, example)
    return pool.take(np.arange(len(examples)), CPU)


@pytest.fixture(autouse=True)
def _without_curves(request, monkeypatch):
    """To draw takes longer than the few steps of a run here; one test looks at the curves."""
    if "its_curves" not in request.node.name:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


@pytest.fixture(scope="module")
def pairs() -> list[Example]:
    """Two pairs of rendered views."""
    return render_synthetic(5, 96, 72)


# ---- pool


def test_an_example_comes_back_from_the_pool_as_it_went_in(tmp_path):
    example = slope()
    got = taken([example], tmp_path)
    assert torch.equal(got.rgb[0], torch.from_numpy(example.rgb))
    torch.testing.assert_close(
        got.depth_m[0], torch.from_numpy(example.depth_m), rtol=1e-3, atol=0.0
    )
    assert got.camera[0].tolist() == [60.0, 60.0, 31.5, 23.5]
    torch.testing.assert_close(got.T_odom_camera[0], torch.from_numpy(LEVEL).float())


def test_the_pool_forgets_its_oldest_examples(tmp_path):
    pool = ExamplePool(tmp_path, 4, (64, 48))
    assert pool.numbers().tolist() == [-1, -1, -1, -1]
    for number in range(6):
        pool.add(number, slope())
    assert pool.numbers().tolist() == [4, 5, 2, 3]


def test_another_process_sees_what_is_in_the_pool(tmp_path):
    ExamplePool(tmp_path, 4, (64, 48)).add(2, slope())
    assert ExamplePool(tmp_path, 4, (64, 48)).numbers().tolist() == [-1, -1, 2, -1]


def test_a_pool_of_another_size_is_refused(tmp_path):
    ExamplePool(tmp_path, 4, (64, 48))
    with pytest.raises(ConfigError, match=r"rgb\.u8 has 36864 bytes, expected 73728"):
        ExamplePool(tmp_path, 8, (64, 48))
    with pytest.raises(ConfigError, match="a pool of 6 examples, expected a multiple of 4"):
        ExamplePool(tmp_path, 6, (64, 48))


def test_examples_kept_on_the_device_are_those_of_the_files(tmp_path):
    pool = ExamplePool(tmp_path, 8, (64, 48))
    for number in range(8):
        pool.add(number, replace(slope(), rgb=np.full((48, 64, 3), number, np.uint8)))
    drawn = []
    for keeps in (False, True):
        source = ExampleSource(pool, CPU, keeps=keeps)
        assert source.refresh() == 8
        drawn.append(source.draw(2, 3, np.random.default_rng(1)))
    for name, column in vars(drawn[0]).items():
        other = getattr(drawn[1], name)
        assert column.dtype == other.dtype
        assert torch.equal(column, other), name


def test_pairs_are_drawn_whole_and_side_by_side(tmp_path):
    pool = ExamplePool(tmp_path, 8, (64, 48))
    for number in (0, 1, 3, 4, 5):  # the partner of 3 is not there
        height_m = LEVEL.copy()
        height_m[2, 3] = number
        pool.add(number, replace(slope(), T_odom_camera=height_m))
    source = ExampleSource(pool, CPU)
    assert source.refresh() == 5
    drawn = source.draw(20, 30, np.random.default_rng(0)).T_odom_camera[:, 2, 3].int().tolist()
    assert {tuple(drawn[i : i + 2]) for i in range(0, 40, 2)} == {(0, 1), (4, 5)}
    assert set(drawn[40:]) == {0, 1, 3, 4, 5}


# ---- renderer


def test_views_of_a_pair_are_of_the_same_moment_and_near_each_other():
    frames = training_pairs(3, 48, 36, 3)
    assert len(frames) == 6
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        assert first.stamp_ns == second.stamp_ns
        assert first.intrinsics == second.intrinsics
        step_m = np.linalg.norm(first.T_odom_camera[:3, 3] - second.T_odom_camera[:3, 3])
        assert step_m < 2.0
        assert second.T_odom_camera[2, 3] > 0.0


@pytest.mark.slow
def test_the_ground_of_rendered_views_is_where_pose_and_height_say(tmp_path, pairs):
    """What the network is told of the ground agrees with the depth that it has to learn."""
    views = random_views(taken(pairs, tmp_path), (64, 32), np.random.default_rng(0))
    shares = HintShares(ground=1.0)
    ground = random_ground(views, shares, np.random.default_rng(1))
    rays = torch.cat((views.rays, torch.ones_like(views.rays[:, :1])), 1)
    climb = torch.einsum("bihw,bi->bhw", rays, views.T_odom_view[:, 2, :3])
    above_m = views.T_odom_view[:, 2, 3, None, None] + climb * views.depth_m
    on_floor = (above_m.abs() < 0.002) & (views.depth_m > 0.0) & ground.isfinite()
    assert int(on_floor.sum()) > 200
    error = (ground - views.target)[on_floor].abs()
    assert float(error.median()) < 0.1  # height and gravity are told with an error


# ---- views


@pytest.mark.parametrize("seed", range(4))
def test_a_random_view_keeps_every_pixel_on_its_ray(seed, tmp_path):
    """Depth holds how far off the axis a ray is: the new camera must agree with it."""
    camera = Intrinsics(width=160, height=120, fx=100.0, fy=100.0, cx=79.5, cy=59.5)
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    radius = np.hypot((columns - 79.5) / 100, (rows - 59.5) / 100)
    example = Example(
        rgb=np.zeros((120, 160, 3), np.uint8),
        depth_m=(1.0 + radius).astype(np.float32),  # the same after a roll or in a mirror
        intrinsics=camera,
        T_odom_camera=np.eye(4),
        glassy=np.zeros((120, 160), bool),
    )
    views = random_views(taken([example], tmp_path), (96, 64), np.random.default_rng(seed))
    known = views.depth_m > 0.0
    error = (views.depth_m - 1.0 - views.rays.norm(dim=1)).abs()[known]
    assert float(known.float().mean()) > 0.8
    assert float(error.max()) < 0.015  # one pixel of the rendered image, and half precision


@pytest.mark.slow
def test_windows_are_views_through_longer_lenses_and_some_are_held_askew(tmp_path):
    example = taken([slope()], tmp_path)
    rng = np.random.default_rng(0)
    views = [random_views(example, (64, 48), rng) for _ in range(200)]

    zoom = np.array([float(view.camera[0, :2].norm()) / math.hypot(60.0, 60.0) for view in views])
    assert zoom.min() >= 1.0 - 1e-6
    assert 1.6 < zoom.max() < 1.7
    cos = [float((np.linalg.inv(LEVEL) @ view.T_odom_view[0].numpy())[1, 1]) for view in views]
    roll_deg = np.degrees(np.arccos(np.clip(cos, -1.0, 1.0)))
    assert np.median(roll_deg) < 8.0
    assert 0.1 < np.mean(roll_deg > 15.0) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_both_views_of_a_pair_agree_where_they_show_the_same_points(seed, tmp_path, pairs):
    views = random_views(taken(pairs, tmp_path), (64, 64), np.random.default_rng(seed))
    matches = match_pairs(views, 2)
    color = torch.nn.functional.grid_sample(
        views.image[matches.second], matches.there, align_corners=True
    )
    shares = matches.is_same.float().mean(dim=(1, 2)).tolist()
    assert max(shares) > 0.3
    for pair, share in enumerate(shares):
        is_same = matches.is_same[pair]
        # other noise and exposure, but the same things: light goes with light
        grey, other = views.image[2 * pair].mean(0)[is_same], color[pair].mean(0)[is_same]
        if share > 0.3 and float(grey.std()) > 0.05:
            assert float(torch.corrcoef(torch.stack((grey, other)))[0, 1]) > 0.5


def flat_views(depth_m: torch.Tensor) -> Views:
    count, height, width = depth_m.shape
    camera = torch.tensor([[CANONICAL_FOCAL_PX, CANONICAL_FOCAL_PX, width / 2, height / 2]])
    return Views(
        image=torch.rand(count, 3, height, width),
        depth_m=depth_m,
        glassy=torch.zeros(depth_m.shape, dtype=torch.bool),
        camera=camera.repeat(count, 1),
        T_odom_view=torch.from_numpy(LEVEL).float().repeat(count, 1, 1),
    )


def test_the_target_tells_sky_from_pixels_outside_the_image():
    target = flat_views(torch.tensor([[[math.e, NAN, 0.0]]])).target
    assert float(target[0, 0, 0]) == pytest.approx(1.0)
    assert torch.isposinf(target[0, 0, 1])
    assert torch.isnan(target[0, 0, 2])


# ---- looks


def test_looks_change_images_but_keep_what_is_in_them():
    step = torch.zeros(12, 3, 64, 64)
    step[..., 32:] = 0.9
    looks = random_look(step, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert looks.shape == step.shape
    assert float(looks.min()) >= 0.0
    assert float(looks.max()) <= 1.0
    left, right = looks[..., :24].mean(dim=(1, 2, 3)), looks[..., 40:].mean(dim=(1, 2, 3))
    assert ((right - left).abs() > 0.1).all()
    assert len({round(float(look.mean()), 4) for look in looks}) > 8


def test_shade_is_soft_and_the_same_for_all_colors():
    grey = torch.full((6, 3, 64, 64), 0.5)
    shaded = _shade(grey, np.random.default_rng(0))
    torch.testing.assert_close(shaded[:, 0], shaded[:, 2])
    assert (shaded.flatten(1).std(1) > 0.02).all()
    assert float(shaded.log().diff(dim=-1).abs().max()) < 0.2


@pytest.mark.parametrize("quality", [30, 90])
def test_compression_is_as_bad_as_that_of_opencv(quality):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    grey = np.dstack([cv2.GaussianBlur(noise, (0, 0), 1.5)] * 3)
    _, data = cv2.imencode(".jpg", grey[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)
    image = torch.from_numpy(grey.copy()).permute(2, 0, 1)[None].float() / 255.0
    ours = 255.0 * _jpeg(image, np.array([quality]))[0].permute(1, 2, 0).numpy()
    loss, their_loss = np.abs(ours - grey).mean(), np.abs(theirs - grey).mean()
    assert loss == pytest.approx(their_loss, rel=0.05)
    assert np.abs(ours - theirs).mean() < 0.2 * their_loss


# ---- hints


@pytest.mark.slow
def test_hints_are_true_up_to_their_noise_and_some_views_have_none():
    views = flat_views(torch.full((40, 64, 64), 3.0))
    shares = HintShares(points=0.5, sensor=0.2, ground=0.5)
    rng, noise = np.random.default_rng(0), torch.Generator().manual_seed(0)
    known, is_kept = random_known(views, shares, rng, noise)
    assert (is_kept <= known.isfinite()).all()
    told = known.isfinite().flatten(1).sum(1)
    assert int((told == 0).sum()) in range(4, 24)
    is_sensor = is_kept.flatten(1).any(1)
    assert int(is_sensor.sum()) in range(3, 16)
    assert float(told[is_sensor].float().mean()) > 0.3 * 64 * 64
    assert int(((told > 0) & (told < 200)).sum()) > 5  # few points
    error = (known - math.log(3.0))[known.isfinite()].abs()
    assert float(error.median()) < 0.03
    has_ground = random_ground(views, shares, rng).isfinite().flatten(1).any(1)
    assert int(has_ground.sum()) in range(10, 31)


@pytest.mark.slow
def test_glass_and_what_is_too_far_have_no_sensor_depth():
    depth_m = torch.full((12, 64, 64), 2.0)
    depth_m[:, :, 48:] = 30.0
    glassy = torch.zeros(12, 64, 64, dtype=torch.bool)
    glassy[:, 20:30] = True
    views = replace(flat_views(depth_m), glassy=glassy)
    sensor_only = HintShares(points=0.0, sensor=1.0)
    known, _ = random_known(
        views, sensor_only, np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    assert known[:, :20, :40].isfinite().any()
    assert not known[:, 20:30].isfinite().any()
    assert not known[:, :, 48:].isfinite().any()


def test_mistakes_are_made_in_about_half_of_the_predictions_and_smoothly():
    mistake = random_mistake(40, (64, 32), np.random.default_rng(0), CPU)
    log_depth = torch.rand(40, 32, 64)
    wrong = mistake.made_in(log_depth)
    is_wrong = (wrong - log_depth).abs().flatten(1).amax(1) > 1e-5
    assert int(is_wrong.sum()) in range(12, 29)
    assert 0.1 < float(mistake.offset_log[is_wrong].std()) < 1.0
    step = mistake.offset_log.diff(dim=2).abs()
    assert float(step.max()) < 0.2


# ---- losses


def test_loss_is_zero_shape_error_for_a_prediction_wrong_by_one_factor():
    target = torch.tensor([[[0.0, 1.0], [2.0, NAN]]])
    log_depth = torch.tensor([[[0.5, 1.5], [2.5, 9.0]]])
    losses = depth_losses(log_depth, torch.zeros(1, 2, 2), target, torch.tensor([4.0]))
    assert float(losses.shape) == pytest.approx(0.0, abs=1e-6)
    assert float(losses.gradient) == pytest.approx(0.0, abs=1e-6)
    assert float(losses.metric) == pytest.approx(0.5)


def test_sky_only_has_to_be_far_but_not_endlessly():
    target = torch.tensor([[[0.0, math.inf]]])
    for log_depth, expected in ((5.0, 0.0), (3.0, 1.0 / 2), (6.4, 1.0 / 2)):
        said = torch.tensor([[[0.0, log_depth]]])
        losses = depth_losses(said, torch.zeros(1, 1, 2), target, torch.tensor([4.0]))
        assert float(losses.sky) == pytest.approx(expected)


def test_views_that_are_wrong_by_the_same_factor_are_consistent():
    target = torch.zeros(2, 2, 2)
    across = torch.tensor([-1.0, 1.0])
    there = torch.stack(torch.meshgrid(across, across, indexing="xy"), -1)
    matches = Matches(
        first=torch.tensor([0]),
        second=torch.tensor([1]),
        there=there[None],
        is_same=torch.ones(1, 2, 2, dtype=torch.bool),
    )
    for second, expected in ((0.3, 0.0), (0.5, 0.2)):
        said = torch.stack((torch.full((2, 2), 0.3), torch.full((2, 2), second)))
        losses = depth_losses(said, torch.zeros(2, 2, 2), target, torch.full((2,), 4.0), matches)
        assert float(losses.consistency) == pytest.approx(expected, abs=1e-6)


def test_what_is_ground_is_learned_where_ground_can_be():
    ground = torch.tensor([[[NAN, 1.0, 1.0, 1.0]]])
    target = torch.tensor([[[1.0, 1.05, 0.5, NAN]]])  # nothing to learn, ground, a thing, unknown
    for said, loss in (([1.0, 1.0, 0.0, 1.0], 0.0), ([0.0, 0.5, 0.5, 0.0], math.log(2.0))):
        found = ground_loss(torch.tensor([[said]]), ground, target)
        assert float(found) == pytest.approx(loss, abs=1e-3)


# ---- training

SMALL = TrainingConfig(
    batch_size=4,
    learning_rate=3e-3,
    warmup_fraction=0.01,
    early_view_size=(64, 64),
    render_size=(64, 48),
    pool_capacity=4,
    pool_minimum=4,
)


@pytest.mark.acceptance
def test_a_few_steps_on_a_tiny_set_reduce_the_loss(tmp_path):
    examples = taken([slope()] * 4, tmp_path)
    trainer = Trainer(SMALL)
    batch = make_batch(examples, SMALL, np.random.default_rng(0), 0.0)
    losses = [float(trainer.step(batch, 0.1)["total"]) for _ in range(20)]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


@pytest.mark.slow
def test_training_only_the_hints_leaves_the_answer_without_hints_as_it_was(tmp_path):
    examples = taken([slope()] * 4, tmp_path)
    config = replace(SMALL, part="hints", hint_shares=HintShares(points=1.0))
    torch.manual_seed(3)
    start = NanoNet()
    trainer = Trainer(config, start=start)
    batch = make_batch(examples, config, np.random.default_rng(0), 0.0)
    losses = [float(trainer.step(batch, 0.1)["total"]) for _ in range(8)]
    assert losses[-1] < losses[0]
    before, after = start.state_dict(), trainer.average.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("hints.") for name in changed)


def filled_pool(folder: Path) -> None:
    pool = ExamplePool(folder, SMALL.pool_capacity, SMALL.render_size)
    for number in range(4):
        pool.add(number, slope())


def run_in(folder: Path, **changes: object) -> TrainingRun:
    folder.mkdir(exist_ok=True)
    filled_pool(folder / "pool")
    run = TrainingRun(
        out=folder / "nano.safetensors", pool_folder=folder / "pool", renderers=0, device=CPU
    )
    return replace(run, **changes)


@pytest.mark.slow
def test_a_network_for_images_alone_is_told_nothing_and_saved_as_such(tmp_path):
    config = replace(SMALL, part="image", steps=2, early_view_size=(32, 32))
    batch = make_batch(taken([slope()] * 4, tmp_path), config, np.random.default_rng(0), 0.0)
    assert batch.known_log.isnan().all()
    assert batch.ground.isnan().all()

    run = run_in(tmp_path / "run")
    train(config, run)
    assert read_net(run.out)[0].hints is None


def follow(team: Team, wanted: float) -> None:
    """The part of the second one in a team of two."""
    state = team.share({})
    while True:
        gradients = [torch.full((2, 2), wanted), torch.full((3,), state["number"])]
        team.average(gradients)
        assert team.agree(0.0) == 0.25


@pytest.mark.slow
def test_a_team_learns_from_the_mean_of_its_gradients():
    with lead(2, follow, 8.0) as team:
        assert team.size == 2
        team.share({"number": 5.0})
        for _ in range(2):
            gradients = [torch.zeros(2, 2), torch.ones(3)]
            team.average(gradients)
            assert gradients[0].tolist() == [[4.0, 4.0], [4.0, 4.0]]
            assert gradients[1].tolist() == [3.0, 3.0, 3.0]
            assert team.agree(0.25) == 0.25


@pytest.mark.acceptance
def test_two_trainers_write_one_network_that_saw_the_images_of_both(tmp_path):
    run = run_in(tmp_path)
    train(replace(SMALL, steps=3, early_view_size=(32, 32), trainers=2), run)
    record = read_record(run.out)
    assert record["trainers"] == 2
    assert record["images_seen"] == 24
    assert all(weight.isfinite().all() for weight in load_net(run.out).parameters())


def test_a_team_needs_a_trainer():
    with pytest.raises(ConfigError, match="trainers 0, expected 1 or more"):
        TrainingConfig(trainers=0)


@pytest.mark.slow
def test_a_pool_that_shall_be_full_is_rendered_before_the_training(tmp_path):
    run = TrainingRun(out=tmp_path / "n.safetensors", pool_folder=tmp_path, renderers=1, device=CPU)
    config = replace(SMALL, steps=1, early_view_size=(32, 32))
    train(config, run)
    numbers = ExamplePool(tmp_path, SMALL.pool_capacity, SMALL.render_size).numbers().tolist()
    assert min(numbers) >= 0
    train(config, run)
    assert numbers == (
        ExamplePool(tmp_path, SMALL.pool_capacity, SMALL.render_size).numbers().tolist()
    )


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch):
    config = replace(SMALL, steps=4, early_view_size=(32, 32))
    whole, halves = run_in(tmp_path / "whole"), run_in(tmp_path / "halves")
    train(config, whole)

    original = Trainer.step

    def interrupted(trainer, batch, progress):
        if trainer.steps == 2:
            raise KeyboardInterrupt
        return original(trainer, batch, progress)

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config, halves)
    assert not halves.out.exists()
    monkeypatch.setattr(Trainer, "step", original)
    train(config, halves)

    assert not halves.state_file.exists()
    assert read_record(halves.out)["steps_done"] == 4
    for first, second in zip(
        load_net(whole.out).parameters(), load_net(halves.out).parameters(), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=0.0, atol=1e-4)


@pytest.mark.acceptance
def test_a_run_leaves_its_settings_and_its_curves(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the loss curves")
    run = run_in(tmp_path)
    save_weights(NanoNet(), tmp_path / "start.safetensors", {})
    config = replace(SMALL, steps=20, early_view_size=(32, 32), start_sha256="12")
    train(config, replace(run, start=tmp_path / "start.safetensors"))
    log = json.loads(run.out.with_suffix(".json").read_text())
    assert log["record"]["start_sha256"] == "12"
    assert log["record"]["images_seen"] == 80
    assert log["log"][0]["step"] == 20
    assert {"total", "shape", "metric", "gradient", "consistency"} < set(log["log"][0])
    assert cv2.imread(str(run.out.with_suffix(".png"))).shape[2] == 3


def test_a_state_of_other_settings_is_refused(tmp_path):
    run = run_in(tmp_path)
    torch.save({"config": "another"}, run.state_file)
    with pytest.raises(ConfigError, match=r"nano\.state\.pt is of a run with other settings"):
        train(replace(SMALL, steps=1), run)


@pytest.mark.slow
def test_the_command_trains_only_what_uses_hints_from_the_weights_it_is_given(tmp_path):
    pool = ExamplePool(tmp_path / "pool", 4, TrainingConfig.render_size)
    for number in range(4):
        pool.add(number, Example(
            rgb=np.full((180, 240, 3), 90, np.uint8),
            depth_m=np.full((180, 240), 2.0, np.float32),
            intrinsics=Intrinsics(width=240, height=180, fx=200, fy=200, cx=119.5, cy=89.5),
            T_odom_camera=LEVEL,
            glassy=np.zeros((180, 240), bool),
        ))  # fmt: skip
    save_weights(NanoNet(), tmp_path / "start.safetensors", {"seed": 5})
    out = tmp_path / "new" / "nano.safetensors"
    paths = ["--out", str(out), "--pool", str(tmp_path / "pool")]
    start = ["--start", str(tmp_path / "start.safetensors"), "--part", "hints"]
    handler = signal.getsignal(signal.SIGTERM)
    try:
        main([*paths, *start, "--steps", "2", "--batch", "2", "--renderers", "0",
              "--pool-capacity", "4", "--pool-minimum", "4"])  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, handler)
    record = read_record(out)
    assert record["steps_done"] == 2
    assert record["part"] == "hints"
    assert len(record["start_sha256"]) == 64
    assert record["started_from"] == {"seed": 5}
    before, after = load_net(tmp_path / "start.safetensors"), load_net(out)
    changed = {
        name.split(".")[0]
        for name, value in before.state_dict().items()
        if not torch.equal(value, after.state_dict()[name])
    }
    assert changed == {"hints"}


@pytest.mark.slow
def test_runs_from_one_start_are_averaged_with_their_records(tmp_path):
    files = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for seed, file in enumerate(files):
        net = NanoNet()
        torch.nn.init.constant_(net.hints.head.weight, float(seed))
        save_weights(net, file, {"seed": seed, "start_sha256": "ab"})

    average(files, tmp_path / "mean.safetensors")

    net = load_net(tmp_path / "mean.safetensors")
    assert torch.all(net.hints.head.weight == 0.5)
    records = read_record(tmp_path / "mean.safetensors")["average_of"]
    assert [record["seed"] for record in records] == [0, 1]


def test_runs_that_started_from_nothing_are_not_averaged(tmp_path):
    files = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for file in files:
        save_weights(NanoNet(), file, {"start_sha256": ""})

    with pytest.raises(ConfigError, match="two or more runs with the same --start"):
        average(files, tmp_path / "mean.safetensors")


@pytest.mark.slow
def test_the_mean_of_networks_for_images_alone_is_one_too(tmp_path):
    files = [tmp_path / f"{seed}.safetensors" for seed in (1, 2)]
    for file in files:
        save_weights(NanoNet(has_hints=False), file, {"start_sha256": "ab"})

    average(files, tmp_path / "mean.safetensors")
    assert read_net(tmp_path / "mean.safetensors")[0].hints is None

    save_weights(NanoNet(), files[1], {"start_sha256": "ab"})
    with pytest.raises(ConfigError, match="some of the files know hints and some do not"):
        average(files, tmp_path / "mean.safetensors")
