"""The built-in depth network: small, trained by this project.

Focal rule. Two cameras that see an object with the same pixels may stand at different distances:
only depth / focal length is visible. So the network answers for one canonical focal length, and

    depth_m = exp(network output) * focal_px / CANONICAL_FOCAL_PX
    focal_px = sqrt(fx * fy) of the camera after the resize to the network's input

Source: Yin et al., "Metric3D", ICCV 2023, section 3.1 (canonical camera, label transformation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError
from mono_depth.models.backbones.folding import fold_batch_norms
from mono_depth.models.batch import check_batch
from mono_depth.models.nano.architecture import AnyNanoNet
from mono_depth.models.nano.ground_doubt import drawn_on
from mono_depth.models.nano.hints import (
    evidence,
    follow,
    ground_log,
    unmoved,
    with_hints,
)
from mono_depth.models.nano.weights import read_net
from mono_depth.models.protocol import Hints
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import UNKNOWN_SCALE_SIGMA
from mono_depth.system.transfers import uploaded

CANONICAL_FOCAL_PX = 200.0
SIZE_MULTIPLE = 32
NETWORK_AREA_PX = 224 * 160
LONG_FOCAL_PX = 240.0  # at the network's input; little of what it was trained on has more
LONG_LENS_AREA = 0.69  # of the network's area, through a longer lens

_MIN_SIDE_PX = 32
_LOG_SPREAD_RANGE = (-4.0, 2.0)


class Nano:
    """The built-in network behind the `DepthModel` and the `GuidedModel` protocol.

    The kind is `METRIC_FOCAL`, and `infer` has applied the focal rule already: with intrinsics
    `Prediction.values` are metres for that camera. Without them they are metres for a camera
    with a field of view of 60 degrees along the longer side, which an unknown camera seldom is:
    publish only relative depth then.
    """

    kind = OutputKind.METRIC_FOCAL

    def __init__(
        self, net: AnyNanoNet, device: torch.device, *, name: str = "nano", sha256: str = ""
    ) -> None:
        self.name = name
        self.device = device
        self.weights_sha256 = sha256
        self.scale_sigma_rel = UNKNOWN_SCALE_SIGMA  # until an entry tells its record
        net = net.to(device).eval()
        fold_batch_norms(net)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net = ReplaceableNet(net)
        self.hint_net = None if net.hints is None else ReplaceableNet(net.hints, "hints")
        self._rays: tuple[Intrinsics, torch.Tensor] | None = None

    @property
    def networks(self) -> Sequence[ReplaceableNet[nn.Module]]:
        """See `HasNetworks.networks`."""
        return (self.net,) if self.hint_net is None else (self.net, self.hint_net)

    @classmethod
    def load(
        cls, weights: Path, device: torch.device, *, name: str = "nano", sha256: str = ""
    ) -> Nano:
        """Read a weights file that `save_weights` wrote.

        Args:
            weights: safetensors file.
            device: where to run.
            name: of the registry entry.
            sha256: what the file must have, "" to take the file as it is.

        Raises:
            ModelError: the file is missing, damaged, another one, or of another network.
        """
        net, found_sha256 = read_net(weights, sha256)
        return cls(net, device, name=name, sha256=found_sha256)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth in metres; see the class for what they are worth without intrinsics.

        Args:
            rgb: (H, W, 3) uint8, rectified, sides of 32 pixels or more.
            intrinsics: camera of `rgb`, None if unknown.

        Raises:
            FrameError: shape or type of `rgb` is wrong, or `intrinsics` are of another size.
        """
        image, camera = self._prepared(rgb, intrinsics)
        return self._prediction(self.net(image, self._rays_of(camera))[0], camera)

    @torch.inference_mode()
    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth in metres for several images. See `DepthModel.infer_batch`.

        Through a long lens the network sees an image smaller: it runs once for the images of each
        size.
        """
        check_batch(rgb, intrinsics)
        prepared = [self._prepared(*pair) for pair in zip(rgb, intrinsics, strict=True)]
        by_size: dict[torch.Size, list[int]] = {}
        for index, (image, _) in enumerate(prepared):
            by_size.setdefault(image.shape, []).append(index)
        found: dict[int, Prediction] = {}
        for indices in by_size.values():
            images = torch.cat([prepared[index][0] for index in indices])
            cameras = [prepared[index][1] for index in indices]
            rays = torch.cat([self._rays_of(camera) for camera in cameras])
            outputs = self.net(images, rays)
            for index, said, camera in zip(indices, outputs, cameras, strict=True):
                found[index] = self._prediction(said, camera)
        return [found[index] for index in range(len(prepared))]

    def point_size(self, camera: Intrinsics) -> tuple[int, int]:
        """See `GuidedModel.point_size`."""
        return network_size(camera)

    @torch.inference_mode()
    def infer_guided(
        self, rgb: torch.Tensor, intrinsics: Intrinsics | None, hints: Hints
    ) -> Prediction:
        """See `GuidedModel.infer_guided`. The ground is of use only with intrinsics.

        By rule nothing is left below the ground, and the prediction is brought into agreement
        with the depth that is known. A second network, where the weights have one, says how wrong
        that still is, and what looks like ground and shall be put there.
        """
        has_ground = intrinsics is not None and hints.has_ground
        if hints.depth_m is None and not has_ground:
            return self.infer(rgb, intrinsics)
        image, camera = self._prepared(rgb, intrinsics)
        rays = self._rays_of(camera)
        factor = image.new_full((1,), focal_factor(camera))
        nothing = image.new_full((1, camera.height, camera.width), torch.nan)
        ground = nothing
        if has_ground and hints.camera_height_m is not None:
            height_m = image.new_full((1,), hints.camera_height_m)
            down = uploaded(np.asarray(hints.gravity_camera, np.float32), self.device)
            ground = ground_log(rays, down[None], height_m, factor)
        known_log = nothing if hints.depth_m is None else self._known_log(hints.depth_m, camera)
        said_of_image = self.net(image, rays)
        predicted = said_of_image[:, :2]
        # a GPU is not asked: it would be waited for
        has_known = None if self.device.type == "cpu" else hints.depth_m is not None
        log_depth = follow(predicted[:, 0], known_log, ground, has_known=has_known)
        log_spread = predicted[:, 1]
        if self.hint_net is not None:
            seen = evidence(predicted, log_depth, known_log, ground)
            told = self.hint_net(image, rays, seen)
            log_depth, log_spread = with_hints(predicted, log_depth, known_log, ground, told)
        is_known = known_log.isfinite()
        if hints.keeps_depth:
            log_depth = torch.where(is_known, known_log, log_depth)
        said = torch.cat((log_depth[:, None], log_spread[:, None], said_of_image[:, 2:]), 1)
        prediction = self._prediction(said[0], camera)
        kept = unmoved(log_depth - predicted[:, 0])[0]
        if has_ground:
            kept = kept * drawn_on(predicted[:, 0], log_depth, ground)[0]
        rating = None if prediction.confidence is None else prediction.confidence * kept
        image_only = predicted[0, 0].exp() * focal_factor(camera)
        prediction = replace(prediction, confidence=rating, image_only=image_only)
        if hints.depth_m is None:
            return prediction
        if hints.keeps_depth and rating is not None:  # what was measured is no guess
            rating = rating.masked_fill(is_known[0], 1.0)
        return replace(prediction, confidence=rating, mask=~is_known[0])

    def _known_log(self, depth_m: torch.Tensor, camera: Intrinsics) -> torch.Tensor:
        """Return (1, h, w) log depth at the canonical focal length, NaN = hole."""
        seen_m = F.interpolate(
            depth_m.to(self.device)[None, None], (camera.height, camera.width), mode="nearest-exact"
        )[:, 0]
        is_known = seen_m.isfinite() & (seen_m > 0.0)
        return torch.where(is_known, (seen_m / focal_factor(camera)).log(), torch.nan)

    def _prepared(
        self, rgb: torch.Tensor, intrinsics: Intrinsics | None
    ) -> tuple[torch.Tensor, Intrinsics]:
        """Return the network's (1, 3, h, w) input and the camera of it."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != torch.uint8:
            raise FrameError(f"image {tuple(rgb.shape)} {rgb.dtype}, expected (H, W, 3) uint8")
        height, width = rgb.shape[:2]
        if min(height, width) < _MIN_SIDE_PX:
            raise FrameError(f"image of {width}x{height} pixels, expected {_MIN_SIDE_PX} or more")
        if intrinsics is None:
            intrinsics = Intrinsics.assumed(width, height)
        if (intrinsics.width, intrinsics.height) != (width, height):
            raise FrameError(
                f"intrinsics of {intrinsics.width}x{intrinsics.height} pixels for an image of "
                f"{width}x{height}"
            )
        camera = intrinsics.scaled_to(*network_size(intrinsics))
        image = rgb.to(self.device).permute(2, 0, 1)[None]
        if self.device.type != "cpu":  # there bytes are resized in a fifth of the time
            image = image.float()
        size = (camera.height, camera.width)
        image = F.interpolate(image, size, mode="bilinear", antialias=True)
        return normalise(image.float()), camera

    def _prediction(self, said: torch.Tensor, camera: Intrinsics) -> Prediction:
        """Return what (2 or 3, h, w) outputs say; the third is what is glass."""
        return Prediction(
            values=said[0].exp() * focal_factor(camera),
            kind=self.kind,
            confidence=confidence(said[1]),
            glass=said[2].sigmoid() if len(said) > 2 else None,
        )

    def _rays_of(self, camera: Intrinsics) -> torch.Tensor:
        if self._rays is None or self._rays[0] != camera:
            self._rays = camera, ray_channels(camera, self.device)[None]
        return self._rays[1]


