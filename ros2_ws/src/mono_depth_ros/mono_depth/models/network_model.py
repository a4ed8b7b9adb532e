"""What the models of a single network share: how they hold it and what they tell of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.batch import check_batch
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import ModelEntry

Net = TypeVar("Net", bound=nn.Module)


class NetworkModel(Generic[Net]):
    """A network with its weights, ready on one device, and the way of an image into it."""

    def __init__(
        self, net: Net, entry: ModelEntry, device: torch.device, sha256: str, *, step_px: int
    ) -> None:
        """Take over a loaded network that takes inputs in multiples of `step_px`.

        Raises:
            ModelError: `entry` describes another input.
        """
        spec = _checked_input(entry, step_px)
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.scale_sigma_rel = entry.scale_sigma_rel
        self.net = ReplaceableNet(net.to(device).eval().requires_grad_(False))
        self._preprocess = Preprocess(spec, device)

    @property
    def networks(self) -> Sequence[ReplaceableNet[Net]]:
        """See `HasNetworks.networks`."""
        return (self.net,)


class ImageModel(NetworkModel[Net], ABC):
    """A network that sees images and nothing else, behind the `DepthModel` protocol."""

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        (prediction,) = self._predict(self._preprocess(rgb), rgb.shape[:2], (intrinsics,))
        return prediction

    @torch.inference_mode()
    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images. See `DepthModel.infer_batch`."""
        check_batch(rgb, intrinsics)
        return self._predict(self._preprocess.batch(rgb), rgb.shape[1:3], intrinsics)

    @abstractmethod
    def _predict(
        self, images: torch.Tensor, size: Sequence[int], cameras: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Run the network once, and make depth of what it says.

        Args:
            images: (B, 3, h, w), its input.
            size: (height, width) of the images before that.
            cameras: B, of the images before that.
        """


class MapModel(ImageModel[Net]):
    """A network whose output, (B, h, w), is what the model says."""

    def _predict(
        self, images: torch.Tensor, size: Sequence[int], cameras: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        del size, cameras
        return [Prediction(values=values.float(), kind=self.kind) for values in self.net(images)]


def _checked_input(entry: ModelEntry, step_px: int) -> InputSpec:
    spec = entry.input
    if spec is None:
        raise ModelError(f"the registry entry {entry.name} has no `input`")
    sides = (spec.width, spec.height) if spec.rule == "fixed" else (spec.multiple_of,)
    if any(side % step_px for side in sides):
        raise ModelError(
            f"{entry.name}: input of {spec.rule} {spec.width}x{spec.height} in multiples of "
            f"{spec.multiple_of}, expected multiples of {step_px}"
        )
    if spec.fit != "stretch" or spec.channels != "rgb" or spec.layout == "nhwc":
        raise ModelError(f"{entry.name}: fit, channels and layout of the input are for family onnx")
    return spec
