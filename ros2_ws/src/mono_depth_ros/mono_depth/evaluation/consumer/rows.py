"""What consumers get from depth with the temporal filter, over what they get without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.config import PipelineConfig
from mono_depth.evaluation.consumer.streams import record
from mono_depth.evaluation.consumer.verdict_table import write_report
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.recordings.sequence import FrameSequence

if TYPE_CHECKING:
    from mono_depth.evaluation.consumer.verdict import Verdict

NUMBER = 8
_BASE = "none"
_MEASURES: dict[str, Callable[[Verdict], float]] = {
    "trajectory error": lambda verdict: verdict.trajectory.ate_m,
    "error of a step": lambda verdict: verdict.trajectory.rpe_m,
    "error of a turn": lambda verdict: verdict.trajectory.rpe_deg,
    "mesh error": lambda verdict: verdict.mesh_own_poses.chamfer_m,
    "mesh error at true poses": lambda verdict: verdict.mesh_true_poses.chamfer_m,
}


def consumer_rows(
    sequence: FrameSequence,
    config: PipelineConfig,
    modes: Sequence[str],
    folder: Path,
    *,
    scale_by_truth: bool = False,
) -> list[BoundRow]:
    """Give Open3D the depth of each mode; `folder` gets what `consumer` writes.

    Raises:
        ConfigError: Open3D does not import, or a frame has no pose.
    """
    from mono_depth.evaluation.consumer.verdict import judge  # Open3D takes seconds to import

    folder.mkdir(parents=True, exist_ok=True)
    streams = record(sequence, config, (_BASE, *modes), scale_by_truth=scale_by_truth)
    verdicts = judge(streams, folder)
    write_report(folder, sequence.name, verdicts)
    found = {verdict.depth: verdict for verdict in verdicts}
    return [
        BoundRow(
            number=NUMBER,
            measure=f"{mode}: {measure} x",
            where=sequence.name,
            value=value(found[mode]) / value(found[_BASE]),
            limit=1.0,
        )
        for mode in modes
        for measure, value in _MEASURES.items()
    ]
