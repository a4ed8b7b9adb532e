"""The values that travel through the pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from mono_depth.errors import FrameError
from mono_depth.hidden import Hidden, split_holes
from mono_depth.refine import picture_detail, resized
from mono_depth.threads import on_one_thread

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3), row 0 on top
Mask = npt.NDArray[np.bool_]  # (H, W)
DepthImage = npt.NDArray[np.float32]  # (H, W) metres, NaN = no value


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """Pinhole camera of a rectified image, pixel centres at integer coordinates.

    A point (x, y, z) in the optical frame (REP 103: x right, y down, z forward) is
    seen at column `fx * x / z + cx`, row `fy * y / z + cy`.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0.0 or self.fy <= 0.0:
            raise FrameError(f"fx, fy, cx, cy = {values} is not a pinhole camera")
        if self.width < 1 or self.height < 1:
            raise FrameError(f"camera of {self.width}x{self.height} pixels")

    def scaled_to(self, width: int, height: int) -> Intrinsics:
        """Return the camera of the same view resized to `width` x `height` pixels.

        Resizing keeps pixel edges, not pixel centres, in place: c' = (c + 0.5) s - 0.5.
        """
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the 3x3 camera matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One rectified camera image, with the time and optical frame it belongs to."""

    rgb: RgbImage  # (H, W, 3) uint8
    stamp_ns: int  # acquisition time, clock of the camera's stamps
    frame_id: str  # optical frame, REP 103
    intrinsics: Intrinsics | None = None  # None = uncalibrated camera, no metric output
    is_visible: Mask | None = None  # (H, W) bool, False where rectification left no picture
    # What else is known at the stamp; all of it optional. Optical frame: REP 103.
    T_odom_camera: npt.NDArray[np.float64] | None = None  # (4, 4), camera = optical frame
    sparse_points_m: npt.NDArray[np.float32] | None = None  # (N, 3) in the optical frame
    # (h, w) of the same view in any resolution, NaN = hole: to be completed, and to scale by.
    sensor_depth_m: DepthImage | None = None
    down_camera: npt.NDArray[np.float64] | None = None  # (3,) unit vector of gravity
    camera_height_m: float | None = None  # of the optical centre over the ground


class OutputKind(str, Enum):
    """What the numbers of a network mean. Kinds are never mixed up or converted in silence."""

    METRIC = "metric"  # depth in metres
    METRIC_FOCAL = "metric_focal"  # depth in metres by the focal length of the camera
    INVERSE_AFFINE = "inverse_affine"  # a / depth + b with unknown a > 0 and b
    DEPTH_AFFINE = "depth_affine"  # a * depth + b with unknown a > 0 and b
    COMPLETION = "completion"  # depth in metres, given a partial depth map


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The output of a network for one frame, at the network's own resolution."""

    values: torch.Tensor  # (h, w) float32 on the model's device; its kind tells the unit
    kind: OutputKind
    confidence: torch.Tensor | None = None  # (h, w) float32, 0..1, None = the model has none
    mask: torch.Tensor | None = None  # (h, w) bool, True = completion had no depth there
    reasons: torch.Tensor | None = None  # (h, w) uint8 of `Hidden`, why; None = it was a hole


@dataclass(frozen=True, kw_only=True)
class ScaleStatus:
    """Where the metres come from, how sure they are, or why there are none.

    State: uninitialised = nothing known; converging = measured, not yet trusted; valid;
    degraded = less certain or older than wanted; lost = was known once.

    With source fixed, scale and shift are the two parameters. Else they are, for models of
    metres, 1 / depth = 1 / (scale * output) + shift; of inverse depth, 1 / depth =
    scale * output + shift; of depth without scale, depth = scale * output + shift.
    """

    source: str  # model, model_focal, fixed, sparse_points, ground_plane, odometry or none
    state: str  # uninitialised, converging, valid, degraded or lost
    reason: str = ""  # why the state is not valid; empty when it is
    is_usable: bool = True  # False: no metres are given although the state might allow it
    scale: float = math.nan
    shift: float = 0.0
    sigma_rel: float = math.nan  # relative deviation of the scale, NaN = not known
    age_s: float = 0.0  # since the last accepted measurement, Inf = never; 0 = needs none
    inliers: int = 0  # points of the last accepted measurement
    last_reject: str = ""  # why the last refused measurement was refused
    conflict: str = ""  # which two sources contradict one another

    @property
    def is_metric(self) -> bool:
        """Tell whether depth in metres is given."""
        return self.is_usable and self.state in ("valid", "degraded", "lost")


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
        far = torch.where(depth_m > self.max_m, self.beyond, depth_m)
        return torch.where(depth_m < self.min_m, torch.nan, far)


