"""Train the built-in network; see docs/training.md.

A run can be interrupted and started again with the same settings. Beside the weights it leaves a
log (`.json`) with all settings, its loss curves (`.png`, with matplotlib) and, until it is
complete, its state (`.state.pt`).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.errors import ConfigError
from mono_depth.models.nano.architecture import AnyNanoNet
from mono_depth.models.nano.encoder_file import read_encoder
from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.weights import load_net, read_record, save_weights
from mono_depth.training.config import TrainingConfig
from mono_depth.training.pool import ExamplePool, Renderers
from mono_depth.training.real import RealFrames, read_real_frames
from mono_depth.training.source import ExampleSource
from mono_depth.training.team import Team, lead
from mono_depth.training.trainer import Trainer, make_batch
from mono_depth.training.training_log import TrainingLog

_SAVE_EVERY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Where a training run happens."""

    out: Path  # safetensors file to write
    pool_folder: Path  # rendered examples are kept here
    renderers: int  # processes that render beside the training; 0 = only what the pool holds
    device: torch.device
    threads: int = 1  # of each process that trains
    start: Path | None = None  # weights to go on from
    encoder: Path | None = None  # published weights of the encoder, to begin with
    real: Path | None = None  # folder of real frames with depth, see `training/real.py`

    @property
    def state_file(self) -> Path:
        """What an interrupted run goes on from."""
        return self.out.with_suffix(".state.pt")


def train(config: TrainingConfig, run: TrainingRun) -> None:
    """Train to the end of the budget and write the moving average of the weights.

    Args:
        config: what to do; a run that is continued must have the same one.
        run: where.

    Raises:
        ConfigError: an interrupted run had other settings.
        KeyboardInterrupt: interrupted; the state is saved.
    """
    saved = _saved_state(run, config)
    pool = ExamplePool(run.pool_folder, config.pool_capacity, config.render_size)
    source = ExampleSource(pool, run.device)
    workers = Renderers(
        run.pool_folder,
        capacity=config.pool_capacity,
        seed=config.seed,
        size=config.render_size,
        processes=run.renderers,
    )
    try:
        _fill_pool(source, workers, config)
        with lead(config.trainers, _help, config, run) as team:
            _lead(config, run, team, source, workers, saved)
    finally:
        workers.stop()


def _saved_state(run: TrainingRun, config: TrainingConfig) -> dict[str, Any]:
    """Return where an interrupted run was, empty if there is none."""
    if not run.state_file.exists():
        return {}
    saved: dict[str, Any] = torch.load(run.state_file, weights_only=True, map_location=run.device)
    if saved["config"] != repr(config):
        raise ConfigError(f"{run.state_file} is of a run with other settings: remove it")
    return saved


def _help(team: Team, config: TrainingConfig, run: TrainingRun) -> None:
    """Train along with the leader until it ends this process."""
    torch.set_num_threads(run.threads)
    cv2.setNumThreads(1)
    trainer = Trainer(config, run.device, team=team)
    trainer.restore(team.share({}))
    pool = ExamplePool(run.pool_folder, config.pool_capacity, config.render_size)
    source = ExampleSource(pool, run.device)
    real = _real_frames(config, run)
    while True:
        _step(trainer, config, source, real, team, team.agree(0.0))


def _real_frames(config: TrainingConfig, run: TrainingRun) -> RealFrames | None:
    if not config.real_images:
        return None
    if run.real is None:
        raise ConfigError(f"real share {config.real_share}, but no folder of real frames")
    return read_real_frames(run.real, config.held_out)[0]


def _start(run: TrainingRun) -> AnyNanoNet | None:
    """Return the network that the run begins with, None = a new one by chance."""
    if run.start is not None:
        return load_net(run.start)
    if run.encoder is None:
        return None
    encoder, variant, _ = read_encoder(run.encoder)
    net = NanoLiteNet(variant)
    net.encoder.load_state_dict(encoder.state_dict())
    return net


