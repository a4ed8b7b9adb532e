"""Whether the temporal filter notices that the image became another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from mono_depth.config import PipelineConfig
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.evaluation.replay import ReplayedPipeline, predict
from mono_depth.models.protocol import DepthModel
from mono_depth.recordings.sequence import FrameSequence

_NUMBER = 3
_BEFORE = 6  # frames


def cut_rows(
    sequences: Sequence[FrameSequence],
    model: DepthModel,
    config: PipelineConfig,
    modes: Sequence[str],
) -> list[BoundRow]:
    """Cut from each recording to each other one; the odometry goes on as if nothing were."""
    rows = []
    pairs = list(permutations(sequences, 2))
    for mode in modes:
        unnoticed = sum(not _is_noticed(*pair, model, config, mode) for pair in pairs)
        rows.append(
            BoundRow(
                number=_NUMBER,
                measure=f"{mode}: cuts not noticed in their first frame",
                where=f"{len(pairs)} cuts",
                value=float(unnoticed),
                limit=0.0,
            )
        )
    return rows


def _is_noticed(
    before: FrameSequence,
    after: FrameSequence,
    model: DepthModel,
    config: PipelineConfig,
    mode: str,
) -> bool:
    pipeline, reset = ReplayedPipeline(model, config, mode), ""
    for index in range(_BEFORE + 1):
        seen = before[index]
        if index == _BEFORE:
            other = after[index]
            seen = replace(seen, rgb=other.rgb, intrinsics=other.intrinsics)
        frame = seen.as_camera_frame()
        reset = pipeline.process(frame, predict(model, frame)[0]).result.temporal_reset
    return bool(reset)
