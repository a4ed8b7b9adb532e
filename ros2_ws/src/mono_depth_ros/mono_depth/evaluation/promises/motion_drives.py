"""How near depth comes to the truth with and without points of the camera's motion.

Camera and odometry only: no points, sensor depth, height or gravity, nothing is aligned, and no
temporal filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from mono_depth.config import PipelineConfig, TemporalConfig, updated
from mono_depth.evaluation.measures.metrics import abs_rel
from mono_depth.evaluation.measures.temporal_metrics import log_errors, near_bias, near_limit_m
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import DepthModel
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.sequence import SequenceFrame

DRIVES: Mapping[str, float] = MappingProxyType(  # the largest AbsRel
    {
        "synthetic:office/robot/1/640x480": 0.10,
        "synthetic:warehouse/drone/1/640x480": 0.13,
        "synthetic:room/handheld/1/640x480": 0.03,
        "synthetic:corridor/robot/2/640x480": 0.065,
        "synthetic:street/drone/2/640x480": 0.06,
    }
)
_FRAMES = 60
_FIRST = 20  # of the frames that count: points need some motion
_NEAR_BIAS = 2.0  # percent, either way
_NUMBER = 10  # of the requirement


@dataclass(frozen=True, kw_only=True)
class DriveError:
    """Errors of raw metres with one mode of motion, the mean over frames."""

    abs_rel: float
    near_bias: float  # signed, positive = too far


def drive_errors(
    frames: Iterable[SequenceFrame], model: DepthModel, *, first: int = _FIRST
) -> dict[str, DriveError]:
    """Return the errors on a recording by `motion.mode`, off and auto.

    Args:
        frames: with true depth and poses.
        model: the network.
        first: of the frames that count.
    """
    config = PipelineConfig(engine="torch", temporal=TemporalConfig(mode="none"))
    pipelines = {
        mode: DepthPipeline(model, updated(config, {"motion.mode": mode}))
        for mode in ("off", "auto")
    }
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in pipelines}
    for index, seen in enumerate(frames):
        frame = replace(seen.as_camera_frame(), sparse_points_m=None)
        for mode, pipeline in pipelines.items():
            depth_m = pipeline.process(frame).depth_m
            if depth_m is None or index < first:
                continue
            predicted_m, true_m = depth_m.cpu().numpy()[None], seen.depth_m[None]
            bias = near_bias(log_errors(predicted_m, true_m), true_m, near_limit_m(true_m))
            found[mode].append((abs_rel(predicted_m, true_m), bias))
    means = {mode: np.nanmean(np.reshape(pairs, (-1, 2)), 0) for mode, pairs in found.items()}
    return {
        mode: DriveError(abs_rel=float(error), near_bias=float(bias))
        for mode, (error, bias) in means.items()
    }


def all_drive_errors(frames: int = _FRAMES) -> dict[str, dict[str, DriveError]]:
    """Return the errors on each of `DRIVES` by `motion.mode`."""
    model = load_model("nano")
    return {
        source: drive_errors(open_sequence(source, "auto").thinned(most=frames), model)
        for source in DRIVES
    }


def drive_rows(found: Mapping[str, Mapping[str, DriveError]]) -> list[BoundRow]:
    """Return what `all_drive_errors` found beside its bounds."""
    rows = []
    for source, errors in found.items():
        on, where = errors["auto"], source.removeprefix("synthetic:").rpartition("/")[0]
        for measure, value, limit in (
            ("motion: AbsRel in raw metres", on.abs_rel, DRIVES[source]),
            ("motion: |near bias| [%]", 100.0 * abs(on.near_bias), _NEAR_BIAS),
        ):
            rows.append(
                BoundRow(number=_NUMBER, measure=measure, where=where, value=value, limit=limit)
            )
    return rows


def markdown(found: Mapping[str, Mapping[str, DriveError]]) -> str:
    """Return a table of what `all_drive_errors` found, off and on beside each other."""
    lines = [
        "| recording | AbsRel, off | on | near bias, off | on |",
        "|---|---|---|---|---|",
    ]
    for source, errors in found.items():
        off, on = errors["off"], errors["auto"]
        lines.append(
            f"| {source.removeprefix('synthetic:')} | {off.abs_rel:.3f} | {on.abs_rel:.3f} | "
            f"{100.0 * off.near_bias:+.1f} % | {100.0 * on.near_bias:+.1f} % |"
        )
    return "\n".join(lines)
