"""Train the built-in network from nothing: `python -m mono_depth.training.nano --out FILE`.

Synthetic scenes only. The run can be interrupted and started again with the same command. Beside
the weights it leaves a log (`.json`), its loss curve (`.png`, with matplotlib) and, until
it is complete, its state (`.state.pt`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from mono_depth.errors import ConfigError
from mono_depth.models.nano import save_weights
from mono_depth.training.pool import ExamplePool, Renderers
from mono_depth.training.report import TrainingLog
from mono_depth.training.trainer import Trainer, TrainingConfig, make_batch


def train(config: TrainingConfig, out: Path, pool_folder: Path, renderers: int) -> None:
    """Train for `config.minutes` and write the moving average of the weights to `out`.

    Args:
        config: what to do; a run that is continued must have the same one, but for the minutes.
        out: safetensors file to write.
        pool_folder: rendered examples are kept here.
        renderers: processes that render beside the training; 0 = only what the pool holds.
    """
    state_file = out.with_suffix(".state.pt")
    trainer, log, elapsed_s = Trainer(config), TrainingLog(out), 0.0
    if state_file.exists():
        saved = torch.load(state_file, weights_only=True)
        if saved["config"] != _identity(config):
            raise ConfigError(f"{state_file} is of a run with other settings: remove it")
        trainer.restore(saved["trainer"])
        log.entries, elapsed_s = saved["log"], saved["elapsed_s"]
    pool = ExamplePool(pool_folder, config.pool_capacity)
    workers = Renderers(
        pool_folder,
        capacity=config.pool_capacity,
        seed=config.seed,
        size=config.render_size,
        processes=renderers,
    )
    workers.start()
    try:
        _fill_pool(pool, workers, config.pool_minimum)
        elapsed_s = _loop(trainer, config, pool, workers, log, elapsed_s, state_file)
    finally:
        workers.stop()
    record = {
        **asdict(config),
        "steps": trainer.steps,
        "images_seen": trainer.steps * config.batch_size,
        "examples_rendered": pool.indices(0.0)[-1] + 1,
        "trained_s": round(elapsed_s),
        "torch": torch.__version__,
    }
    save_weights(trainer.average, out, record)
    log.write(record)
    state_file.unlink(missing_ok=True)


def _fill_pool(pool: ExamplePool, workers: Renderers, minimum: int) -> None:
    with tqdm(total=minimum, desc="first scenes", unit="scene") as bar:
        while bar.n < minimum:
            workers.check()
            bar.update(min(len(pool.indices(0.0)), minimum) - bar.n)
            time.sleep(0.2)


def _loop(
    trainer: Trainer,
    config: TrainingConfig,
    pool: ExamplePool,
    workers: Renderers,
    log: TrainingLog,
    elapsed_s: float,
    state_file: Path,
) -> float:
    """Train until the time is up; return the seconds of training of all runs."""
    budget_s = config.minutes * 60.0
    rng = np.random.default_rng((config.seed, trainer.steps))
    started = saved = time.monotonic()
    before_s = elapsed_s
    bar = tqdm(total=round(budget_s), initial=round(elapsed_s), desc="training", unit="s")
    with bar, ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(make_batch, pool.draw, config, rng, elapsed_s / budget_s)
        while elapsed_s < budget_s:
            batch = upcoming.result()
            upcoming = thread.submit(make_batch, pool.draw, config, rng, elapsed_s / budget_s)
            losses = trainer.step(batch, elapsed_s / budget_s)
            now = time.monotonic()
            elapsed_s = before_s + now - started
            log.add(trainer.steps, elapsed_s, losses)
            bar.update(min(round(elapsed_s), bar.total) - bar.n)
            bar.set_postfix(loss=f"{log.recent():.3f}", images=trainer.steps * config.batch_size)
            if now - saved > 60.0:
                saved = now
                workers.check()
                _save_state(state_file, trainer, config, log, elapsed_s)
    return elapsed_s


def _identity(config: TrainingConfig) -> str:
    return repr(replace(config, minutes=1.0))


def _save_state(
    path: Path, trainer: Trainer, config: TrainingConfig, log: TrainingLog, elapsed_s: float
) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "config": _identity(config),
        "trainer": trainer.state(),
        "log": log.entries,
        "elapsed_s": elapsed_s,
    }
    torch.save(state, partial)
    partial.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="weights to write (.safetensors)")
    parser.add_argument("--minutes", type=float, default=TrainingConfig.minutes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the training itself")
    parser.add_argument("--renderers", type=int, default=1, help="processes that render scenes")
    parser.add_argument("--pool", type=Path, help="folder for rendered scenes, kept between runs")
    parser.add_argument("--bfloat16", action="store_true", help="where the CPU multiplies it")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    config = TrainingConfig(minutes=given.minutes, seed=given.seed, bfloat16=given.bfloat16)
    pool = given.pool or Path(tempfile.gettempdir()) / f"mono_depth_pool_{given.seed}"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    train(config, given.out, pool, given.renderers)


if __name__ == "__main__":
    main()
