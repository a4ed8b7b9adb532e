"""The record that a training run leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_WINDOW = 20  # steps averaged to one entry


class TrainingLog:
    """Mean losses over blocks of steps."""

    def __init__(self, weights: Path) -> None:
        self.entries: list[dict[str, float]] = []
        self._weights = weights
        self._block: list[dict[str, float]] = []

    def add(self, step: int, elapsed_s: float, losses: Mapping[str, float]) -> None:
        """Take in one step."""
        self._block.append(dict(losses))
        if len(self._block) == _WINDOW:
            self.entries.append(
                {"step": step, "elapsed_s": round(elapsed_s, 1), **_mean(self._block)}
            )
            self._block = []

    def recent(self) -> float:
        """Return the newest mean of the total loss."""
        block = self._block or self.entries[-1:]
        return _mean(block)["total"]

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
        for name in ("total", "shape", "metric", "gradient"):
            axes.plot(steps, [entry[name] for entry in self.entries], label=name)
        axes.set(xlabel="step", ylabel="loss", yscale="log", title=self._weights.stem)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(self._weights.with_suffix(".png"), dpi=110)


def _mean(block: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([item[key] for item in block])), 5) for key in block[0]}
