"""One step of training: a batch of changed examples, and the network that learns from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mono_depth.errors import ConfigError
from mono_depth.models.nano import focal_factor, normalise, ray_channels
from mono_depth.models.nano_net import NanoNet
from mono_depth.training.augment import log_target, random_look, random_view
from mono_depth.training.losses import SKY_DEPTH_M, depth_losses
from mono_depth.training.pool import Example

DrawExample = Callable[[np.random.Generator], Example]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What decides the result of a training run, apart from the speed of the machine."""

    minutes: float = 30.0  # of training, after the pool is filled
    seed: int = 0
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    warmup_fraction: float = 0.03
    average_decay: float = 0.998  # of the moving average of weights, which is what is kept
    max_gradient_norm: float = 1.0
    bfloat16: bool = False
    render_size: tuple[int, int] = (240, 180)
    # (width, height) of batches and how often each is drawn
    view_sizes: tuple[tuple[int, int], ...] = ((224, 160), (224, 128), (192, 192), (160, 224))
    view_shares: tuple[float, ...] = (0.7, 0.12, 0.1, 0.08)
    early_view_size: tuple[int, int] = (160, 128)  # cheap batches to begin with
    early_fraction: float = 0.4  # of the run
    pool_capacity: int = 8000
    pool_minimum: int = 200

    def __post_init__(self) -> None:
        if self.minutes <= 0.0 or self.batch_size < 2:
            raise ConfigError(f"minutes {self.minutes}, batch size {self.batch_size}: too small")
        if len(self.view_sizes) != len(self.view_shares):
            raise ConfigError("view_sizes and view_shares differ in length")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Examples of one size, on the CPU."""

    image: torch.Tensor  # (B, 3, h, w) float32, normalised
    rays: torch.Tensor  # (B, 2, h, w) float32
    target: torch.Tensor  # (B, h, w) log canonical depth, NaN = unknown, +inf = sky
    sky_log: torch.Tensor  # (B,) log canonical depth beyond which sky is right


def make_batch(
    draw: DrawExample, config: TrainingConfig, rng: np.random.Generator, progress: float
) -> Batch:
    """Draw, cut and change `config.batch_size` examples.

    Args:
        draw: gives an example by chance.
        config: sizes and their shares.
        rng: source of chance.
        progress: 0 at the start of the run, 1 at its end.
    """
    size = config.view_sizes[int(rng.choice(len(config.view_sizes), p=config.view_shares))]
    if progress < config.early_fraction:
        size = config.early_view_size
    images, rays, targets, sky = [], [], [], []
    for _ in range(config.batch_size):
        example = draw(rng)
        rgb, depth_m, camera = random_view(
            example.rgb, example.depth_m, example.intrinsics, size, rng
        )
        images.append(torch.from_numpy(random_look(rgb, rng)))
        rays.append(ray_channels(camera))
        targets.append(torch.from_numpy(log_target(depth_m, camera)))
        sky.append(math.log(SKY_DEPTH_M / focal_factor(camera)))
    image = torch.stack(images).permute(0, 3, 1, 2).float()
    return Batch(
        image=normalise(image).contiguous(memory_format=torch.channels_last),
        rays=torch.stack(rays),
        target=torch.stack(targets),
        sky_log=torch.tensor(sky),
    )


class Trainer:
    """The network, its moving average and its optimiser."""

    def __init__(self, config: TrainingConfig) -> None:
        torch.manual_seed(config.seed)
        self._config = config
        self._net = NanoNet()
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = NanoNet()
        self.average.load_state_dict(self._net.state_dict())
        decayed = [p for p in self._net.parameters() if p.ndim > 1]
        others = [p for p in self._net.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed},
            {"params": others, "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(
            groups,
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.steps = 0

    def step(self, batch: Batch, progress: float) -> dict[str, float]:
        """Learn from one batch.

        Args:
            batch: examples.
            progress: 0 at the start of the run, 1 at its end; sets the learning rate.

        Returns:
            Each term of the loss, and their weighted sum as "total".
        """
        rate = self._config.learning_rate * _schedule(progress, self._config.warmup_fraction)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.bfloat16):
            features = self._net.features(batch.image, batch.rays)
        output = self._net.predict(features.float())
        losses = depth_losses(output, batch.target, batch.sky_log)
        total = losses.total()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._config.max_gradient_norm)
        self._optimiser.step()
        self.steps += 1
        self._update_average()
        terms = {name: float(value.detach()) for name, value in vars(losses).items()}
        return {"total": float(total.detach()), **terms}

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self._config.average_decay, (1 + self.steps) / (10 + self.steps))
        current = self._net.state_dict()
        for key, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], 1.0 - decay)
            else:
                value.copy_(current[key])

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs."""
        return {
            "net": self._net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.steps = int(state["steps"])


def _schedule(progress: float, warmup: float) -> float:
    """Rise linearly, then fall like a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - warmup) / (1.0 - warmup))))
