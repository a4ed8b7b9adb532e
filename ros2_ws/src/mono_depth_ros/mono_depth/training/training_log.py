"""The record that a training run leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

_WINDOW = 20  # steps averaged to one entry
_CURVES = (
    "total",
    "shape",
    "metric",
    "gradient",
    "consistency",
    "sky",
    "ground",
    "edge",
    "glass",
)  # all are above zero


class TrainingLog:
    """Mean losses over blocks of steps."""

    def __init__(self, weights: Path) -> None:
        self.entries: list[dict[str, float]] = []
        self._weights = weights
        self._block: list[Mapping[str, torch.Tensor]] = []

    def add(self, step: int, elapsed_s: float, losses: Mapping[str, torch.Tensor]) -> bool:
        """Take in one step, as scalars; tell whether they completed an entry.

        Only then their values are looked at: a GPU is not waited for at every step.
        """
        self._block.append(losses)
        if len(self._block) < _WINDOW:
            return False
        means = {
            name: round(float(torch.stack([item[name] for item in self._block]).mean()), 5)
            for name in losses
        }
        self.entries.append({"step": step, "elapsed_s": round(elapsed_s, 1), **means})
        self._block = []
        return True

    def write(self, record: Mapping[str, object]) -> None:
        """Write `.json`, and `.png` where matplotlib is installed, beside the weights."""
        text = json.dumps({"record": dict(record), "log": self.entries}, indent=1)
        self._weights.with_suffix(".json").write_text(text)
        try:
            from matplotlib.figure import Figure
        except ImportError:  # an optional extra
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        steps = [entry["step"] for entry in self.entries]
        names = [
            f"{prefix}{name}"
            for prefix in ("", "hints_")
            for name in _CURVES
            if any(entry.get(f"{prefix}{name}") for entry in self.entries)
        ]
        for name in names:
            axes.plot(steps, [entry[name] for entry in self.entries], label=name)
        axes.set(xlabel="step", ylabel="loss", yscale="log", title=self._weights.stem)
        axes.grid(visible=True, alpha=0.3)
        if names:
            axes.legend()
        figure.savefig(self._weights.with_suffix(".png"), dpi=110)
