"""What the metric scale and the temporal filter cost for each frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mono_depth.config import PipelineConfig
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.evaluation.replay import ReplayedPipeline, predict
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.sequence import FrameSequence

_NUMBER = 6
_LIMIT_MS = 8.0
_WARM_UP = 10  # frames
_STAGES = ("scale", "temporal")


def cost_rows(
    sequence: FrameSequence, config: PipelineConfig, modes: Sequence[str]
) -> list[BoundRow]:
    """Time the stages behind the network, every mode on every frame in turn; medians [ms]."""
    model = build_pipeline(config).model
    pipelines = {mode: ReplayedPipeline(model, config, mode) for mode in modes}
    spent_ms: dict[str, list[float]] = {mode: [] for mode in modes}
    for frame in sequence:
        camera_frame = frame.as_camera_frame()
        prediction, _ = predict(model, camera_frame)
        for mode, pipeline in pipelines.items():
            stage_ms = pipeline.process(camera_frame, prediction).result.stage_ms
            spent_ms[mode].append(sum(stage_ms[stage] for stage in _STAGES))
    return [
        BoundRow(
            number=_NUMBER,
            measure=f"{mode}: filter and scale [ms]",
            where=sequence.name,
            value=float(np.median(values[min(_WARM_UP, len(values) - 1) :])),
            limit=_LIMIT_MS,
        )
        for mode, values in spent_ms.items()
    ]
