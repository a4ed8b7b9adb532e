"""The depth node with its network made as slow as asked for, to measure what a slow one does."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from mono_depth.data import Intrinsics, Prediction
from mono_depth.models.batch import one_by_one
from mono_depth.models.protocol import DepthModel
from mono_depth_ros.depth_node import node as depth_node
from mono_depth_ros.rclpy_support.transitions import logged


class RepeatedModel:
    """Runs a network again and again until a time has passed: real work, of any length."""

    def __init__(self, model: DepthModel, duration_s: float) -> None:
        self.name, self.kind, self.device = model.name, model.kind, model.device
        self.weights_sha256 = model.weights_sha256
        self.scale_sigma_rel = model.scale_sigma_rel
        self._model, self._duration_s = model, duration_s

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image, not before the time has passed."""
        end_s = time.perf_counter() + self._duration_s
        prediction = self._model.infer(rgb, intrinsics)
        while time.perf_counter() < end_s:
            prediction = self._model.infer(rgb, intrinsics)
        return prediction

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images, each not before the time has passed."""
        return one_by_one(self.infer, rgb, intrinsics)


class SlowNode(depth_node.DepthNode):
    """The depth node with a `RepeatedModel`."""

    inference_s = 0.0

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure as ever, then slow the network down."""
        result = super().on_configure(state)
        if self._pipeline is not None:
            self._pipeline.model = RepeatedModel(self._pipeline.model, self.inference_s)
        return result


def main(argv: Sequence[str] | None = None) -> None:
    """Run the node; what is not an option of this program goes to it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--inference-ms", type=float, required=True)
    args, for_ros = parser.parse_known_args(argv)
    SlowNode.inference_s = args.inference_ms * 1e-3
    depth_node.main(for_ros, node_type=SlowNode)


if __name__ == "__main__":
    main()
