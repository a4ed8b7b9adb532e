"""Evaluations as tables for people, JSON and images."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mono_depth.errors import ConfigError
from mono_depth.evaluation.evaluate import Evaluation, ModeScores
from mono_depth.system.machine import hardware, versions

REFERENCE = "none"
_PERCENT = 100.0


def markdown(evaluation: Evaluation) -> str:
    """Return one table of measures, and one of ratios to the depth without filter."""
    e = evaluation
    header = (
        f"{e.sequence}: {e.model}, {e.frames} frames ({e.frames_with_pose} with pose), measured at "
        f"{e.size[0]}x{e.size[1]}, near = below {e.near_m:.2f} m, "
        f"true depth {e.truth_median_m:.3g} m (median), network {e.infer_ms:.1f} ms"
    )
    lines = [
        header,
        _given(e),
        "",
        *_rows(("filter", *_COLUMNS), [_cells(mode) for mode in e.modes]),
    ]
    lines += [
        "",
        "All in percent but RMSE [m], delta [share], TEPE [1/m], lag [frames] and time [ms]. "
        f"Perfect depth has a TAE of {_number(_PERCENT * e.truth_tae_published)} (published) and "
        f"{_number(_PERCENT * e.truth_tae_zbuffered)} (z-buffer).",
    ]
    found = ratios(evaluation)
    if found:
        keys = tuple(next(iter(found.values())))
        names = (key.replace("|", "\\|") for key in keys)
        cells = [(mode, *(_number(r[key]) for key in keys)) for mode, r in found.items()]
        lines += ["", "Against no filter:", "", *_rows(("filter", *names), cells)]
    return "\n".join(lines)


def _given(evaluation: Evaluation) -> str:
    """Say what the pipeline knew beside images and camera."""
    found = ", ".join(evaluation.inputs_found) or "nothing"
    absent = [name for name in evaluation.inputs if name not in evaluation.inputs_found]
    whom = "the network, scale and filter" if evaluation.is_guided else "scale and filter"
    told = f"Given to {whom} beside images and camera: {found}"
    return f"{told} (not in the recording: {', '.join(absent)})" if absent else told


def ratios(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Return the measures of each mode over those of mode none; empty if that was not run."""
    by_mode = {scores.mode: scores for scores in evaluation.modes}
    base = by_mode.pop(REFERENCE, None)
    if base is None:
        return {}
    return {
        mode: {
            "flicker x": _ratio(s.temporal.flicker, base.temporal.flicker),
            "AbsRel x": _ratio(s.sequence_aligned.abs_rel, base.sequence_aligned.abs_rel),
            "scale spread x": _ratio(s.temporal.scale_spread, base.temporal.scale_spread),
            "|near bias| + points": _PERCENT
            * (abs(s.temporal.near_bias) - abs(base.temporal.near_bias)),
            "TAE z-buffer x": _ratio(s.tae_zbuffered, base.tae_zbuffered),
            "edge error x": _ratio(s.temporal.edge_error, base.temporal.edge_error),
            "mover error x": _ratio(s.temporal.mover_error, base.temporal.mover_error),
            "confident half x": s.temporal.confidence_ratio,
        }
        for mode, s in by_mode.items()
    }


def as_json(evaluation: Evaluation, **more: object) -> str:
    """Return all measures as JSON; what could not be measured is null."""
    made_on = {"hardware": hardware(), "versions": versions()}
    table = {**more, **made_on, **asdict(evaluation), "against_none": ratios(evaluation)}
    return json.dumps(without_nan(table), indent=1) + "\n"


def plot(evaluation: Evaluation, path: Path) -> None:
    """Draw scale and flicker of every frame, and the ratios, as a PNG.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("a plot needs matplotlib: pip install 'mono_depth_ros[plot]'") from None
    figure = Figure(figsize=(9, 9), layout="constrained")
    FigureCanvasAgg(figure)
    scale, flicker, bars = figure.subplots(3, 1)
    for scores in evaluation.modes:
        scale.plot([_PERCENT * v for v in scores.frame_scales], label=scores.mode)
        flicker.plot([_PERCENT * v for v in scores.frame_flicker], label=scores.mode)
    scale.set(title=f"{evaluation.sequence}, {evaluation.model}", ylabel="scale error [%]")
    scale.axhline(0.0, color="0.7", linewidth=0.8)
    scale.legend()
    flicker.set(xlabel="frame", ylabel="flicker [%]", ylim=(0, None))
    found = ratios(evaluation)
    width = 0.8 / max(len(found), 1)
    keys = [
        key
        for key in next(iter(found.values()), {})
        if key.endswith(" x") and any(math.isfinite(values[key]) for values in found.values())
    ]
    for index, (mode, values) in enumerate(found.items()):
        bars.bar(
            [place + index * width for place in range(len(keys))],
            [values[key] for key in keys],
            width,
            label=mode,
            color=f"C{[s.mode for s in evaluation.modes].index(mode)}",
        )
    bars.set_xticks([p + 0.4 - width / 2 for p in range(len(keys))], [k[:-2] for k in keys])
    bars.axhline(1.0, color="0.4", linewidth=0.8)
    bars.set(ylabel="filtered / not filtered")
    figure.savefig(path, dpi=110)


_COLUMNS = (
    "AbsRel raw",
    "AbsRel",
    "AbsRel frame",
    "RMSE",
    "δ1",
    "δ2",
    "δ3",
    "scale spread",
    "flicker",
    "TAE",
    "TAE z-buffer",
    "TEPE",
    "near bias",
    "edge",
    "mover",
    "confident half",
    "lag",
    "ms",
)


def _cells(scores: ModeScores) -> tuple[str, ...]:
    aligned, over_time = scores.sequence_aligned, scores.temporal
    percents = (over_time.near_bias, over_time.edge_error, over_time.mover_error)
    lag = scores.lag
    return (
        scores.mode,
        _number(_PERCENT * scores.raw.abs_rel),
        _number(_PERCENT * aligned.abs_rel),
        _number(_PERCENT * scores.frame_aligned.abs_rel),
        *(_number(v) for v in (aligned.rmse_m, aligned.delta1, aligned.delta2, aligned.delta3)),
        _number(_PERCENT * over_time.scale_spread),
        _number(_PERCENT * over_time.flicker),
        _number(_PERCENT * scores.tae_published),
        _number(_PERCENT * scores.tae_zbuffered),
        _number(over_time.tepe_per_m, 4),
        *(_number(_PERCENT * value) for value in percents),
        _number(_PERCENT * over_time.confidence_ratio),
        f"{_number(lag.appear_frames, 0)}/{_number(lag.clear_frames, 0)}",
        _number(scores.stages_ms, 1),
    )


def _rows(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    rule = "|".join("---" for _ in header)
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(r)} |" for r in rows)]


def _number(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _ratio(value: float, base: float) -> float:
    return value / base if base else math.nan


def without_nan(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return values as JSON has them: what is not finite is null."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
