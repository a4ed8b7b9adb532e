"""Runs a network with several filters behind it over a recording."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mono_depth.config import PipelineConfig, ScaleConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.errors import ConfigError, FrameError
from mono_depth.evaluation.measures.thinning import stride_of, thinned_camera
from mono_depth.evaluation.measures.tracks import TrueScene
from mono_depth.evaluation.promises.lag import (
    ENDS,
    Lag,
    frame_with_obstacle,
    lag_of,
    prediction_with_obstacle,
    share_up_to_date,
    shows_obstacle,
)
from mono_depth.evaluation.replay import GuidedPredictor, ReplayedPipeline, no_metres, predict
from mono_depth.models.protocol import DepthModel
from mono_depth.recordings.input_names import USUAL_INPUTS
from mono_depth.recordings.inputs import inputs_of
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame

_LOG = logging.getLogger(__name__)
_FIT_FRAMES = 16
_PROPORTIONAL = (OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one pipeline gave out for n frames."""

    depth_m: npt.NDArray[np.float32]  # (n, h, w) NaN = none
    confidence: npt.NDArray[np.float32]  # (n, h, w)
    stages_ms: npt.NDArray[np.float64]  # (n,) everything but the network
    resets: tuple[str, ...]  # why the filter forgot the past, each time it did
    lag: Lag


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What all pipelines gave out, and the truth."""

    scene: TrueScene
    infer_ms: npt.NDArray[np.float64]  # (n,) the network
    by_mode: dict[str, Recorded]
    inputs_found: tuple[str, ...] = ()  # that the pipelines were given with at least one frame


def run_modes(
    sequence: FrameSequence,
    model: DepthModel,
    config: PipelineConfig,
    modes: tuple[str, ...],
    max_depth_m: float,
    *,
    inputs: tuple[str, ...] = USUAL_INPUTS,
    is_guided: bool = False,
) -> RecordedRun:
    """Run every mode of the filter on every frame; the network runs once per frame.

    Args:
        sequence: the recording.
        model: the network.
        config: of the pipeline.
        modes: of the temporal filter.
        max_depth_m: truth beyond becomes NaN.
        inputs: what of the recording the pipelines are given.
        is_guided: the network is given it, too, as it is in the node; else the image alone.

    Raises:
        ConfigError: the model gives no metres in any frame, images change their size, or no truth
            lies within `max_depth_m`.
    """
    recorders = {mode: _Recorder(model, config, mode) for mode in modes}
    truths: list[SequenceFrame] = []
    infer_ms: list[float] = []
    found: set[str] = set()
    predicted: Callable[[Frame], tuple[Prediction, float]]
    predicted = GuidedPredictor(model, config) if is_guided else partial(predict, model)
    true_medians_m: list[float] = []
    for frame in tqdm(sequence, desc=sequence.name, unit="frame", file=sys.stderr):
        camera_frame = frame.as_camera_frame(inputs)
        found |= set(inputs_of(camera_frame))
        prediction, spent_ms = predicted(camera_frame)
        infer_ms.append(spent_ms)
        truths.append(_thinned(frame, max_depth_m))
        true_medians_m.append(_median_m(frame.depth_m))
        if truths[-1].intrinsics != truths[0].intrinsics:
            raise ConfigError(f"{sequence.name}: the image size or the camera changes midway")
        for recorder in recorders.values():
            recorder.take(camera_frame, prediction)
    if not truths:
        raise ConfigError(f"{sequence.name} has no frames")
    _check_truth(truths, true_medians_m, sequence.name, max_depth_m)
    known = _frames_with_metres(recorders, model.name)
    if len(known) < len(truths):
        _LOG.warning(
            "%s: %d of %d frames have no metres and are not measured: the scale has to be found "
            "first",
            *(sequence.name, len(truths) - len(known), len(truths)),
        )
    return RecordedRun(
        scene=_scene([truths[index] for index in known]),
        infer_ms=np.array(infer_ms),
        by_mode={mode: recorder.recorded(known) for mode, recorder in recorders.items()},
        inputs_found=tuple(name for name in inputs if name in found),
    )


def _frames_with_metres(recorders: dict[str, _Recorder], model: str) -> list[int]:
    """Return the frames that have metres in every mode.

    Raises:
        ConfigError: there are none.
    """
    known = set.intersection(*(recorder.indices for recorder in recorders.values()))
    if not known:
        reasons = [recorder.reason for recorder in recorders.values() if recorder.reason]
        raise no_metres(model, reasons[0] if reasons else "no frame has metres in every mode")
    return sorted(known)


def _check_truth(
    truths: list[SequenceFrame], medians_m: list[float], name: str, max_depth_m: float
) -> None:
    """Refuse a recording without truth in reach, which mostly has another unit.

    Args:
        truths: without what lies too far.
        medians_m: of the true depth of each frame, as recorded; NaN = it has none.
        name: of the recording.
        max_depth_m: truth beyond was left out.
    """
    if any(np.isfinite(truth.depth_m).any() for truth in truths):
        return
    known_m = [median_m for median_m in medians_m if np.isfinite(median_m)]
    if not known_m:
        raise ConfigError(f"{name} has no true depth: every pixel is unknown")
    median_m = float(np.median(known_m))
    unit = " (millimetres?)" if 100.0 < median_m < 1e5 else ""
    raise ConfigError(
        f"{name} has no true depth below {max_depth_m:g} m: its median is {median_m:.4g}{unit}; "
        "files of fractions hold metres, for whole numbers --depth-units says how many are a metre"
    )


def _median_m(depth_m: npt.NDArray[np.float32]) -> float:
    known_m = depth_m[::4, ::4]
    known_m = known_m[np.isfinite(known_m)]
    return float(np.median(known_m)) if known_m.size else math.nan


class _Recorder:
    """Keeps what one pipeline gives out, and how it answers to a step in depth."""

    def __init__(self, model: DepthModel, config: PipelineConfig, mode: str) -> None:
        self._pipeline = ReplayedPipeline(model, config, mode)
        self._stepped = ReplayedPipeline(model, config, mode)
        self._unfiltered = ReplayedPipeline(model, config, "none")
        self.reason = ""  # why a frame had no metres
        self._depth_m: dict[int, npt.NDArray[np.float32]] = {}  # by index of the frame
        self._confidence: dict[int, npt.NDArray[np.float32]] = {}
        self._stages_ms: dict[int, float] = {}
        self._resets: list[str] = []
        self._up_to_date: list[float] = []
        self._taken = 0

    @property
    def indices(self) -> set[int]:
        """The frames that have metres."""
        return set(self._depth_m)

    def take(self, frame: Frame, prediction: Prediction) -> None:
        index = self._taken
        self._taken += 1
        output = self._pipeline.tried(frame, prediction)
        if isinstance(output, str):
            self.reason = output
            return
        depth_m = output.depth_m
        step = stride_of(depth_m.shape[1])
        self._depth_m[index] = depth_m[::step, ::step].copy()
        confidence = output.result.confidence[::step, ::step]
        self._confidence[index] = confidence.cpu().numpy().astype(np.float32)
        self._stages_ms[index] = output.stages_ms
        if output.result.temporal_reset:
            self._resets.append(f"frame {index}: {output.result.temporal_reset}")
        if len(self._up_to_date) < ENDS and prediction.kind in _PROPORTIONAL:
            self._step(frame, prediction)

    def _step(self, frame: Frame, prediction: Prediction) -> None:
        if shows_obstacle(len(self._up_to_date)):
            frame, prediction = frame_with_obstacle(frame), prediction_with_obstacle(prediction)
        outputs = [
            pipeline.tried(frame, prediction) for pipeline in (self._stepped, self._unfiltered)
        ]
        depths_m = [output.depth_m for output in outputs if not isinstance(output, str)]
        if len(depths_m) == len(outputs):
            self._up_to_date.append(share_up_to_date(*depths_m))

    def recorded(self, known: list[int]) -> Recorded:
        return Recorded(
            depth_m=np.stack([self._depth_m[index] for index in known]),
            confidence=np.stack([self._confidence[index] for index in known]),
            stages_ms=np.array([self._stages_ms[index] for index in known]),
            resets=tuple(self._resets),
            lag=lag_of(self._up_to_date),
        )


def fitted_scale(sequence: FrameSequence, model: DepthModel) -> ScaleConfig:
    """Return factor and shift that fit the output of a network to the truth of a recording.

    Least squares over frames that are spread over the recording, in inverse depth for networks
    of inverse depth. No robot can do this: it makes relative networks comparable.

    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation", TPAMI 2020, section 5
    (there for each image, here one fit for the whole recording).

    Raises:
        ConfigError: there is no truth, or the output runs against it.
    """
    outputs, targets = [], []
    for index in np.unique(np.linspace(0, len(sequence) - 1, _FIT_FRAMES).astype(int)):
        try:
            frame = sequence[int(index)]
        except FrameError:  # it is told where all are read
            continue
        values = predict(model, frame.as_camera_frame())[0].values.cpu().numpy()
        rows = np.arange(values.shape[0]) * frame.depth_m.shape[0] // values.shape[0]
        columns = np.arange(values.shape[1]) * frame.depth_m.shape[1] // values.shape[1]
        outputs.append(values.ravel().astype(np.float64))
        targets.append(frame.depth_m[np.ix_(rows, columns)].ravel().astype(np.float64))
    x, y = np.concatenate([*outputs, []]), np.concatenate([*targets, []])
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if model.kind is OutputKind.INVERSE_AFFINE:
        y = 1.0 / y
    if x.size < 2:
        raise ConfigError(f"{sequence.name} has no true depth to fit {model.name} to")
    factor, shift = np.polyfit(x, y, 1)
    if factor <= 0.0:
        raise ConfigError(
            f"{model.name} says {model.kind.value}, but on {sequence.name} its output falls where "
            "that rises: there is no scale to fit"
        )
    return ScaleConfig(source="fixed", factor=float(factor), shift=float(shift))


def _thinned(frame: SequenceFrame, max_depth_m: float) -> SequenceFrame:
    """Return every n-th pixel of the truth, without what lies too far."""
    step = stride_of(frame.depth_m.shape[1])
    depth_m = frame.depth_m[::step, ::step]
    with np.errstate(invalid="ignore"):
        depth_m = np.where(depth_m <= max_depth_m, depth_m, np.nan).astype(np.float32)
    moves = frame.mover_mask
    return replace(
        frame,
        rgb=frame.rgb[:1, :1],  # no longer needed
        depth_m=depth_m,
        mover_mask=np.zeros(depth_m.shape, bool) if moves is None else moves[::step, ::step].copy(),
        intrinsics=thinned_camera(frame.intrinsics, step),
    )


def _scene(truths: list[SequenceFrame]) -> TrueScene:
    return TrueScene(
        depth_m=np.stack([truth.depth_m for truth in truths]),
        intrinsics=truths[0].intrinsics,
        T_odom_camera=tuple(truth.T_odom_camera for truth in truths),
        mover=np.stack([truth.mover_mask for truth in truths if truth.mover_mask is not None]),
    )
