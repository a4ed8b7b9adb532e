"""What the pipeline asks of a depth network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.models.replaceable_net import OnnxFile, ReplaceableNet
from mono_depth.models.store.registry import ModelEntry


class DepthModel(Protocol):
    """A network ready to run on one device."""

    name: str  # of the registry entry
    kind: OutputKind
    device: torch.device
    weights_sha256: str  # of the file in use, "" for a model without one
    scale_sigma_rel: float  # of its metres where nothing measures them, by its registry entry

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image.

        Args:
            rgb: (H, W, 3) uint8 on any device, rectified.
            intrinsics: camera of `rgb`; None if unknown. A model scales them along with
                the image for its own use.

        Returns:
            The output at network resolution, covering the same field of view as `rgb`.

        Raises:
            FrameError: the model cannot take this image.
        """
        ...

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images of one size, of one camera or of several.

        The network runs once for all of them where it can, else image by image; what comes out
        is that of `infer`, up to rounding.

        Args:
            rgb: (B, H, W, 3) uint8 on any device, rectified.
            intrinsics: B cameras, of each image; None if unknown.

        Returns:
            The output for each image, in order. Cameras may make them differ in resolution.

        Raises:
            FrameError: the model cannot take one of these images.
        """
        ...


class DepthCompleter(Protocol):
    """A network that fills in and repairs a depth map, ready to run on one device."""

    name: str  # of the registry entry
    kind: OutputKind
    device: torch.device
    weights_sha256: str  # of the file in use

    def depth_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the depth map that the network sees pixel for pixel.

        Args:
            width: of the image in pixels.
            height: of the image in pixels.
        """
        ...

    def complete(self, rgb: torch.Tensor, depth_m: torch.Tensor) -> Prediction:
        """Fill in and repair a depth map.

        Args:
            rgb: (H, W, 3) uint8 on any device, rectified.
            depth_m: (h, w) float32 of the same field of view; not finite or <= 0 = hole.

        Returns:
            Metres at network resolution, with `mask` True where `depth_m` had a hole.

        Raises:
            FrameError: the network cannot take this image or depth map.
        """
        ...


@runtime_checkable
class CompletionModel(DepthCompleter, DepthModel, Protocol):
    """Completes a depth map, and does without one from a first guess of its own."""


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What is known of a view beside its image; all of it optional."""

    depth_m: torch.Tensor | None = None  # (h, w) float32 of the view; not finite or <= 0 = hole
    keeps_depth: bool = False  # the result shall have `depth_m` as it is, and fill its holes
    gravity_camera: npt.NDArray[np.float64] | None = None  # (3,) unit vector of gravity
    camera_height_m: float | None = None  # of the optical centre over the ground

    @property
    def has_ground(self) -> bool:
        """Tell whether it is known where level ground would be."""
        return self.gravity_camera is not None and self.camera_height_m is not None


@runtime_checkable
class GuidedModel(DepthModel, Protocol):
    """A monocular model that makes use of more, where there is more."""

    def point_size(self, camera: Intrinsics) -> tuple[int, int]:
        """Return (width, height) in which sparse points are best drawn for it.

        Args:
            camera: of the image.
        """
        ...

    def infer_guided(
        self, rgb: torch.Tensor, intrinsics: Intrinsics | None, hints: Hints
    ) -> Prediction:
        """Predict depth for one image with the help of `hints`.

        Args:
            rgb: (H, W, 3) uint8 on any device, rectified.
            intrinsics: camera of `rgb`; None if unknown.
            hints: on any device.

        Returns:
            As `infer`; with depth among the hints also `mask`, True where they had none.

        Raises:
            FrameError: the model cannot take this image.
        """
        ...


class HasNetworks(Protocol):
    """A model that tells its networks, so that something else may run them."""

    weights_sha256: str  # of the file that they all come from

    @property
    def networks(self) -> Sequence[ReplaceableNet[nn.Module | OnnxFile]]:
        """The networks of its weights, first the one that every image goes through.

        Those of another model that it makes use of are not among them.
        """
        ...


class LoadedModel(DepthModel, HasNetworks, Protocol):
    """A model of the registry."""


class LoadedCompleter(DepthCompleter, HasNetworks, Protocol):
    """A completing network of the registry."""


class NetworkEngines(Protocol):
    """What runs the networks of models in place of PyTorch."""

    def fit(self, model: HasNetworks, entry: ModelEntry) -> None:
        """Let engines run the networks of `model`."""
        ...
