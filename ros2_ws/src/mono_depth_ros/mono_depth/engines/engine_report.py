"""What is told about an engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mono_depth.engines.protocol import Plan


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What runs a network for one shape of its input, and why."""

    model: str  # the registry entry, and which network of it but for the first: "nano hints"
    shapes: str  # of the input: "1x3x252x336"
    plan: Plan
    detail: str  # "OpenVINO 2026.4"
    device: str
    ms: float  # NaN = not measured
    why: str  # "openvino bf16: 25 ms, torch fp32 129 ms, error 0.4 % ..."
    refused: tuple[str, ...] = ()  # engines that were not taken, and why
    is_building: bool = False  # the reference runs it meanwhile

    def summary(self) -> dict[str, object]:
        """Return it for JSON and for diagnostics."""
        return {
            "engine": self.plan.engine,
            "precision": self.plan.precision,
            "engine_detail": self.detail,
            "engine_input": self.shapes,
            "engine_ms": None if math.isnan(self.ms) else round(self.ms, 2),
            "engine_why": self.why,
            "engine_refused": "; ".join(self.refused),
            "engine_building": self.is_building,
        }
