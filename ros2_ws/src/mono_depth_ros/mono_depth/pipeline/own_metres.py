"""Whether the depth that frames bring is in the unit that the network sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mono_depth.data import Frame, Prediction
from mono_depth.models.protocol import CompletionModel, DepthModel
from mono_depth.scale import sparse_points
from mono_depth.scale.scale_shift import METRIC_KINDS

_PERIOD_S = 5.0
_MOST = 3.0  # times: more is no error of a network, rather another unit
_LEAST_POINTS = 20


class OwnMetres:
    """Compares sensor depth or sparse points with what a network says without them.

    A network that is guided by such depth repeats its unit, so that nothing would contradict it.
    What contradicts is told, not refused: it is a measurement, and the network a guess.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was found."""
        self._checked_ns: int | None = None
        self._conflict = ""

    def conflict(self, model: DepthModel, frame: Frame, prediction: Prediction) -> str:
        """Return what contradicts what, "" = nothing, or the network has no metres of its own.

        Looks once in a while, and remembers what it saw.

        Args:
            model: the network.
            frame: with or without depth.
            prediction: of the model for `frame`.
        """
        has_metres = prediction.kind in METRIC_KINDS and not isinstance(model, CompletionModel)
        if not has_metres or frame.intrinsics is None or not sparse_points.has_any(frame):
            self.reset()
            return ""
        if not self._is_due(frame.stamp_ns):
            return self._conflict
        self._checked_ns = frame.stamp_ns
        if prediction.image_only is not None:
            prediction = replace(prediction, values=prediction.image_only)
        points = sparse_points.collect(frame, frame.intrinsics, prediction)
        self._conflict = ""
        if len(points.x) >= _LEAST_POINTS:
            times = float(np.median(points.x / points.y))  # both are inverse depth
            if not 1.0 / _MOST <= times <= _MOST:
                self._conflict = _text(frame, float(np.median(1.0 / points.y)), times)
        return self._conflict

    def _is_due(self, stamp_ns: int) -> bool:
        last_ns = self._checked_ns
        return last_ns is None or not 0 <= stamp_ns - last_ns < _PERIOD_S * 1e9


def _text(frame: Frame, median_m: float, times: float) -> str:
    points = frame.sparse_points_m
    is_depth = frame.sensor_depth_m is not None and (points is None or not len(points))
    name = "sensor_depth" if is_depth else "sparse_points"
    factor = f"{times:.3g} times" if times > 1.0 else f"1/{1.0 / times:.3g} of"
    unit = "metres in 32FC1 or millimetres in 16UC1" if is_depth else "metres"
    return (
        f"{name} has a median of {median_m:.3g} m, {factor} the network's own metres: "
        f"is it in {unit} (REP 118)?"
    )
