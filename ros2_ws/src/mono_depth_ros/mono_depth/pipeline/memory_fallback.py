"""What is done when the memory of the GPU does not suffice: a smaller input once, then the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mono_depth.engines.engines import Engines
from mono_depth.errors import ModelError
from mono_depth.models.protocol import DepthModel
from mono_depth.system.gpu_errors import is_out_of_memory
from mono_depth.system.unused_memory import free_unused_memory

_LOG = logging.getLogger(__name__)
SMALLER = 0.7  # of the side of the input: half of the memory of what the network computes


@dataclass(frozen=True, kw_only=True)
class Step:
    """One way to run the model."""

    device: torch.device
    shrink: float = 1.0  # of the sides of the network's input

    def __str__(self) -> str:
        size = (
            "" if self.shrink == 1.0 else f", with an input of {100 * self.shrink:.0f} % the side"
        )
        return f"{self.device}{size}"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready."""

    model: DepthModel
    engines: Engines


def steps_for(device: torch.device) -> list[Step]:
    """Return what is tried, in order."""
    steps = [Step(device=device), Step(device=device, shrink=SMALLER)]
    return steps if device.type == "cpu" else [*steps, Step(device=torch.device("cpu"))]


class ModelLoader:
    """Loads a model so that it fits into memory, each time a step more modest."""

    def __init__(self, steps: Sequence[Step], load: Callable[[Step], Loaded]) -> None:
        """Take the steps in order, and what loads and tries the model as one of them says."""
        self._steps = list(steps)
        self._load = load
        self.problem = ""  # what was given up for lack of memory, "" = nothing
        self.has_failed = False  # no step fits

    @property
    def is_exhausted(self) -> bool:
        """Whether there is no further step."""
        return not self._steps

    def load(self) -> Loaded:
        """Return the model as the next step that fits says.

        Raises:
            ModelError: none fits.
        """
        while self._steps:
            step = self._steps.pop(0)
            reason = ""
            try:
                return self._load(step)
            except Exception as error:
                reason = first_line(error)
                has_no_other_size = isinstance(error, ModelError) and step.shrink != 1.0
                if not is_out_of_memory(error) and not (has_no_other_size and self._steps):
                    raise
            self.give_up(f"{step}: {reason}")
        self.has_failed = True
        raise ModelError(self.problem)

    def give_up(self, reason: str) -> None:
        """Remember why a more modest step is taken, and free what it frees."""
        told = f"out of memory on {reason}"
        following = f"; next: {self._steps[0]}" if self._steps else ""
        self.problem = told + following
        _LOG.error("%s", self.problem)
        free_unused_memory()


def first_line(error: Exception) -> str:
    """Return what an error says, without the advice that follows."""
    return str(error).partition("\n")[0]
