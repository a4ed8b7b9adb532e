"""Train the built-in network: `python -m mono_depth.commands.train --out FILE`.

Synthetic scenes, and real RGB-D frames where they are given. The run can be interrupted (Ctrl-C,
SIGTERM) and started again with the same command. Beside the weights it leaves a log (`.json`) with
all settings, its loss curves (`.png`, with matplotlib) and, until it is complete, its state
(`.state.pt`). See docs/training.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from mono_depth.models.store.weights_file import open_weights
from mono_depth.training.config import PARTS, TrainingConfig

_INTERRUPTED = 130  # what a shell says of a command that was interrupted


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.start and given.encoder:
        parser.error("--start has an encoder already: give it or --encoder, not both")
    import cv2
    import torch

    from mono_depth.system.machine import cpu_computes_bf16
    from mono_depth.training.nano import TrainingRun, train

    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    if given.bfloat16 and given.device == "cpu" and not cpu_computes_bf16():
        sys.stderr.write("warning: this processor has no bfloat16: without it, it is far faster\n")
    config = _config(given)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    run = TrainingRun(
        out=given.out,
        pool_folder=given.pool or Path(tempfile.gettempdir()) / f"mono_depth_pool_{given.seed}",
        renderers=given.renderers,
        device=torch.device(given.device),
        threads=given.threads,
        start=given.start,
        encoder=given.encoder,
        real=given.real,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        train(config, run)
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; the same command goes on from {run.state_file}\n")
        sys.exit(_INTERRUPTED)


def _config(given: argparse.Namespace) -> TrainingConfig:
    from mono_depth.training.pool import EXAMPLES_PER_SCENE

    encoder, encoder_sha256 = _encoder(given)
    return replace(
        TrainingConfig(),
        minutes=given.minutes,
        steps=given.steps,
        seed=given.seed,
        start_sha256=_sha256(given.start) if given.start else "",
        part=given.part,
        encoder=encoder,
        encoder_sha256=encoder_sha256,
        encoder_rate=given.encoder_rate,
        frozen_stages=given.frozen_stages,
        real_share=given.real_share if given.real else 0.0,
        held_out=tuple(given.held_out),
        trainers=given.trainers,
        batch_size=given.batch,
        learning_rate=given.learning_rate,
        average_decay=given.average_decay,
        early_fraction=given.early_fraction,
        bfloat16=given.bfloat16,
        pool_capacity=given.pool_capacity // EXAMPLES_PER_SCENE * EXAMPLES_PER_SCENE,
        pool_minimum=given.pool_minimum,
    )


def _encoder(given: argparse.Namespace) -> tuple[int | None, str]:
    """Return the variant of a published encoder, None = none; and the SHA-256 of its file."""
    from mono_depth.models.nano.architecture import encoder_of
    from mono_depth.models.nano.encoder_file import read_encoder
    from mono_depth.models.nano.weights import load_net

    if given.start:
        return encoder_of(load_net(given.start)), ""
    return read_encoder(given.encoder)[1:] if given.encoder else (None, "")


def _sha256(path: Path) -> str:
    with open_weights(path, "") as (_, sha256):
        return sha256


def _interrupt(signum: int, frame: object) -> NoReturn:
    del signum, frame
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = TrainingConfig()
    add = parser.add_argument
    add("--out", type=Path, required=True, help="weights to write (.safetensors)")
    add("--start", type=Path, help="weights to go on from, such as models/nano.safetensors")
    add("--encoder", type=Path, help="published weights of EfficientNet-Lite 0 to 2 (.pth)")
    add("--encoder-rate", type=float, default=default.encoder_rate, help="of the learning rate")
    add("--frozen-stages", type=int, default=default.frozen_stages, help="of such an encoder")
    add("--real", type=Path, help="folder of real frames with depth, mixed into every batch")
    add("--real-share", type=float, default=0.25, help="of a batch, if there are real frames")
    add("--held-out", nargs="*", default=[], help="places of them to keep apart: source/place")
    add("--part", choices=PARTS, default=default.part, help="what learns")
    add("--minutes", type=float, default=default.minutes, help="of training")
    add("--steps", type=int, default=default.steps, help="instead of minutes, if not 0")
    add("--seed", type=int, default=default.seed, help="of weights, scenes and chance")
    add("--device", default="cpu", help="cpu or cuda")
    add("--batch", type=int, default=default.batch_size, help="images in a step of each")
    add("--learning-rate", type=float, default=default.learning_rate, help="the highest")
    add("--average-decay", type=float, default=default.average_decay, help="of the weights kept")
    add("--early-fraction", type=float, default=default.early_fraction, help="at a small size")
    add("--bfloat16", action="store_true", help="where the device multiplies it")
    add("--trainers", type=int, default=default.trainers, help="processes that train together")
    add("--threads", type=int, default=1, help="of each of them")
    add("--renderers", type=int, default=1, help="processes that render scenes")
    add("--pool", type=Path, help="folder for rendered scenes, kept between runs")
    add("--pool-capacity", type=int, default=default.pool_capacity, help="images kept")
    add("--pool-minimum", type=int, default=default.pool_minimum, help="images to begin with")
    return parser


if __name__ == "__main__":
    main()
