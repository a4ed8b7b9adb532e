"""What the consumers of depth got, as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.evaluation.evaluation_report import without_nan
from mono_depth.system.machine import hardware, versions

if TYPE_CHECKING:
    from mono_depth.evaluation.consumer.verdict import Verdict


def table(verdicts: Sequence[Verdict]) -> str:
    """Return what the consumers got as Markdown."""
    lines = [
        "| depth | ATE [m] | ATE [% of path] | path / true | RPE [mm] | RPE [deg] | failures "
        "| mesh at true poses [mm] | there [mm] | back [mm] | F | area | normals "
        "| mesh at own poses [mm] | there [mm] | back [mm] | F | area | normals |",
        f"|{'---|' * 19}",
    ]
    for verdict in verdicts:
        error = verdict.trajectory
        cells = [
            f"{error.ate_m:.3f}",
            f"{100.0 * error.ate_relative:.1f}",
            f"{error.length_ratio:.2f}",
            f"{1e3 * error.rpe_m:.1f}",
            f"{error.rpe_deg:.2f}",
            f"{verdict.failures}",
        ]
        for mesh in (verdict.mesh_true_poses, verdict.mesh_own_poses):
            for distance_m in (mesh.chamfer_m, mesh.accuracy_m, mesh.completeness_m):
                cells.append(f"{1e3 * distance_m:.0f}")
            cells += [f"{v:.2f}" for v in (mesh.f_score, mesh.area_ratio, mesh.normals)]
        lines.append(f"| {verdict.depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_report(folder: Path, sequence: str, verdicts: Sequence[Verdict]) -> None:
    """Write consumer.json: all errors, and what they were measured with."""
    report = {
        "command": "python -m mono_depth.commands.consumer",
        "sequence": sequence,
        "hardware": hardware(),
        "versions": versions(),
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    text = json.dumps(without_nan(report), indent=1) + "\n"
    (folder / "consumer.json").write_text(text, encoding="utf-8")
