"""How far a robot is told things are where its ground is no level floor.

Tables, platforms, ramps, stairs and edges in front of a robot that knows the height of its camera,
seen by a simulated network whose metres are right. Ground that is taken for level floor and is
not makes all of them too far.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import DepthImage, Frame, Intrinsics, OutputKind, Prediction, ScaleStatus
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.scale.tracker import ScaleTracker

CAMERA = Intrinsics(width=96, height=72, fx=80.0, fy=80.0, cx=47.5, cy=35.5)
ALONG_M = np.linspace(0.02, 12.0, 3000)
THINGS = ("table", "platform", "ramp", "stairs", "edge")
# What no single view tells: a table that begins behind the lowest row of the image, a platform
# that fills the view.
HIDDEN_THINGS = ("table below the image", "platform that fills the view")
SCENES = 40

_NUMBER = 5
_MOST = 1.05  # times the truth, while the state is valid
_FRAMES = 6
_BACK_M = 8.0  # of a wall behind all
_NOISE = 0.02  # of the network, relative and smooth

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GroundScene:
    """A view along a ground that is the same across the way."""

    thing: str
    depth_m: DepthImage  # (h, w)
    height_m: float  # of the camera over the floor that it stands on
    pitch_deg: float  # of the camera, down

    @property
    def gravity_camera(self) -> Floats:
        """(3,) unit vector of gravity in the optical frame."""
        pitch = math.radians(self.pitch_deg)
        return np.array([0.0, math.cos(pitch), math.sin(pitch)])


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a robot is told about one frame of a scene."""

    ratio: float  # median of given / true metres
    status: ScaleStatus


def ground_scene(
    seed: int, things: Sequence[str] = THINGS
) -> tuple[GroundScene, np.random.Generator]:
    """Return a scene by its seed, and the generator of what comes after it.

    Each thing comes up in turn; a table may begin a little below the image.
    """
    rng = np.random.default_rng(seed)
    thing = things[seed % len(things)]
    height_m, pitch_deg = rng.uniform(0.4, 1.5), rng.uniform(5.0, 30.0)
    if thing in HIDDEN_THINGS:
        begins_m = rng.uniform(0.2, 0.9) * foot_m(height_m, pitch_deg)
    else:
        least = -0.5 if thing == "table" else 0.3
        begins_m = foot_m(height_m, pitch_deg) + rng.uniform(least, 2.0) * height_m
    ground_m = profile(thing, rng, height_m, begins_m)
    scene = GroundScene(
        thing=thing,
        depth_m=depth_of(ground_m, height_m, pitch_deg),
        height_m=height_m,
        pitch_deg=pitch_deg,
    )
    return scene, rng


def profile(thing: str, rng: np.random.Generator, height_m: float, begins_m: float) -> Floats:
    """Return how high the ground lies along the way, (N,) metres at `ALONG_M`."""
    beyond = np.maximum(ALONG_M - begins_m, 0.0)
    is_there = beyond > 0.0
    if thing.startswith("table"):
        ends = beyond > rng.uniform(0.8, 2.5) * height_m
        return np.where(is_there & ~ends, rng.uniform(0.4, 0.7) * height_m, 0.0)
    if thing.startswith("platform"):
        return np.where(is_there, rng.uniform(0.1, 0.4) * height_m, 0.0)
    if thing == "ramp":
        slope_deg = rng.choice((-1, 1)) * rng.uniform(5.0, 15.0)
        return np.asarray(beyond * np.tan(np.radians(slope_deg)))
    if thing == "stairs":
        tread_m = rng.uniform(0.25, 0.35)
        return np.asarray(rng.choice((-1, 1)) * 0.17 * np.ceil(beyond / tread_m))
    return np.where(is_there, -rng.uniform(0.2, 1.0), 0.0)


