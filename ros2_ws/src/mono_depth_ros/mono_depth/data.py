"""The values that travel through the pipeline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mono_depth.errors import FrameError

if TYPE_CHECKING:
    import torch  # takes seconds to import, and no value here computes anything

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3), row 0 on top
Mask = npt.NDArray[np.bool_]  # (H, W)
DepthImage = npt.NDArray[np.float32]  # (H, W) metres, NaN = no value

ASSUMED_FOV_DEG = 60.0  # of a camera that nothing is known about, across its longer side


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

    @classmethod
    def of_view(cls, width: int, height: int, horizontal_fov_deg: float) -> Intrinsics:
        """Return an ideal camera: square pixels, the axis in the middle of the image."""
        focal_px = 0.5 * width / math.tan(math.radians(0.5 * horizontal_fov_deg))
        return cls(
            width=width,
            height=height,
            fx=focal_px,
            fy=focal_px,
            cx=0.5 * (width - 1),
            cy=0.5 * (height - 1),
        )

    @classmethod
    def assumed(cls, width: int, height: int) -> Intrinsics:
        """Return the camera that stands in for an unknown one: 60 degrees, the longer side."""
        square = cls.of_view(max(width, height), max(width, height), ASSUMED_FOV_DEG)
        return replace(
            square, width=width, height=height, cx=0.5 * (width - 1), cy=0.5 * (height - 1)
        )

    @classmethod
    def assumed_for(cls, rgb: RgbImage) -> Intrinsics:
        """Return the `assumed` camera of an (H, W, 3) image."""
        height, width = rgb.shape[:2]
        return cls.assumed(width, height)

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
    is_visible: Mask | None = None  # (H, W) bool, False where rectification left no image
    # What else is known at the stamp; all of it optional. Optical frame: REP 103.
    T_odom_camera: npt.NDArray[np.float64] | None = None  # (4, 4), camera = optical frame
    sparse_points_m: npt.NDArray[np.float32] | None = None  # (N, 3) in the optical frame
    # (h, w) of the same view in any resolution, NaN = hole: to be completed, and to scale by.
    sensor_depth_m: DepthImage | None = None
    gravity_camera: npt.NDArray[np.float64] | None = None  # (3,) unit vector of gravity
    camera_height_m: float | None = None  # of the optical centre over the ground
    # Longest time between two images in a row since the frame before, those that a slow network
    # did not take included; None = each image is a frame.
    longest_gap_s: float | None = None


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
    reasons: torch.Tensor | None = None  # (h, w) uint8 of `HoleReason`, why; None = it was a hole
    # Relative deviation of the scale of its metres, by the network's record; NaN = not told.
    scale_sigma_rel: float = math.nan
    is_measured: bool = False  # its metres are those of a depth sensor, which it completed
    image_only: torch.Tensor | None = None  # (h, w) values before hints moved them; None = none did
    glass: torch.Tensor | None = None  # (h, w) probability of glass or a mirror, None = not said


class PlannerUse(str, Enum):
    """What a planner may do with the depth of a frame. Decided here, read by what comes behind."""

    NONE = "none"  # there are no metres
    MARK = "mark"  # obstacles may be marked, but no space may be cleared
    MARK_AND_CLEAR = "mark_and_clear"  # the scale is known: space up to what is seen is free


@dataclass(frozen=True, kw_only=True)
class FollowedCorners:
    """Corners that were followed from an image to the next one that was taken."""

    since_ns: int  # stamp of the image before
    before: npt.NDArray[np.float64]  # (N, 2) column and row in that image
    now: npt.NDArray[np.float64]  # (N, 2) in this one


@dataclass(frozen=True, kw_only=True)
class MotionPoints:
    """Points of known depth that the motion of the camera has shown, and why there are no more."""

    pixels: npt.NDArray[np.float64]  # (N, 2) column and row of the image
    depth_m: npt.NDArray[np.float64]  # (N,) along z
    sigma_rel: npt.NDArray[np.float64]  # (N,) relative deviation of the depth
    views: npt.NDArray[np.intp]  # (N,) that each was measured in
    age_s: npt.NDArray[np.float64]  # (N,) since each was followed last, 0 = it is
    followed: int = 0  # corners
    refused: float = 0.0  # share of the followed ones that do not move as resting things do
    parallax_px: float = 0.0  # median of the corners since the newest key view
    reason: str = ""  # why there are none, "" = there are some
    # Corners that are followed without a depth, (M, 2) column and row: those that do not yet tell
    # it, and those that do not move as resting things do.
    unknown: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    moving: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    corners: FollowedCorners | None = None  # all that are followed, None = none are

    def __len__(self) -> int:
        return len(self.depth_m)

    @classmethod
    def none(cls, reason: str, *, followed: int = 0) -> MotionPoints:
        """Return no points."""
        nothing = np.empty(0)
        return cls(
            pixels=np.empty((0, 2)),
            depth_m=nothing,
            sigma_rel=nothing,
            views=np.empty(0, np.intp),
            age_s=nothing,
            followed=followed,
            reason=reason,
        )


@dataclass(frozen=True, kw_only=True)
class ScaleStatus:
    """Where the metres come from, how sure they are, or why there are none.

    State: uninitialised = nothing known; assumed = metres that only the network claims; held =
    measured in an earlier run, not yet in this one; converging = measured, not yet trusted; valid;
    degraded = less certain or older than wanted; lost = was known once.

    With source fixed, scale and shift are the two parameters. Else they are, for models of
    metres, 1 / depth = 1 / (scale * output) + shift; of inverse depth, 1 / depth =
    scale * output + shift; of depth without scale, depth = scale * output + shift.
    """

    source: str  # model, model_focal, fixed, sparse_points, ground_plane, odometry or none
    state: str  # uninitialised, assumed, held, converging, valid, degraded or lost
    reason: str = ""  # why the state is not valid; empty when it is
    is_usable: bool = True  # False: no metres are given although the state might allow it
    scale: float = math.nan
    shift: float = 0.0
    sigma_rel: float = math.nan  # relative deviation of the scale, NaN = not known
    age_s: float = 0.0  # since the last accepted measurement, Inf = never; 0 = needs none
    inliers: int = 0  # points of the last accepted measurement
    last_reject: str = ""  # why the last refused measurement was refused
    conflict: str = ""  # which two sources contradict one another
    image_allows: PlannerUse = PlannerUse.MARK_AND_CLEAR  # the most, of an image that shows little

    @property
    def is_metric(self) -> bool:
        """Tell whether depth in metres is given."""
        return self.is_usable and self.state != "uninitialised"

    @property
    def planner_use(self) -> PlannerUse:
        """What a planner may do with these metres.

        Space is cleared by metres that are trusted now and that nothing contradicts: an error of
        scale of 1.5 in what is assumed, held or degraded would wipe out an obstacle that is there.
        """
        if not self.is_metric or self.image_allows is PlannerUse.NONE:
            return PlannerUse.NONE
        is_sure = self.state == "valid" and not self.conflict
        is_sure &= self.image_allows is PlannerUse.MARK_AND_CLEAR
        return PlannerUse.MARK_AND_CLEAR if is_sure else PlannerUse.MARK
