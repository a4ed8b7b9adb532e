"""One network, several pipelines behind it: each frame is predicted once and seen by all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mono_depth.config import PipelineConfig, updated
from mono_depth.data import DepthImage, Frame, Intrinsics, Prediction
from mono_depth.errors import ConfigError
from mono_depth.models.batch import one_by_one
from mono_depth.models.protocol import DepthModel
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.pipeline.predict import predict as predict_guided
from mono_depth.system.gpu_turns import wait_for_stream


class ReplayedModel:
    """Stands in for a network in several pipelines and gives all of them one output."""

    def __init__(self, model: DepthModel) -> None:
        self.name = model.name
        self.kind = model.kind
        self.device = model.device
        self.weights_sha256 = model.weights_sha256
        self.scale_sigma_rel = model.scale_sigma_rel
        self.prediction: Prediction | None = None  # what `infer` gives out

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Return `prediction`, whatever the image."""
        if self.prediction is None:
            raise RuntimeError("infer without a prediction: set it first")
        return self.prediction

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Return `prediction` for each image."""
        return one_by_one(self.infer, rgb, intrinsics)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What one pipeline made of a frame."""

    result: DepthResult
    depth_m: DepthImage  # of the result
    stages_ms: float  # everything but the network


class ReplayedPipeline:
    """The depth pipeline with one mode of the temporal filter, behind outputs of a network."""

    def __init__(self, model: DepthModel, config: PipelineConfig, mode: str) -> None:
        self._model = ReplayedModel(model)
        self._pipeline = DepthPipeline(self._model, updated(config, {"temporal.mode": mode}))

    def process(self, frame: Frame, prediction: Prediction) -> Output:
        """Return the depth of a frame from the output of the network.

        Raises:
            ConfigError: there are no metres.
        """
        output = self.tried(frame, prediction)
        if isinstance(output, str):
            raise no_metres(self._model.name, output)
        return output

    def tried(self, frame: Frame, prediction: Prediction) -> Output | str:
        """Return the same, or why there are no metres (yet: a scale may need motion first)."""
        self._model.prediction = prediction
        result = self._pipeline.process(frame)
        if result.depth_m is None:
            return result.scale.reason
        spent_ms = [value for stage, value in result.stage_ms.items() if stage != "infer"]
        depth_m = result.depth_m.cpu().numpy()
        return Output(result=result, depth_m=depth_m, stages_ms=sum(spent_ms))


def no_metres(model: str, reason: str) -> ConfigError:
    """Return what is raised where a network has no metres."""
    return ConfigError(
        f"{model}: {reason}; --scale truth fits the output to the recording, as benchmarks of "
        "relative depth do"
    )


def predict(model: DepthModel, frame: Frame) -> tuple[Prediction, float]:
    """Run the network on a frame.

    Returns:
        Its output, and the time it took [ms].
    """
    start_s = time.perf_counter()
    with torch.inference_mode():
        rgb = torch.from_numpy(frame.rgb).to(model.device)
        prediction = model.infer(rgb, frame.intrinsics)
        wait_for_stream(model.device)
    return prediction, (time.perf_counter() - start_s) * 1e3


class GuidedPredictor:
    """Runs a network with all that a frame brings, as the node does."""

    def __init__(self, model: DepthModel, config: PipelineConfig) -> None:
        self._model, self._config = model, config

    def __call__(self, frame: Frame) -> tuple[Prediction, float]:
        """Return what `predict` does, of a network that is given points, height and gravity."""
        start_s = time.perf_counter()
        config = self._config
        with torch.inference_mode():
            rgb = torch.from_numpy(frame.rgb).to(self._model.device)
            prediction, _ = predict_guided(
                self._model,
                frame,
                rgb,
                config.completion,
                image_alone=config.scale.source == "fixed",
            )
            wait_for_stream(self._model.device)
        return prediction, (time.perf_counter() - start_s) * 1e3