@dataclass(frozen=True, kw_only=True)
class DepthResult:
    """Depth of one frame. Tensors lie on the pipeline's device.

    `depth_m`, `relative` and `confidence` have the size of the image and are made when first
    asked for, so that an output nobody wants costs nothing.
    """

    stamp_ns: int  # of the input image, unchanged
    frame_id: str  # of the input image, unchanged
    rgb: RgbImage  # (H, W, 3) uint8, the image that the depth pixels lie on
    rgb_tensor: torch.Tensor  # the same on the pipeline's device
    intrinsics: Intrinsics | None
    scale: ScaleStatus
    limits: DepthLimits
    kind: OutputKind  # of the model; tells in which domain values are interpolated
    is_visible: torch.Tensor | None = None  # (H, W) bool, False = no picture there
    temporal: str = "none"  # where the camera's motion came from: "pose", "flow", "static"
    temporal_reset: str = ""  # why the temporal filter forgot its past with this frame
    is_guided: bool = False  # edges of larger maps follow those of the picture
    network_depth_m: torch.Tensor | None  # (h, w) float32, None = no metric scale
    network_relative: torch.Tensor  # (h, w) float32
    network_confidence: torch.Tensor | None  # (h, w) float32, None = the model gives none
    network_mask: torch.Tensor | None = None  # (h, w) bool, see `mask`; None = no completion
    network_reasons: torch.Tensor | None = None  # (h, w) uint8 of `Hidden`, None = all are holes
    completed: str = ""  # what was completed: sensor_depth, sparse_points, guess; "" = nothing
    stage_ms: Mapping[str, float] = field(default_factory=dict)  # wall time by stage

    @cached_property
    @on_one_thread
    def depth_m(self) -> torch.Tensor | None:
        """(H, W) float32 metres along z, > 0, NaN = unknown; None without a metric scale."""
        if self.network_depth_m is None:
            return None
        if self.kind is OutputKind.INVERSE_AFFINE:
            depth_m = 1.0 / self._resized(1.0 / self.network_depth_m)
        else:
            depth_m = self._resized(self.network_depth_m)
        if self._needs_detail(self.network_depth_m):
            depth_m = depth_m * picture_detail(self.network_depth_m.log(), self.rgb_tensor).exp()
        return self._where_visible(self.limits.apply(depth_m), torch.nan)

    @cached_property
    @on_one_thread
    def relative(self) -> torch.Tensor:
        """(H, W) float32 inverse depth without unit, larger = nearer, NaN = unknown."""
        relative = self._resized(self.network_relative)
        if self._needs_detail(self.network_relative):
            relative = relative + picture_detail(self.network_relative, self.rgb_tensor)
        return self._where_visible(relative, torch.nan)

    @cached_property
    @on_one_thread
    def confidence(self) -> torch.Tensor:
        """(H, W) float32, 0..1; 1 where the model gives none, 0 where it gives no depth."""
        known = self._resized((~self.network_relative.isnan()).float())
        if self.network_confidence is None:
            return self._where_visible(known, 0.0)
        return self._where_visible(known * self._resized(self.network_confidence), 0.0)

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
    def hidden(self) -> torch.Tensor | None:
        """(H, W) uint8 of `Hidden`: where and why completion had no depth; None without it."""
        if self.network_mask is None:
            return None
        if self.network_reasons is not None:
            codes = self.network_reasons * self.network_mask
        elif self.completed == "sensor_depth":
            codes = split_holes(self.network_mask)
        else:
            codes = self.network_mask.to(torch.uint8) * int(Hidden.HOLE)
        size = self.rgb.shape[:2]
        return interpolate(codes[None, None].float(), size, mode="nearest")[0, 0].to(torch.uint8)

    def _where_visible(self, values: torch.Tensor, otherwise: float) -> torch.Tensor:
        if self.is_visible is None:
            return values
        return torch.where(self.is_visible, values, otherwise)

    def _needs_detail(self, values: torch.Tensor) -> bool:
        return self.is_guided and values.shape != self.rgb.shape[:2]

    def _resized(self, values: torch.Tensor) -> torch.Tensor:
        """Resize (h, w) to the image."""
        height, width = self.rgb.shape[:2]
        return resized(values, (height, width))