def _step(
    trainer: Trainer,
    config: TrainingConfig,
    source: ExampleSource,
    real: RealFrames | None,
    team: Team,
    progress: float,
) -> tuple[dict[str, torch.Tensor], int]:
    """Learn from one batch; return the losses and the number of images in the pool."""
    # a step depends on the seed, its number and who takes it alone: it can be repeated
    rng = np.random.default_rng((config.seed, trainer.steps, team.rank))
    images = source.refresh()
    examples = source.draw(config.pairs, config.rendered_images - 2 * config.pairs, rng)
    frames = [] if real is None else real.draw(config.real_images, rng, trainer.device)
    batch = make_batch(examples, config, rng, progress, frames)
    return trainer.step(batch, progress), images


def _lead(
    config: TrainingConfig,
    run: TrainingRun,
    team: Team,
    source: ExampleSource,
    workers: Renderers,
    saved: dict[str, Any],
) -> None:
    torch.manual_seed(config.seed)
    trainer = Trainer(config, run.device, _start(run), team)
    log, elapsed_s = TrainingLog(run.out), 0.0
    if saved:
        trainer.restore(saved["trainer"])
        log.entries, elapsed_s = saved["log"], saved["elapsed_s"]
    team.share(trainer.state())
    real = _real_frames(config, run)
    elapsed_s = _loop(trainer, config, source, real, workers, team, log, elapsed_s, run.state_file)
    record = {
        **asdict(config),
        "device": _name(run.device),
        "steps_done": trainer.steps,
        "images_seen": trainer.steps * config.batch_size * config.trainers,
        "examples_rendered": source.newest + 1,
        "trained_s": round(elapsed_s),
        "torch": torch.__version__,
        "started_from": read_record(run.start) if run.start else None,
        "real_places": [] if real is None else real.places,
    }
    save_weights(trainer.average, run.out, record)
    log.write(record)
    run.state_file.unlink(missing_ok=True)


def _fill_pool(source: ExampleSource, workers: Renderers, config: TrainingConfig) -> None:
    """Wait for the first scenes; the renderers go on unless the pool shall hold no others."""
    minimum, is_fixed = config.pool_minimum, config.pool_minimum >= config.pool_capacity
    if is_fixed and source.refresh() >= minimum:
        return
    workers.start()
    with tqdm(total=minimum, desc="first scenes", unit="picture") as bar:
        while bar.n < minimum:
            workers.check()
            bar.update(min(source.refresh(), minimum) - bar.n)
            time.sleep(0.2)
    if is_fixed:
        workers.stop()


def _loop(
    trainer: Trainer,
    config: TrainingConfig,
    source: ExampleSource,
    real: RealFrames | None,
    workers: Renderers,
    team: Team,
    log: TrainingLog,
    before_s: float,
    state_file: Path,
) -> float:
    """Train until the budget is spent; return the seconds of training of all runs."""
    started = saved = time.monotonic()
    elapsed_s, progress = before_s, _progress(config, trainer.steps, before_s)
    with tqdm(total=100, desc="training", unit="%", bar_format=_BAR) as bar:
        try:
            while progress < 1.0:
                losses, images = _step(trainer, config, source, real, team, team.agree(progress))
                now = time.monotonic()
                elapsed_s = before_s + now - started
                if log.add(trainer.steps, elapsed_s, losses):
                    seen = trainer.steps * config.batch_size * config.trainers
                    loss = log.entries[-1]["total"]
                    bar.set_postfix(loss=f"{loss:.3f}", seen=seen, pool=images)
                progress = _progress(config, trainer.steps, elapsed_s)
                bar.update(min(100.0 * progress, 100.0) - bar.n)
                if now - saved > _SAVE_EVERY_S:
                    saved = now
                    workers.check()
                    _save_state(state_file, trainer, config, log, elapsed_s)
        except KeyboardInterrupt:
            _save_state(state_file, trainer, config, log, elapsed_s)
            raise
    return elapsed_s


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def _progress(config: TrainingConfig, steps: int, elapsed_s: float) -> float:
    return steps / config.steps if config.steps else elapsed_s / (60.0 * config.minutes)


def _save_state(
    path: Path, trainer: Trainer, config: TrainingConfig, log: TrainingLog, elapsed_s: float
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "config": repr(config),
        "trainer": trainer.state(),
        "log": log.entries,
        "elapsed_s": elapsed_s,
    }
    torch.save(state, partial)
    partial.replace(path)
    log.write({**asdict(config), "steps_done": trainer.steps, "is_complete": False})


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
