"""One step of training: a batch of changed examples, and the network that learns from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mono_depth.models.nano.architecture import AnyNanoNet, make_net
from mono_depth.models.nano.hints import evidence, follow, ground_share, with_hints
from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.model import normalise
from mono_depth.models.nano.net import HintNet
from mono_depth.training.config import TrainingConfig
from mono_depth.training.hints import Mistake, random_ground, random_known, random_mistake
from mono_depth.training.look import random_look
from mono_depth.training.losses import SKY_DEPTH_M, Losses, depth_losses, glass_loss, ground_loss
from mono_depth.training.pool import Examples
from mono_depth.training.team import Team
from mono_depth.training.views import Matches, joined, match_pairs, random_views


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Views of one size, on the device that trains."""

    image: torch.Tensor  # (B, 3, h, w) float32, normalised
    rays: torch.Tensor  # (B, 2, h, w) float32
    known_log: torch.Tensor  # (B, h, w) log canonical depth that is told, NaN = not told
    is_kept: torch.Tensor  # (B, h, w) bool, told by a sensor and kept: nothing to learn there
    ground: torch.Tensor  # (B, h, w) log canonical depth of level ground, NaN = not told
    mistake: Mistake  # in what the network for hints shall put right
    target: torch.Tensor  # (B, h, w) log canonical depth, NaN = unknown, +inf = sky
    glass: torch.Tensor  # (B, h, w) 1 = glass or a mirror, 0 = neither, NaN = unknown
    is_real: torch.Tensor  # (B,) bool, real image with the depth of a sensor
    sky_log: torch.Tensor  # (B,) log canonical depth beyond which sky is right
    matches: Matches


def make_batch(
    examples: Examples,
    config: TrainingConfig,
    rng: np.random.Generator,
    progress: float,
    real: Sequence[Examples] = (),
) -> Batch:
    """Cut and change examples, and choose what is told beside the image.

    Args:
        examples: `config.pairs` pairs, side by side, then others.
        config: sizes and shares.
        rng: source of chance.
        progress: 0 at the start of the run, 1 at its end.
        real: batches of one real image each.
    """
    size = config.view_sizes[int(rng.choice(len(config.view_sizes), p=config.view_shares))]
    if progress < config.early_fraction:
        size = config.early_view_size
    device = examples.rgb.device
    noise = torch.Generator(device)
    noise.manual_seed(int(rng.integers(2**62)))
    rendered = random_views(examples, size, rng)
    views = joined([rendered, *(random_views(frame, size, rng) for frame in real)])
    is_real = torch.arange(len(views.image), device=device) >= len(rendered.image)
    has_labels = (views.depth_m != 0.0) & ~is_real[:, None, None]
    image = normalise(255.0 * random_look(views.image, rng, noise))
    known_log, is_kept = random_known(views, config.told, rng, noise)
    return Batch(
        image=image.contiguous(memory_format=torch.channels_last),
        rays=views.rays,
        known_log=known_log,
        is_kept=is_kept,
        ground=random_ground(views, config.told, rng),
        mistake=random_mistake(len(views.image), size, rng, device),
        target=views.target,
        glass=torch.where(has_labels, views.glassy.float(), torch.nan),
        is_real=is_real,
        sky_log=math.log(SKY_DEPTH_M) - views.focal_factor.log(),
        matches=match_pairs(views, config.pairs),
    )


