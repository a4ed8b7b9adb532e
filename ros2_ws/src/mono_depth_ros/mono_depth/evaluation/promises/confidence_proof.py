"""Whether confidence ranks the error of raw metres, on real frames and on drives with odometry."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mono_depth.config import ScaleConfig
from mono_depth.errors import ConfigError
from mono_depth.evaluation.measures.confidence_measures import (
    ConfidenceScores,
    confidence_scores,
)
from mono_depth.evaluation.measures.thinning import stride_of
from mono_depth.evaluation.promises.acceptance import AcceptanceCase, standard_cases
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.evaluation.replay import ReplayedPipeline, predict
from mono_depth.pipeline.build import build_pipeline

_NUMBER = 4
_FARTHEST_M = 20.0
_MOST = {"raw": 0.8, "odometry": 0.7}  # of the more confident half, within bands of distance
_LEAST_CAUGHT = 0.8


@dataclass(frozen=True, kw_only=True)
class ConfidenceProof:
    """What the confidence of one network on one recording is worth."""

    recording: str
    network: str
    metres: str  # raw = those of the network, odometry = measured by it where it can be
    scores: ConfidenceScores


def prove(cases: Iterable[AcceptanceCase]) -> Iterator[ConfidenceProof]:
    """Yield what each recording shows; drives that know poses get their scale of odometry."""
    for case in cases:
        is_drive = case.sequence.name.startswith("synthetic") and case.sequence.knows_poses()
        metres = "odometry" if is_drive else "raw"
        scale = ScaleConfig(source="auto" if is_drive else "model")
        yield ConfidenceProof(
            recording=case.sequence.name,
            network=case.config.model,
            metres=metres,
            scores=_scores(replace(case, config=replace(case.config, scale=scale))),
        )


def cases_of(data: Path | None, folder: Path, frames: int, threads: int) -> list[AcceptanceCase]:
    """Return `standard_cases`, and `nano` on the real frames as well."""
    cases = standard_cases(data, folder, frames, threads)
    real = [case for case in cases if case.config.model != "nano"]
    return [*(replace(case, config=replace(case.config, model="nano")) for case in real), *cases]


def _scores(case: AcceptanceCase) -> ConfidenceScores:
    model = build_pipeline(case.config).model
    pipeline = ReplayedPipeline(model, case.config, "auto")
    maps: dict[str, list[np.ndarray]] = {"depth": [], "truth": [], "confidence": []}
    for frame in tqdm(case.sequence, desc=case.sequence.name, unit="frame", file=sys.stderr):
        camera_frame = frame.as_camera_frame()
        output = pipeline.process(camera_frame, predict(model, camera_frame)[0])
        step = stride_of(output.depth_m.shape[1])
        truth_m = frame.depth_m[::step, ::step]
        with np.errstate(invalid="ignore"):
            maps["truth"].append(np.where(truth_m <= _FARTHEST_M, truth_m, np.nan))
        maps["depth"].append(output.depth_m[::step, ::step])
        maps["confidence"].append(output.result.confidence[::step, ::step].cpu().numpy())
    depth, truth, confidence = (np.stack(maps[key]) for key in ("depth", "truth", "confidence"))
    return confidence_scores(depth, truth, confidence)


def confidence_rows(proofs: Iterable[ConfidenceProof]) -> list[BoundRow]:
    """Return what the confidence has to reach, for the table of promises."""
    rows = []
    for proof in proofs:
        where = f"{proof.recording}, {proof.network}"
        for measure, value, limit in (
            ("confident half of raw metres x", proof.scores.half, _MOST[proof.metres]),
            ("the same in bands of distance x", proof.scores.half_in_bands, _MOST[proof.metres]),
            ("too far by 25 % and confident", 1.0 - proof.scores.caught, 1.0 - _LEAST_CAUGHT),
        ):
            rows.append(
                BoundRow(number=_NUMBER, measure=measure, where=where, value=value, limit=limit)
            )
    return rows


def markdown(proofs: Sequence[ConfidenceProof]) -> str:
    """Return the table, one line for each recording and network."""
    lines = [
        "| recording | network | metres | confident half | in bands | best possible | too far "
        "| of these below 0.1 | of the others below 0.1 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for proof in proofs:
        s = proof.scores
        lines.append(
            f"| {proof.recording} | {proof.network} | {proof.metres} | {s.half:.2f} "
            f"| {s.half_in_bands:.2f} | {s.best_in_bands:.2f} | {100 * s.too_far:.0f} % "
            f"| {100 * s.caught:.0f} % | {100 * s.gated:.0f} % |"
        )
    return "\n".join(lines)


def plot(proofs: Sequence[ConfidenceProof], path: Path) -> None:
    """Draw the reliability curves as a PNG: tenths of the pixels, least confident first.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("a plot needs matplotlib: pip install 'mono_depth_ros[plot]'") from None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    right, error = figure.subplots(1, 2)
    right.plot([0.0, 1.0], [0.0, 1.0], color="0.7", linewidth=0.8)
    for proof in proofs:
        rank, within, off = zip(*proof.scores.curve, strict=True)
        label = f"{proof.recording.removeprefix('synthetic:')}, {proof.network}"
        right.plot(rank, within, marker="o", markersize=3, label=label)
        error.plot(range(1, len(off) + 1), off, marker="o", markersize=3, label=label)
    right.set(
        title="is it right?",
        xlabel="confidence, mean of a tenth",
        ylabel="share within 25 % of the truth",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    error.set(
        title="how wrong is it?",
        xlabel="tenth of the pixels, least confident first",
        ylabel="mean relative error, raw metres",
        ylim=(0, None),
    )
    error.legend(fontsize="small")
    figure.savefig(path, dpi=110)
