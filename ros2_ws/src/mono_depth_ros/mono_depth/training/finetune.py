"""Teach the built-in network the place it works in, from recordings with the depth of a sensor.

The last fifth of a recording is held out. What was learned is kept only if it is better there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mono_depth.errors import ConfigError
from mono_depth.models.nano.architecture import AnyNanoNet, encoder_of
from mono_depth.models.nano.weights import load_net
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame
from mono_depth.training.config import TrainingConfig
from mono_depth.training.pool import (
    EXAMPLES_PER_SCENE,
    ExamplePool,
    render_synthetic,
)
from mono_depth.training.real import RealFrame, RealFrames, as_example
from mono_depth.training.source import ExampleSource
from mono_depth.training.trainer import Trainer, make_batch

_HELD_OUT = 0.2  # of a recording, its end
_GAP = 0.05  # of it, between what is learned from and what is held out: neighbours look alike
_MOST_FRAMES = 200  # of a recording, spread evenly
_LEAST_FRAMES = 8
_LEARNING_RATE = 2e-4
_RENDERED_IMAGES = 64  # without a pool


@dataclass(frozen=True, kw_only=True)
class Split:
    """Frames of recordings to learn from, and those that are held out."""

    learned: RealFrames
    held_out: tuple[SequenceFrame, ...]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a network reaches on held-out frames."""

    abs_rel: float  # after the ratio of medians is taken out of each frame
    raw_abs_rel: float  # of the metres as they are
    delta1: float
    obstacles_found: float  # share, NaN = there are none

    def worse_than(self, before: Figures) -> list[str]:
        """Return what is worse than it was before, in words."""
        worse = []
        for item in fields(self):
            new, old = getattr(self, item.name), getattr(before, item.name)
            is_error = item.name.endswith("abs_rel")
            is_kept = new <= old if is_error else new >= old  # false for NaN
            if not (is_kept or math.isnan(old)):
                worse.append(f"{item.name} {new:.3f}, before {old:.3f}")
        return worse


def split_recordings(recordings: Sequence[FrameSequence]) -> Split:
    """Read frames with depth, spread over each recording; hold out the last fifth of each.

    Raises:
        ConfigError: a recording has fewer than eight frames with depth.
    """
    learned: list[RealFrame] = []
    held_out: list[SequenceFrame] = []
    for recording in recordings:
        every = max(1, -(-len(recording) // _MOST_FRAMES))
        frames = [
            (frame, example)
            for frame in tqdm(recording.thinned(every), desc=recording.name, unit="frame")
            if (example := as_example(frame.rgb, frame.depth_m, frame.intrinsics)) is not None
        ]
        if len(frames) < _LEAST_FRAMES:
            raise ConfigError(
                f"{recording.name} has {len(frames)} frames with depth, "
                f"expected {_LEAST_FRAMES} or more"
            )
        first_held = round((1.0 - _HELD_OUT) * len(frames))
        last_learned = first_held - max(1, round(_GAP * len(frames)))
        learned += [
            RealFrame(place=recording.name, example=example) for _, example in frames[:last_learned]
        ]
        held_out += [frame for frame, _ in frames[first_held:]]
    return Split(learned=RealFrames(learned), held_out=tuple(held_out))


def rendered_source(folder: Path, images: int = _RENDERED_IMAGES) -> ExampleSource:
    """Return rendered examples to mix in, so that nothing else is forgotten; make them if needed.

    Args:
        folder: of a pool; an empty one is filled with `images` of them.
        images: how many, if there is no pool.
    """
    size = TrainingConfig.render_size
    capacity = _capacity_of(folder, size) or images
    pool = ExamplePool(folder, capacity, size)
    source = ExampleSource(pool, torch.device("cpu"))
    if not source.refresh():
        scenes = range(images // EXAMPLES_PER_SCENE)
        for scene in tqdm(scenes, desc="rendered scenes", unit="scene"):
            for view, example in enumerate(render_synthetic(scene, *size)):
                pool.add(scene * EXAMPLES_PER_SCENE + view, example)
        source = ExampleSource(pool, torch.device("cpu"))
        source.refresh()
    return source


def _capacity_of(folder: Path, size: tuple[int, int]) -> int:
    file = folder / "glassy.u8"
    return file.stat().st_size // (size[0] * size[1]) if file.is_file() else 0


def fine_tuned(
    start: Path,
    split: Split,
    source: ExampleSource,
    *,
    steps: int,
    batch_size: int = 8,
    seed: int = 0,
) -> AnyNanoNet:
    """Return the network of a weights file after `steps` batches, half of each from recordings.

    Its norms and what uses hints stay as they are.

    Raises:
        ModelError: see `load_net`.
    """
    before = load_net(start)
    config = TrainingConfig(
        steps=steps,
        seed=seed,
        batch_size=batch_size,
        part="image",
        encoder=encoder_of(before),
        fixed_norms=True,
        real_share=0.5,
        learning_rate=_LEARNING_RATE,
        early_fraction=0.0,
        average_decay=0.99,
    )
    trainer = Trainer(config, start=before)
    for step in tqdm(range(steps), desc="training", unit="step"):
        rng = np.random.default_rng((seed, step))
        rendered = source.draw(config.pairs, config.rendered_images - 2 * config.pairs, rng)
        real = split.learned.draw(config.real_images, rng, trainer.device)
        progress = step / steps
        trainer.step(make_batch(rendered, config, rng, progress, real), progress)
    before.load_state_dict({**before.state_dict(), **trainer.average.state_dict()})
    return before
