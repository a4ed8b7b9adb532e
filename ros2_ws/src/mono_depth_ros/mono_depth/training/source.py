"""Draws examples of a pool for training, from memory of the device that trains."""

from __future__ import annotations

import time

import numpy as np
import torch

from mono_depth.training.pool import ExamplePool, Examples, Slots

_REFRESH_S = 2.0
_PORTION = 1024  # examples that are brought to a GPU at once


class ExampleSource:
    """What a pool holds, as far as it is known here.

    On a GPU the examples are kept in its memory; on a CPU they are read from the files, which the
    system keeps in memory.
    """

    def __init__(
        self, pool: ExamplePool, device: torch.device, *, keeps: bool | None = None
    ) -> None:
        """Look at a pool.

        Args:
            pool: the files.
            device: that trains.
            keeps: copy the examples to its memory; None = unless it is a CPU.
        """
        self._pool = pool
        self._device = device
        self._keeps = device.type != "cpu" if keeps is None else keeps
        self._numbers = np.full(pool.capacity, -1, np.int64)
        self._kept: Examples | None = None
        self._looked_s = -np.inf

    def refresh(self) -> int:
        """Take note of new examples, at most every two seconds; return how many there are."""
        if time.monotonic() - self._looked_s >= _REFRESH_S:
            numbers = self._pool.numbers()
            if self._keeps:
                self._bring(np.flatnonzero((numbers != self._numbers) & (numbers >= 0)))
            self._numbers = numbers
            self._looked_s = time.monotonic()
        return int((self._numbers >= 0).sum())

    @property
    def newest(self) -> int:
        """Number of the newest example, -1 = none."""
        return int(self._pool.numbers().max())

    def draw(self, pairs: int, singles: int, rng: np.random.Generator) -> Examples:
        """Return examples by chance: first `pairs` pairs, side by side, then single ones.

        `refresh` must have found some. A slot may hold a newer example than was known.
        """
        numbers = self._numbers
        evens = np.arange(0, len(numbers), 2)
        whole = evens[(numbers[evens] >= 0) & (numbers[evens + 1] == numbers[evens] + 1)]
        first = rng.choice(whole, pairs)
        any_ = rng.choice(np.flatnonzero(numbers >= 0), singles)
        slots = np.concatenate((np.stack((first, first + 1), 1).reshape(-1), any_))
        if self._kept is None:
            return self._pool.take(slots, self._device)
        rows = torch.from_numpy(slots).to(self._device)
        columns = {name: column[rows] for name, column in vars(self._kept).items()}
        return Examples(**{**columns, "depth_m": columns["depth_m"].float()})

    def _bring(self, slots: Slots) -> None:
        for start in range(0, len(slots), _PORTION):
            part = slots[start : start + _PORTION]
            new = dict(vars(self._pool.take(part, self._device)))
            new["depth_m"] = new["depth_m"].half()  # as in the files
            if self._kept is None:
                self._kept = Examples(
                    **{
                        name: column.new_empty((self._pool.capacity, *column.shape[1:]))
                        for name, column in new.items()
                    }
                )
            rows = torch.from_numpy(part).to(self._device)
            for name, column in vars(self._kept).items():
                column[rows] = new[name]