@lru_cache(maxsize=64)  # the search would be most of what Python does for a frame
def network_size(camera: Intrinsics) -> tuple[int, int]:
    """Choose the (width, height) at which the network sees the image of a camera.

    Multiples of 32 that keep the aspect ratio and the area of the network's input as well as
    possible: 640x480 gives 224x160. What is left of the stretch is in the rays. Through a long
    lens things look larger than they did in training, and come out some 5 % too far; so such an
    image is seen smaller (`evaluation/nano/trust.py`).
    """
    focal_px = math.sqrt(camera.fx * camera.fy * NETWORK_AREA_PX / (camera.width * camera.height))
    share = LONG_LENS_AREA if focal_px > LONG_FOCAL_PX else 1.0

    def misfit(size: tuple[int, int]) -> float:
        aspect = math.log(size[0] / size[1] / (camera.width / camera.height))
        area = math.log(size[0] * size[1] / (share * NETWORK_AREA_PX))
        return 0.5 * abs(aspect) + 0.3 * abs(area)

    sides = range(SIZE_MULTIPLE, 16 * SIZE_MULTIPLE + 1, SIZE_MULTIPLE)
    return min(((w, h) for w in sides for h in sides), key=misfit)


def focal_factor(camera: Intrinsics) -> float:
    """Return metres per canonical metre for the camera of the network's input."""
    return math.sqrt(camera.fx * camera.fy) / CANONICAL_FOCAL_PX


def ray_channels(camera: Intrinsics, device: torch.device | None = None) -> torch.Tensor:
    """Return (2, height, width) float32: x/z and y/z of the viewing ray of each pixel."""
    x = (torch.arange(camera.width, dtype=torch.float32, device=device) - camera.cx) / camera.fx
    y = (torch.arange(camera.height, dtype=torch.float32, device=device) - camera.cy) / camera.fy
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows))


def normalise(image: torch.Tensor) -> torch.Tensor:
    """Map (B, 3, h, w) values 0..255 to about -2..2."""
    return (image - 127.5) / 63.75


def confidence(log_spread: torch.Tensor) -> torch.Tensor:
    """Return the probability that depth is within 25 % of the truth, scale of the image aligned.

    Args:
        log_spread: log of the expected absolute error of log depth, the scale of a Laplace
            distribution.
    """
    spread = log_spread.clamp(*_LOG_SPREAD_RANGE).exp()
    return 1.0 - torch.exp(-math.log(1.25) / spread)
