"""What many drives came to, by kind of scene and by sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mono_depth.evaluation.driving.drive import Drive

_HEAD = (
    "| scene | depth | drives | arrived | hit | stuck | closest [m] | mean speed [m/s] | silent |\n"
)
_RULE = "|---|---|--:|--:|--:|--:|--:|--:|--:|\n"


def row_of(drives: Sequence[Drive]) -> dict[str, Any]:
    """Return the figures of drives of one sense; rates and speeds are of all of them."""
    steps = sum(len(item.steps) for item in drives)
    silent = sum(bool(step.silence) for item in drives for step in item.steps)
    silences: Counter[str] = Counter()
    for item in drives:
        silences.update(item.silences)
    arrived = [item for item in drives if item.arrived]
    return {
        "drives": len(drives),
        "arrived": len(arrived),
        "hit": sum(item.hit for item in drives),
        "stuck": sum(item.outcome == "stuck" for item in drives),
        "closest_m": min(closest_m(item) for item in drives),
        "mean_speed_mps": _mean([item.mean_speed_mps for item in arrived]),
        "silent": silent / max(steps, 1),
        "silences": dict(silences.most_common(5)),
    }


def table(drives: Sequence[Drive]) -> str:
    """Return a table in Markdown: each kind of scene and all of them, each sense."""
    senses = list(dict.fromkeys(item.sense for item in drives))
    kinds = list(dict.fromkeys(item.course.kind for item in drives))
    lines = [_HEAD, _RULE]
    for kind in [*kinds, "all"]:
        for sense in senses:
            chosen = [
                item for item in drives if item.sense == sense and kind in ("all", item.course.kind)
            ]
            if chosen:
                row = row_of(chosen)
                lines.append(
                    f"| {kind} | {sense} | {row['drives']} | {row['arrived']} | {row['hit']} | "
                    f"{row['stuck']} | {row['closest_m']:.2f} | {row['mean_speed_mps']:.2f} | "
                    f"{100 * row['silent']:.0f} % |\n"
                )
    return "".join(lines)


def closest_m(driven: Drive) -> float:
    """Return the least distance between the robot's outline and what it could hit."""
    return min(step.clearance_m for step in driven.steps) - driven.radius_m


def details(driven: Drive) -> dict[str, Any]:
    """Return what one drive came to."""
    return {
        "kind": driven.course.kind,
        "seed": driven.course.seed,
        "mode": driven.sense,
        "arrived": driven.arrived,
        "hit": driven.hit,
        "time_s": round(driven.time_s, 2),
        "way_m": round(driven.length_m, 2),
        "shortest_m": round(driven.course.shortest_m, 2),
        "mean_speed_mps": round(driven.mean_speed_mps, 3),
        "closest_m": round(closest_m(driven), 3),
        "silent_share": round(sum(driven.silences.values()) / max(len(driven.steps), 1), 3),
        "silences": dict(driven.silences),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