class Trainer:
    """The network, its moving average and its optimiser."""

    def __init__(
        self,
        config: TrainingConfig,
        device: torch.device | None = None,
        start: AnyNanoNet | None = None,
        team: Team | None = None,
    ) -> None:
        """Begin a run.

        Args:
            config: what to do.
            device: that trains; None = the CPU.
            start: network to go on with, None = a new one.
            team: the processes that train together; None = this one alone.
        """
        torch.manual_seed(config.seed)
        self.device = device or torch.device("cpu")
        self._config, self._team = config, team or Team()
        has_hints = config.part != "image"
        self._net = make_net(config.encoder, has_hints=has_hints)
        self.average = make_net(config.encoder, has_hints=has_hints)
        if start is not None:
            self._net.load_state_dict(_without_hints(start, keep=has_hints))
        self.average.load_state_dict(self._net.state_dict())
        for net in (self._net, self.average):
            net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.part == "hints":
            self._net.requires_grad_(requires_grad=False)
            self._net.hints.requires_grad_()  # type: ignore[union-attr]
        elif isinstance(self._net, NanoLiteNet):
            self._net.freeze(config.frozen_stages)
        self._learning = [p for p in self._net.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            _groups(self._net, config.encoder_rate),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.steps = 0
        weights = zip(
            self.average.state_dict().values(), self._net.state_dict().values(), strict=True
        )
        kept = [pair for pair in weights if pair[0].is_floating_point()]
        self._averaged, self._current = [a for a, _ in kept], [b for _, b in kept]

    def step(self, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        """Learn from one batch.

        Args:
            batch: examples.
            progress: 0 at the start of the run, 1 at its end; sets the learning rate.

        Returns:
            Each term of the loss, and their weighted sum as "total".
        """
        rate = self._config.learning_rate * _schedule(progress, self._config.warmup_fraction)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["share"]
        losses = self._losses(batch)
        total = torch.stack([part.total() for part in losses.values()]).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._team.average([p.grad for p in self._learning if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._config.max_gradient_norm)
        self._optimiser.step()
        self.steps += 1
        self._update_average()
        terms = {
            prefix + name: value.detach()
            for prefix, part in losses.items()
            for name, value in vars(part).items()
        }
        return {"total": total.detach(), **terms}

    def _losses(self, batch: Batch) -> dict[str, Losses]:
        """Return the losses of each network that learns, by the prefix of their names."""
        part, losses = self._config.part, {}
        # the norms of a network that does not learn stay
        self._net.train(part != "hints" and not self._config.fixed_norms)
        with torch.set_grad_enabled(part != "hints"):
            predicted = self._run(self._net, batch.image, batch.rays)
        if part != "hints":
            losses[""] = self._image_losses(predicted, batch)
        if self._net.hints is not None:
            told = predicted[:, :2].detach()
            losses["hints_"] = self._hint_losses(self._net.hints.train(), batch, told)
        return losses

    def _image_losses(self, said: torch.Tensor, batch: Batch) -> Losses:
        losses = depth_losses(
            said[:, 0], said[:, 1], batch.target, batch.sky_log, batch.matches, batch.is_real
        )
        if said.shape[1] < 3:
            return losses
        return replace(losses, glass=glass_loss(said[:, 2], batch.glass))

    def _hint_losses(self, net: HintNet, batch: Batch, predicted: torch.Tensor) -> Losses:
        """Return the losses after the hints, which teach the network for images nothing."""
        log_depth = batch.mistake.made_in(predicted[:, 0])
        predicted = torch.stack((log_depth, predicted[:, 1]), 1)
        known_log, ground = batch.known_log, batch.ground
        followed = follow(log_depth, known_log, ground)
        seen = evidence(predicted, followed, known_log, ground)
        said = self._run(net, batch.image, batch.rays, seen)
        log_depth, log_spread = with_hints(predicted, followed, known_log, ground, said)
        target = torch.where(batch.is_kept, torch.nan, batch.target)
        losses = depth_losses(
            log_depth, log_spread, target, batch.sky_log, batch.matches, batch.is_real
        )
        on_ground = ground_share(said[:, 1], ground)
        return replace(losses, ground=ground_loss(on_ground, ground, batch.target))

    def _run(self, net: AnyNanoNet | HintNet, *inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._config.bfloat16):
            features = net.features(*inputs)
        return net.predict(features.float())

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self._config.average_decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averaged, self._current, 1.0 - decay)

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


def _groups(net: AnyNanoNet, encoder_rate: float) -> list[dict[str, Any]]:
    """Return the parameters that learn, by the share of the learning rate and by their decay."""
    encoder = net.encoder if isinstance(net, NanoLiteNet) else None
    published = set() if encoder is None else {id(p) for p in encoder.parameters()}
    groups: list[dict[str, Any]] = []
    for is_published, share in ((False, 1.0), (True, encoder_rate)):
        part = [
            p for p in net.parameters() if p.requires_grad and (id(p) in published) == is_published
        ]
        groups += [
            {"params": [p for p in part if p.ndim > 1], "share": share},
            {"params": [p for p in part if p.ndim <= 1], "share": share, "weight_decay": 0.0},
        ]
    return [group for group in groups if group["params"]]


def _without_hints(net: AnyNanoNet, *, keep: bool) -> dict[str, torch.Tensor]:
    """Return the weights of a network, those for hints only if they are kept."""
    state = net.state_dict()
    return {name: value for name, value in state.items() if keep or not name.startswith("hints.")}


def _schedule(progress: float, warmup: float) -> float:
    """Rise linearly, then fall like a cosine to zero."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - warmup) / (1.0 - warmup))))
