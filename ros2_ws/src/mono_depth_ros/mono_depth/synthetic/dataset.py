"""Training images: a pure function of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.clutter import tops
from mono_depth.synthetic.frame import SyntheticFrame, sample_points
from mono_depth.synthetic.render import render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.sensor import SensorEffects
from mono_depth.synthetic.solids import unit_maps
from mono_depth.synthetic.trajectory import camera_pose
from mono_depth.synthetic.variety import rain, with_variety
from mono_depth.synthetic.visibility import RayGrid, draw
from mono_depth.synthetic.walker import free_position

HELD_OUT_SEED = 900_000_000  # seeds of evaluation start here; those of training stay below
# how often each kind of scene comes: mostly where small robots and people are
SCENE_SHARES = {
    "room": 0.38,
    "office": 0.16,
    "corridor": 0.16,
    "warehouse": 0.06,
    "street": 0.12,
    "yard": 0.12,
}
_MAP_SIZE = 320  # pixels of shadow maps: coarser than for recordings, and faster
_TRIES = 3  # places that are looked at for an image, at most
_ROBOT_HEIGHTS_M = (0.05, 1.2)
_AERIAL_HEIGHTS_M = (3.0, 30.0)
_AERIAL = 0.93  # of outdoor images, the share that is not taken from high above
_STEP = 0.06  # deviation of the step between the images of a pair, of the middle depth
_STEP_LIMIT_M = 8.0
_STEP_RAD = 0.05
_LOWEST_M = 0.04
_RAIN = 0.1  # of outdoor images
_FREE_M = 0.06
_WORTH_IT = 0.6
_SPARSE_POINTS = 200


@dataclass(frozen=True)
class _View:
    pose: F64
    worth: float


def training_sample(seed: int, width: int, height: int) -> SyntheticFrame:
    """Return one image of a random scene; see `training_views` for many at less cost."""
    return training_views(seed, width, height, 1)[0]


def training_views(
    seed: int, width: int, height: int, count: int, samples_per_pixel: int = 3
) -> list[SyntheticFrame]:
    """Return images of one random scene by random cameras in random places.

    Args:
        seed: decides everything.
        width: of the images in pixels.
        height: of the images in pixels.
        count: number of images; making the scene costs as much as one or two of them.
        samples_per_pixel: 1 to 9, where faces meet.
    """
    rng = np.random.default_rng([seed, 77])
    scene = _scene(rng)
    shot = _Shot(width=width, height=height, samples=samples_per_pixel)
    return [_image(scene, rng, shot, _draw_camera(scene, rng, shot)) for _ in range(count)]


def training_pairs(
    seed: int, width: int, height: int, places: int, samples_per_pixel: int = 3
) -> list[SyntheticFrame]:
    """Return two images, a step apart and of the same moment, from each of some places.

    Args:
        seed: decides everything.
        width: of the images in pixels.
        height: of the images in pixels.
        places: number of pairs.
        samples_per_pixel: 1 to 9, where faces meet.

    Returns:
        2 * `places` images; numbers 2 i and 2 i + 1 are a pair.
    """
    rng = np.random.default_rng([seed, 78])
    scene = _scene(rng)
    shot = _Shot(width=width, height=height, samples=samples_per_pixel)
    images = []
    for _ in range(places):
        first = _image(scene, rng, shot, _draw_camera(scene, rng, shot))
        view = _Camera(
            intrinsics=first.intrinsics,
            pose=_step(scene, rng, first),
            time_s=first.stamp_ns * 1e-9,
        )
        images += [first, _image(scene, rng, shot, view)]
    return images


@dataclass(frozen=True, kw_only=True)
class _Shot:
    width: int
    height: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class _Camera:
    intrinsics: Intrinsics
    pose: F64
    time_s: float


def _scene(rng: np.random.Generator) -> Scene:
    kinds, shares = list(SCENE_SHARES), list(SCENE_SHARES.values())
    kind = str(rng.choice(kinds, p=np.array(shares) / sum(shares)))
    return with_variety(make_scene(kind, rng, _MAP_SIZE), rng)


def _draw_camera(scene: Scene, rng: np.random.Generator, shot: _Shot) -> _Camera:
    intrinsics = Intrinsics.of_view(shot.width, shot.height, float(rng.uniform(40.0, 110.0)))
    tangent = 0.5 * shot.width / intrinsics.fx
    pose = _place(scene, rng, tangent, tangent * shot.height / shot.width)
    return _Camera(intrinsics=intrinsics, pose=pose, time_s=float(rng.uniform(0.0, 60.0)))


def _image(scene: Scene, rng: np.random.Generator, shot: _Shot, view: _Camera) -> SyntheticFrame:
    intrinsics = view.intrinsics
    seen = render(scene, intrinsics, view.pose, view.time_s, shot.samples)
    effects, light = SensorEffects.random(rng, shot.width), seen.rgb_linear
    if scene.sky is not None and rng.uniform() < _RAIN:
        light = rain(light, rng)
    return SyntheticFrame(
        rgb=effects.apply(light, rng),
        depth_m=seen.depth_m,
        intrinsics=intrinsics,
        T_odom_camera=view.pose,
        stamp_ns=round(view.time_s * 1e9),
        sparse_points_m=sample_points(seen.depth_m, intrinsics, rng, _SPARSE_POINTS, 0.01),
        mover_mask=seen.mover_mask,
        glassy=seen.glassy,
    )


def _step(scene: Scene, rng: np.random.Generator, frame: SyntheticFrame) -> F64:
    """Return a pose near that of `frame`, from which about the same is seen."""
    known = frame.depth_m[np.isfinite(frame.depth_m)]
    reach_m = _STEP * min(float(np.median(known)) if known.size else 1.0, _STEP_LIMIT_M)
    pose = frame.T_odom_camera
    for _ in range(_TRIES):
        turn = np.eye(4)
        turn[:3, :3] = cv2.Rodrigues(rng.normal(0.0, _STEP_RAD, 3))[0]
        turn[:3, 3] = rng.normal(0.0, reach_m, 3)
        stepped = np.asarray(pose @ turn)
        if stepped[2, 3] > _LOWEST_M and _clear(scene, stepped[:3, 3]):
            return stepped
    return np.asarray(pose)


def _clear(scene: Scene, spot: F64) -> bool:
    inside = spot.clip(scene.low_m + _FREE_M, scene.high_m - _FREE_M)  # high above is clear too
    return float(scene.clearance_m(inside[None])[0]) > 0.05


def _place(scene: Scene, rng: np.random.Generator, tan_x: float, tan_y: float) -> F64:
    """Return a pose from which there is something to see."""
    best = _try_place(scene, rng, tan_x, tan_y)
    for _ in range(_TRIES - 1):
        if best.worth > _WORTH_IT:
            break
        view = _try_place(scene, rng, tan_x, tan_y)
        best = max(best, view, key=lambda v: v.worth)
    return best.pose


def _try_place(scene: Scene, rng: np.random.Generator, tan_x: float, tan_y: float) -> _View:
    kind = rng.uniform()
    if kind < 0.4:
        look = _close_look if rng.uniform() < 0.4 else _look_down
        view = look(scene, rng, tan_x, tan_y)
        if view is not None:
            return view
    if kind > _AERIAL and scene.sky is not None:
        return _from_above(scene, rng, tan_x, tan_y)
    if kind < 0.6:  # robot
        height_m, flies = float(np.exp(rng.uniform(*np.log(_ROBOT_HEIGHTS_M)))), False
        pitch, roll = float(rng.normal(0.03, 0.1)), float(rng.normal(0.0, 0.04))
    elif kind < 0.84:  # hand-held
        height_m, flies = float(rng.uniform(0.8, 1.8)), False
        pitch, roll = float(rng.normal(0.18, 0.22)), _hand_roll(rng)
    else:
        height_m = float(rng.uniform(0.5, max(min(scene.high_m[2] - 0.4, 6.0), 0.6)))
        flies, pitch = True, float(rng.normal(0.2, 0.2))
        roll = float(rng.normal(0.0, 0.15))
    try:
        spot, yaw = free_position(scene, rng, height_m, 0.3, flies=flies)
    except ConfigError:
        spot, yaw = free_position(scene, rng, height_m, 0.02, flies=False)
    pose = camera_pose(spot, yaw + float(rng.normal(0.0, 0.4)), pitch, roll)
    return _View(pose, _worth(scene, pose, tan_x, tan_y))


def _from_above(scene: Scene, rng: np.random.Generator, tan_x: float, tan_y: float) -> _View:
    """Return a view from the air: up to 30 m high, looking down more or less."""
    spot = rng.uniform(scene.low_m, scene.high_m)
    spot[2] = np.exp(rng.uniform(*np.log(_AERIAL_HEIGHTS_M)))
    yaw, pitch = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.15, 1.5))
    pose = camera_pose(spot, yaw, pitch, float(rng.normal(0.0, 0.1)))
    return _View(pose, _worth(scene, pose, tan_x, tan_y))


def _close_look(scene: Scene, rng: np.random.Generator, tan_x: float, tan_y: float) -> _View | None:
    """Return a view of some small thing from 0.4 to 1.6 m, None where it is hemmed in."""
    small = np.flatnonzero(scene.solids.half_size_m.max(axis=1) < 0.3)
    if not len(small):
        return None
    target = scene.solids.center_m[int(rng.choice(small))]
    spot, yaw, rise = _seen_from(target, rng, (0.4, 1.6), (0.0, 0.9))
    if float(scene.clearance_m(spot[None])[0]) < 0.12:
        return None
    pitch = rise + float(rng.normal(0, 0.1))
    pose = camera_pose(spot, yaw, pitch, float(rng.normal(0.0, 0.15)))
    return _View(pose, _worth(scene, pose, tan_x, tan_y))


def _look_down(scene: Scene, rng: np.random.Generator, tan_x: float, tan_y: float) -> _View | None:
    """Return a view down on a table or the floor from 0.4 to 2 m, None where it is hemmed in."""
    surfaces = tops(scene.solids)
    if surfaces and rng.uniform() < 0.75:
        area = np.array([np.prod(top.half_m) for top in surfaces])
        target = surfaces[int(rng.choice(len(surfaces), p=area / area.sum()))].at(rng)
    else:
        target = rng.uniform(scene.low_m, scene.high_m) * (1.0, 1.0, 0.0)
    spot, yaw, rise = _seen_from(target, rng, (0.4, 2.0), (0.2, 1.45))
    if float(scene.clearance_m(spot[None])[0]) < 0.15:
        return None
    pose = camera_pose(spot, yaw, rise + float(rng.normal(0, 0.15)), _hand_roll(rng))
    return _View(pose, _worth(scene, pose, tan_x, tan_y))


def _seen_from(
    target: F64,
    rng: np.random.Generator,
    distance_m: tuple[float, float],
    rise_rad: tuple[float, float],
) -> tuple[F64, float, float]:
    """Return a place around a point, and the heading and the pitch that look at it."""
    angle, rise = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(*rise_rad))
    away = np.array([np.cos(angle) * np.cos(rise), np.sin(angle) * np.cos(rise), np.sin(rise)])
    spot = target + float(rng.uniform(*distance_m)) * away
    return spot, angle + np.pi + float(rng.normal(0, 0.15)), rise


def _hand_roll(rng: np.random.Generator) -> float:
    """Return the roll of a camera in a hand: mostly level, sometimes not at all."""
    return float(rng.normal(0.0, 0.12 if rng.uniform() < 0.75 else 0.5))


def _worth(scene: Scene, pose: F64, tan_x: float, tan_y: float) -> float:
    """Return how much there is to see, 0..1: many things, none right before the lens."""
    x = np.linspace(-tan_x, tan_x, 24, dtype=np.float32)
    y = np.linspace(-tan_y, tan_y, 18, dtype=np.float32)
    seen = draw(scene.solids, pose, RayGrid.pinhole(x, y), unit_maps(scene.solids, pose))
    _, pixels = np.unique(seen.solid, return_counts=True)
    things = min(1.0, float((pixels >= 3).sum()) / 8.0)
    share = float(pixels.max()) / seen.solid.size
    close = float((seen.depth_m < 0.3).mean())
    return things * (1.0 if share < 0.75 else 0.5) * (1.0 if close < 0.08 else 0.2)
