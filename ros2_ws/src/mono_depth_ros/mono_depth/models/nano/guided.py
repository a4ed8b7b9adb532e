"""What follows of the output of the built-in network and of what else is known, step by step."""

from __future__ import annotations

import torch

from mono_depth.models.nano.ground_doubt import drawn_on
from mono_depth.models.nano.hints import evidence, follow, ground_log, unmoved, with_hints
from mono_depth.system.recorded import Recorded, Tensors


class GuidedSteps:
    """The arithmetic around the two networks, for one set of what is known.

    Maps are (1, h, w), log depth at the canonical focal length, NaN = not known.
    """

    def __init__(self, *, has_depth: bool, has_ground: bool, keeps_depth: bool) -> None:
        """Prepare the steps.

        Args:
            has_depth: whether some depth is known.
            has_ground: whether height and gravity are.
            keeps_depth: whether the depth that is known is given out as it is.
        """
        self._has_depth, self._has_ground, self._keeps = has_depth, has_ground, keeps_depth
        self.agreed = Recorded(self._agreed, copies=False)
        self.told = Recorded(self._told, copies=False)

    def _agreed(
        self, said: torch.Tensor, rays: torch.Tensor, factor: torch.Tensor, *known: torch.Tensor
    ) -> Tensors:
        """Return log depth that agrees with what is known, and what the second network sees.

        Args:
            said: (1, 2 or 3, h, w) output of the network.
            rays: (1, 2, h, w).
            factor: (1,) metres per canonical metre.
            known: (1, h, w) depth [m] where there is depth; (1, 3) gravity and (1,) height [m] of
                the camera where there is ground.

        Returns:
            Log depth, what the second network sees, the depth that is known, the ground.
        """
        predicted, given = said[:, :2], list(known)
        nothing = said.new_full((1, *said.shape[2:]), torch.nan)
        known_log = _known_log(given.pop(0), factor) if self._has_depth else nothing
        ground = ground_log(rays, given[0], given[1], factor) if self._has_ground else nothing
        # a GPU is not asked whether any depth is known: it would be waited for
        has_known = None if said.device.type == "cpu" else self._has_depth
        log_depth = follow(predicted[:, 0], known_log, ground, has_known=has_known)
        return log_depth, evidence(predicted, log_depth, known_log, ground), known_log, ground

    def _told(
        self,
        said: torch.Tensor,
        log_depth: torch.Tensor,
        known_log: torch.Tensor,
        ground: torch.Tensor,
        *told: torch.Tensor,
    ) -> Tensors:
        """Return the output in the light of all that is known, and how much of it is believed.

        Args:
            said: see `_agreed`.
            log_depth: of `_agreed`.
            known_log: of `_agreed`.
            ground: of `_agreed`.
            told: (1, 2, h, w) output of the second network, if there is one.

        Returns:
            (1, 2 or 3, h, w) output; (1, h, w) share of its confidence that is kept; (1, h, w)
            bool, where depth is known.
        """
        predicted = said[:, :2]
        log_spread = predicted[:, 1]
        if told:
            log_depth, log_spread = with_hints(predicted, log_depth, known_log, ground, told[0])
        is_known = known_log.isfinite()
        if self._keeps:
            log_depth = torch.where(is_known, known_log, log_depth)
        kept = unmoved(log_depth - predicted[:, 0])
        if self._has_ground:
            kept = kept * drawn_on(predicted[:, 0], log_depth, ground)
        return torch.cat((log_depth[:, None], log_spread[:, None], said[:, 2:]), 1), kept, is_known


def _known_log(depth_m: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return log depth at the canonical focal length, NaN = hole."""
    is_known = depth_m.isfinite() & (depth_m > 0.0)
    return torch.where(is_known, (depth_m / factor).log(), torch.nan)
