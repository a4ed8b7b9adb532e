"""What the temporal filter and the metric scale promise, measured in one run, filter on and off.

The rows: 1 mode pose and 2 mode flow against no filter; 3 obstacles, movers, cuts; 4 confidence;
5 metric scale from points and from the ground; 6 cost; 8 what Open3D makes of the depth;
9 what comes at a camera that stands still; 10 points of the camera's motion. Row 7, faults of
input, is tested, not measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import yaml
from tqdm import tqdm

from mono_depth.config import PipelineConfig, ScaleConfig
from mono_depth.data import OutputKind
from mono_depth.evaluation.consumer.rows import consumer_rows
from mono_depth.evaluation.evaluate import EvalOptions, evaluate
from mono_depth.evaluation.evaluation_report import without_nan
from mono_depth.evaluation.promises.approach import approach_rows
from mono_depth.evaluation.promises.bounds import BoundRow, filter_rows, missed, table
from mono_depth.evaluation.promises.cost import cost_rows
from mono_depth.evaluation.promises.cuts import cut_rows
from mono_depth.evaluation.promises.motion_drives import all_drive_errors, drive_rows
from mono_depth.evaluation.promises.motion_movers import mover_rows
from mono_depth.evaluation.promises.scale_proof import focal_rows, ground_rows, points_rows
from mono_depth.evaluation.promises.uneven_ground import uneven_rows
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.sequence import FrameSequence
from mono_depth.system.resources import share_dir

SYNTHETIC = (
    "synthetic:office/robot/900000001/320x240",
    "synthetic:warehouse/drone/900000001/320x240",
    "synthetic:room/handheld/900000001/320x240",
)
_FILTER_ROWS = {1, 2, 3, 4}
_MODES = ("pose", "flow")
_MODES_WITHOUT_POSES = ("flow",)
_CONSUMER_ROW, _APPROACH_ROW, _MOTION_ROW = 8, 9, 10
_SCALE_FRAMES = 60
_TUM, _FASTDEPTH = "tum_fr1_rpy", Path("fastdepth") / "fastdepth_nyu_224.onnx"


@dataclass(frozen=True, kw_only=True)
class AcceptanceCase:
    """A recording and the network that is run on it."""

    sequence: FrameSequence
    config: PipelineConfig
    scale_by_truth: bool = False


def measure(
    cases: Sequence[AcceptanceCase], wanted: set[int], consumer: Path | None = None
) -> Iterator[list[BoundRow]]:
    """Yield the rows with the wanted numbers, as they are measured.

    Raises:
        ConfigError: a recording lacks what a row needs.
    """
    bar = tqdm(cases, desc="acceptance", unit="recording", file=sys.stderr)
    for case in bar:
        bar.set_postfix_str(case.sequence.name)
        yield _of_recording(case, wanted)
        if _CONSUMER_ROW in wanted and consumer is not None:
            folder = consumer / case.sequence.name.replace("/", "_")
            by_truth = case.scale_by_truth
            yield consumer_rows(case.sequence, case.config, _MODES, folder, scale_by_truth=by_truth)
    yield _of_synthetic(cases, wanted)


def _of_recording(case: AcceptanceCase, wanted: set[int]) -> list[BoundRow]:
    rows: list[BoundRow] = []
    if wanted & _FILTER_ROWS:
        options = EvalOptions(modes=("none", *_modes(case)), scale_by_truth=case.scale_by_truth)
        found = filter_rows(evaluate(case.sequence, case.config, options))
        rows += [row for row in found if row.number in wanted]
    if 5 in wanted:
        model = build_pipeline(case.config).model
        part = case.sequence.thinned(most=_SCALE_FRAMES)
        rows += points_rows(part, model)
        if model.kind is OutputKind.METRIC_FOCAL:
            rows += focal_rows(part, model)
    if 6 in wanted:
        rows += cost_rows(case.sequence, replace(case.config, scale=ScaleConfig()), _modes(case))
    return rows


def _modes(case: AcceptanceCase) -> Sequence[str]:
    return _MODES if case.sequence.knows_poses() else _MODES_WITHOUT_POSES


def _of_synthetic(cases: Sequence[AcceptanceCase], wanted: set[int]) -> list[BoundRow]:
    """Return what is measured once, on synthetic recordings only."""
    drives = [case for case in cases if case.config.model == "nano"]
    rows: list[BoundRow] = []
    if 5 in wanted and drives:
        rows += ground_rows() + uneven_rows()
    if _MOTION_ROW in wanted and drives:
        rows += [*mover_rows(), *drive_rows(all_drive_errors())]
    if drives and 3 in wanted:
        config = replace(drives[0].config, scale=ScaleConfig())
        model = build_pipeline(config).model
        rows += cut_rows([case.sequence for case in drives], model, config, _MODES)
    if _APPROACH_ROW in wanted:
        rows += approach_rows()
    return rows


def standard_cases(
    data: Path | None, folder: Path, frames: int, threads: int
) -> list[AcceptanceCase]:
    """Return FastDepth on the TUM frames of `data`, and the built-in network on synthetic drives.

    Args:
        data: folder with tum_fr1_rpy and fastdepth, None = synthetic only.
        folder: for the registry that names FastDepth.
        frames: at most, of each recording.
        threads: of the network.
    """
    config = PipelineConfig(threads=threads, scale=ScaleConfig(source="model"))
    cases = []
    if data is not None:
        example = share_dir() / "config" / "fastdepth_registry.example.yaml"
        entries = yaml.safe_load(example.read_text(encoding="utf-8"))
        entries["models"]["fastdepth"]["weights"]["file"] = str((data / _FASTDEPTH).resolve())
        registry = folder / "registry.yaml"
        registry.write_text(yaml.safe_dump(entries), encoding="utf-8")
        real = replace(config, model="fastdepth", registry=str(registry))
        cases.append(
            AcceptanceCase(sequence=open_in_memory(str(data / _TUM), "tum", frames), config=real)
        )
    nano = replace(config, model="nano")
    drives = (open_in_memory(source, "auto", frames) for source in SYNTHETIC)
    return [*cases, *(AcceptanceCase(sequence=drive, config=nano) for drive in drives)]


def open_in_memory(source: str, kind: str, frames: int) -> FrameSequence:
    """Open a recording that keeps in memory what was read: every row goes through it."""
    sequence = open_sequence(source, kind).thinned(most=frames)
    return replace(sequence, load=cache(sequence.load))


def as_json(rows: Sequence[BoundRow], about: Mapping[str, object]) -> str:
    """Return all rows as JSON, and with them what there is to know about the run."""
    table_of_rows = [asdict(row) | {"is_met": row.is_met} for row in rows]
    return json.dumps(without_nan({**about, "rows": table_of_rows}), indent=1) + "\n"


def tables(rows: Sequence[BoundRow], recordings: Sequence[str]) -> str:
    """Return Markdown: what was measured on recordings, what elsewhere, how much is met."""
    parts = (
        [row for row in rows if row.where in recordings],
        [row for row in rows if row.where not in recordings],
    )
    measured = [row for row in rows if row.is_met is not None]
    total = f"{len(measured) - len(missed(measured))} of {len(measured)} met"
    return "\n\n".join([*(table(part) for part in parts if part), total])
