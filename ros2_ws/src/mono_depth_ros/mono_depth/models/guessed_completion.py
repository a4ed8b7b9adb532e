"""A network that completes a depth map, behind one that guesses what it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.config import CompletionConfig
from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.batch import one_by_one
from mono_depth.models.protocol import DepthModel, LoadedCompleter
from mono_depth.models.replaceable_net import OnnxFile, ReplaceableNet
from mono_depth.outputs.holes import HoleReason

_GUESS_KINDS = (OutputKind.METRIC, OutputKind.METRIC_FOCAL)


class GuessedCompletion:
    """A completing network and a model that guesses what it starts from.

    Behind both the `DepthModel` and the `CompletionModel` protocol.
    """

    def __init__(
        self, completer: LoadedCompleter, guess: DepthModel, config: CompletionConfig
    ) -> None:
        """Take over two models on the same device.

        Raises:
            ModelError: the guess is not in metres.
        """
        if guess.kind not in _GUESS_KINDS:
            raise ModelError(
                f"completion.guess_model {guess.name} gives {guess.kind.value}; {completer.name} "
                "starts from metres: choose a model of kind metric or metric_focal"
            )
        self.name = completer.name
        self.kind: OutputKind = completer.kind
        self.device = completer.device
        self.weights_sha256 = completer.weights_sha256
        self.scale_sigma_rel = guess.scale_sigma_rel  # without a guess the metres are measured
        self._completer = completer
        self._guess = guess
        self._config = config

    @property
    def networks(self) -> Sequence[ReplaceableNet[nn.Module | OnnxFile]]:
        """Those of the completing model; the model that guesses has its own."""
        return self._completer.networks

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Complete a first guess without its doubtful pixels. See `DepthModel.infer`."""
        guess = self._guess.infer(rgb, intrinsics)
        hole_reasons = doubtful(guess, self._config)
        prediction = self.complete(rgb, torch.where(hole_reasons > 0, torch.nan, guess.values))
        size = prediction.values.shape
        reasons = F.interpolate(hole_reasons[None, None].float(), size, mode="nearest")[0, 0]
        return replace(prediction, reasons=reasons.to(torch.uint8))

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Complete a first guess of each image, one after the other: each has its own holes.

        See `DepthModel.infer_batch`.
        """
        return one_by_one(self.infer, rgb, intrinsics)

    def depth_size(self, width: int, height: int) -> tuple[int, int]:
        """See `DepthCompleter.depth_size`."""
        return self._completer.depth_size(width, height)

    def complete(self, rgb: torch.Tensor, depth_m: torch.Tensor) -> Prediction:
        """See `DepthCompleter.complete`."""
        return self._completer.complete(rgb, depth_m)


def doubtful(guess: Prediction, config: CompletionConfig) -> torch.Tensor:
    """Return (h, w) uint8 of `HoleReason`: no depth, on a side of a jump, or of low confidence.

    A network smears depth across the edge of a thing, and there it is wrong by the most.
    """
    logarithm = guess.values.log()
    jump = float(np.log1p(config.max_jump))
    across = (logarithm[:, 1:] - logarithm[:, :-1]).abs() > jump
    down = (logarithm[1:] - logarithm[:-1]).abs() > jump
    is_edge = F.pad(across, (1, 0)) | F.pad(across, (0, 1))
    is_edge |= F.pad(down, (0, 0, 1, 0)) | F.pad(down, (0, 0, 0, 1))
    hole_reasons = is_edge.to(torch.uint8) * int(HoleReason.EDGE)
    if guess.confidence is not None:
        is_unsure = (guess.confidence < config.min_confidence) & ~is_edge
        hole_reasons = hole_reasons.masked_fill(is_unsure, int(HoleReason.UNSURE))
    return hole_reasons.masked_fill(~logarithm.isfinite(), int(HoleReason.HOLE))