def depth_of(ground_m: Floats, height_m: float, pitch_deg: float) -> DepthImage:
    """Return (h, w) depth of a ground that is the same across the way, up to a wall."""
    pitch = np.radians(pitch_deg)
    fall = np.tan(np.arctan((np.arange(CAMERA.height) - CAMERA.cy) / CAMERA.fy) + pitch)
    ray_m = height_m - fall[:, None] * ALONG_M
    hits = (ray_m <= ground_m) | (ALONG_M >= _BACK_M)
    along_m = ALONG_M[hits.argmax(axis=1)]
    depth_m = along_m * np.cos(pitch) + along_m * fall * np.sin(pitch)
    shape = (CAMERA.height, CAMERA.width)
    return np.asarray(np.broadcast_to(depth_m[:, None], shape), np.float32)


def foot_m(height_m: float, pitch_deg: float) -> float:
    """Return how far away the lowest row of the image sees level ground."""
    below = np.arctan((CAMERA.height - 1 - CAMERA.cy) / CAMERA.fy) + np.radians(pitch_deg)
    return float(height_m / np.tan(below))


def told_about(
    scene: GroundScene,
    views_m: Sequence[DepthImage],
    rng: np.random.Generator,
    *,
    is_known: bool = True,
    scale: float = 1.0,
    risen_m: Sequence[float] | None = None,
) -> Iterator[Told]:
    """Yield what a robot is told for each view that a simulated network shows it.

    Args:
        scene: height and pitch of the camera.
        views_m: (h, w) depth of each frame.
        rng: of the network's noise.
        is_known: the direction of gravity is.
        scale: what the network says / what is true.
        risen_m: how high the camera is by odometry, of each frame; then its height is a parameter.
    """
    tracker = ScaleTracker()
    is_drone = risen_m is not None
    config = ScaleConfig(camera_height_m=scene.height_m) if is_drone else ScaleConfig()
    for index, depth_m in enumerate(views_m):
        coarse = rng.standard_normal((6, 8)).astype(np.float32)
        noise = np.exp(_NOISE * cv2.resize(coarse, (CAMERA.width, CAMERA.height)))
        frame = Frame(
            rgb=np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8),
            stamp_ns=index * 100_000_000,
            frame_id="camera",
            intrinsics=CAMERA,
            camera_height_m=scene.height_m,
            gravity_camera=scene.gravity_camera if is_known else None,
            T_odom_camera=None if risen_m is None else _risen_to(risen_m[index]),
        )
        values = torch.from_numpy((scale * depth_m * noise).astype(np.float32))
        metres, status = tracker.update(
            Prediction(values=values, kind=OutputKind.METRIC), frame, config
        )
        ratio = math.nan if metres is None else float(np.nanmedian(metres.numpy() / depth_m))
        yield Told(ratio=ratio, status=status)


def _risen_to(height_m: float) -> Floats:
    T = np.eye(4)
    T[2, 3] = height_m
    return T


def too_far_scenes(things: Sequence[str] = THINGS, *, is_known: bool = True) -> list[float]:
    """Return for each of the scenes by how many times it is too far at worst while valid, or 1."""
    worst = []
    for seed in range(SCENES):
        scene, rng = ground_scene(seed, things)
        told = told_about(scene, [scene.depth_m] * _FRAMES, rng, is_known=is_known)
        worst.append(max((t.ratio for t in told if t.status.state == "valid"), default=1.0))
    return worst


def uneven_rows() -> list[BoundRow]:
    """Return how far is told at worst, of all scenes and of those that no single view tells."""
    where = f"{SCENES} scenes"
    return [
        BoundRow(
            number=_NUMBER,
            measure=f"{name}: metres / true, the worst while valid",
            where=where,
            value=max(too_far_scenes(things)),
            limit=_MOST,
        )
        for name, things in (
            ("table, platform, ramp, stairs, edge", THINGS),
            ("begun below the image, or all of the view", HIDDEN_THINGS),
        )
    ]
