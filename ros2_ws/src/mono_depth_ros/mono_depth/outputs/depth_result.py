"""Depth of one frame as it is given out, in the size of the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch.nn.functional import interpolate

from mono_depth.camera.gravity import Vector
from mono_depth.data import Intrinsics, MotionPoints, OutputKind, PlannerUse, RgbImage, ScaleStatus
from mono_depth.outputs.holes import HoleReason, split_holes
from mono_depth.outputs.masked import where_kept
from mono_depth.outputs.pixel_class import LEAST_CONFIDENCE, classify
from mono_depth.outputs.upsampling import image_detail, resized, resized_unmixed
from mono_depth.system.threads import on_one_thread

_WITHIN = 0.999  # of a mask between its pixels: all around are part of it


@dataclass(frozen=True, kw_only=True)
class DepthLimits:
    """Which depth is given out, and what stands for depth beyond it."""

    min_m: float
    max_m: float
    beyond: float  # NaN or +Inf, value of pixels farther than max_m (REP 117)

    def apply(self, depth_m: torch.Tensor) -> torch.Tensor:
        """Return (H, W) depth with NaN below min_m and `beyond` above max_m."""
        if depth_m.device.type == "cpu":  # on a GPU the question would cost more than the work
            nearest, farthest = torch.aminmax(depth_m)
            if self.min_m <= nearest and farthest <= self.max_m:
                return depth_m
        near = where_kept(depth_m, depth_m >= self.min_m, torch.nan)
        return where_kept(near, ~(depth_m > self.max_m), self.beyond)


@dataclass(frozen=True, kw_only=True)
class DepthResult:
    """Depth of one frame. Tensors lie on the pipeline's device.

    `depth_m`, `relative`, `confidence` and `pixel_class` have the size of the image and are made
    when first asked for, so that an output nobody wants costs nothing.
    """

    stamp_ns: int  # of the input image, unchanged
    frame_id: str  # of the input image, unchanged
    rgb: RgbImage  # (H, W, 3) uint8, the image that the depth pixels lie on
    rgb_tensor: torch.Tensor  # the same on the pipeline's device
    intrinsics: Intrinsics | None
    scale: ScaleStatus
    limits: DepthLimits
    kind: OutputKind  # of the model; tells in which domain values are interpolated
    is_visible: torch.Tensor | None = None  # (H, W) bool, False = no image there
    temporal: str = "none"  # where the camera's motion came from: "pose", "flow", "static"
    temporal_reset: str = ""  # why the temporal filter forgot its past with this frame
    temporal_doubt: str = ""  # why the temporal filter did not use the odometry of this frame
    is_guided: bool = False  # edges of larger maps follow those of the image
    network_depth_m: torch.Tensor | None  # (h, w) float32, None = no metric scale
    network_relative: torch.Tensor  # (h, w) float32
    network_confidence: torch.Tensor | None  # (h, w) float32, None = the model gives none
    own_confidence: torch.Tensor | None = None  # (h, w) what the network alone says, None = nothing
    network_sky: torch.Tensor | None = None  # (h, w) bool, None = no sky
    sky_share: float = 0.0  # of the image
    network_mask: torch.Tensor | None = None  # (h, w) bool, see `mask`; None = no completion
    network_reasons: torch.Tensor | None = (
        None  # (h, w) uint8 of `HoleReason`, None = all are holes
    )
    completed: str = ""  # sensor_depth, sparse_points or guess was; "" = nothing
    motion: MotionPoints | None = None  # what the way of the camera has shown, None = not asked
    image_problem: str = ""  # why the image shows little, "" = it is a usual one
    gravity_camera: Vector | None = None  # (3,) gravity in the optical frame, None = not known
    camera_height_m: float | None = None  # of the optical centre over the ground, None = not known
    stage_ms: Mapping[str, float] = field(default_factory=dict)  # by stage, see `StageTimes`

    @property
    def planner_use(self) -> PlannerUse:
        """What a planner may do with this depth: the one place to ask."""
        return PlannerUse.NONE if self.network_depth_m is None else self.scale.planner_use

    @cached_property
    @on_one_thread
    def depth_m(self) -> torch.Tensor | None:
        """(H, W) float32 metres along z, > 0, NaN = unknown; None without a metric scale.

        Sky, and what is farther than `limits` say, has the value that they say: NaN or +Inf.
        """
        if self._any_depth_m is None:
            return None
        depth_m = self.limits.apply(self._any_depth_m)
        if self.is_sky is not None:
            depth_m = where_kept(depth_m, ~self.is_sky, self.limits.beyond)
        return self._where_visible(depth_m, torch.nan)

    @cached_property
    @on_one_thread
    def pixel_class(self) -> torch.Tensor:
        """(H, W) uint8 of `PixelClass`: 0 = unknown, 1 = seen, 2 = beyond range or sky.

        Unknown has no depth, less than `min_m`, or a confidence of next to none, as in the dark.
        Without a metric scale nothing but sky is beyond.
        """
        any_depth_m, confidence = self._any_depth_m, self.confidence
        if any_depth_m is None:
            known, is_beyond = self.relative, torch.zeros_like(confidence, dtype=torch.bool)
        else:
            known = torch.where(any_depth_m < self.limits.min_m, torch.nan, any_depth_m)
            is_beyond = any_depth_m > self.limits.max_m
        return classify(known, confidence, is_beyond=is_beyond, is_sky=self.is_sky)

    @cached_property
    @on_one_thread
    def seen_depth_m(self) -> torch.Tensor | None:
        """(H, W) float32 metres of the pixels that are seen, else NaN: what may become a point."""
        depth_m = self.depth_m
        if depth_m is None:
            return None
        if not self._is_rated_throughout:
            depth_m = where_kept(depth_m, self.confidence >= LEAST_CONFIDENCE, torch.nan)
        if math.isnan(self.limits.beyond):
            return depth_m
        return where_kept(depth_m, depth_m < self.limits.beyond, torch.nan)

    @cached_property
    @on_one_thread
    def is_sky(self) -> torch.Tensor | None:
        """(H, W) bool, True well within what was recognised as sky; None where there is none."""
        if self.network_sky is None:
            return None
        is_sky = self._resized(self.network_sky.float()) > _WITHIN
        return is_sky if self.is_visible is None else is_sky & self.is_visible

    @cached_property
    def _any_depth_m(self) -> torch.Tensor | None:
        """(H, W) float32 metres without limits; None without a metric scale."""
        if self.network_depth_m is None:
            return None
        small_m, size = self.network_depth_m, (self.rgb.shape[0], self.rgb.shape[1])
        resize = resized if self._needs_detail(small_m) else resized_unmixed
        if self.kind is OutputKind.INVERSE_AFFINE:
            depth_m = 1.0 / resize(1.0 / small_m, size)
        else:
            depth_m = resize(small_m, size)
        if self._needs_detail(small_m):
            depth_m = depth_m * image_detail(small_m.log(), self.rgb_tensor).exp()
        return depth_m

    @cached_property
    @on_one_thread
    def relative(self) -> torch.Tensor:
        """(H, W) float32 inverse depth without unit, larger = nearer, NaN = unknown."""
        relative = self._resized(self.network_relative)
        if self._needs_detail(self.network_relative):
            relative = relative + image_detail(self.network_relative, self.rgb_tensor)
        return self._where_visible(relative, torch.nan)

    @cached_property
    @on_one_thread
    def confidence(self) -> torch.Tensor:
        """(H, W) float32, 0..1; 1 where the model gives none, 0 in the sky and without depth."""
        rating = self.network_confidence
        if self._is_known_throughout and rating is not None:
            confidence = self._resized(rating)
        else:
            confidence = self._resized((~self.network_relative.isnan()).float())
            if rating is not None:
                confidence = confidence * self._resized(rating)
        if self.is_sky is not None:
            confidence = where_kept(confidence, ~self.is_sky, 0.0)
        return self._where_visible(confidence, 0.0)

    @cached_property
    def _is_known_throughout(self) -> bool:
        """Whether no pixel of the network is unknown. A GPU is not asked: that would wait."""
        values = self.network_relative
        return values.device.type == "cpu" and not bool(values.amax().isnan())

    @cached_property
    def _is_rated_throughout(self) -> bool:
        """Whether each pixel, and each between them, has more than next to no confidence."""
        rating = self.network_confidence
        if not self._is_known_throughout:
            return False
        return rating is None or float(rating.amin()) > 1.01 * LEAST_CONFIDENCE

    @cached_property
    @on_one_thread
    def mask(self) -> torch.Tensor | None:
        """(H, W) bool, True where completion had no depth to start from; None without it."""
        if self.network_mask is None:
            return None
        mask = self.network_mask[None, None].float()
        return interpolate(mask, self.rgb.shape[:2], mode="nearest")[0, 0].bool()

    @cached_property
    @on_one_thread
    def hole_reasons(self) -> torch.Tensor | None:
        """(H, W) uint8 of `HoleReason`: where and why completion had no depth; None without it."""
        if self.network_mask is None:
            return None
        if self.network_reasons is not None:
            codes = self.network_reasons * self.network_mask
        elif self.completed == "sensor_depth":
            codes = split_holes(self.network_mask)
        else:
            codes = self.network_mask.to(torch.uint8) * int(HoleReason.HOLE)
        size = self.rgb.shape[:2]
        return interpolate(codes[None, None].float(), size, mode="nearest")[0, 0].to(torch.uint8)

    def _where_visible(self, values: torch.Tensor, otherwise: float) -> torch.Tensor:
        if self.is_visible is None:
            return values
        return where_kept(values, self.is_visible, otherwise)

    def _needs_detail(self, values: torch.Tensor) -> bool:
        return self.is_guided and values.shape != self.rgb.shape[:2]

    def _resized(self, values: torch.Tensor) -> torch.Tensor:
        """Resize (h, w) to the image."""
        height, width = self.rgb.shape[:2]
        return resized(values, (height, width))
