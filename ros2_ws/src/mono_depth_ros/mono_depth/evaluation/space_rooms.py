"""The space report on rendered rooms: how far off it is, and how often its intervals hold."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from mono_depth.data import DepthImage, Frame, Intrinsics, RgbImage
from mono_depth.errors import FrameError
from mono_depth.report.figures import Deviations
from mono_depth.report.room import SIDES
from mono_depth.report.space_report import KnownLength, Pixel, SpaceReport, View, space_report
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.render import render
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.sensor import SensorEffects, auto_gain

_HEIGHT_M = (1.2, 1.7)
_FOV_DEG = 80.0
_PITCH_DEG = (-2.0, 12.0)  # downwards
_SEEN, _UNSEEN = 0.03, 0.001  # shares of pixels from which a ceiling is in view, or is not
_LEAST_WALL_SHARE = 0.05
_MAP_PX = 256
_TRIES = 60
_CLEARANCE_M = 0.45
_KNOWN_SPAN = (0.2, 0.6)  # columns of a length that a user would know, shares of the width


@dataclass(frozen=True, kw_only=True)
class RoomView:
    """An image of a rendered room, and the truth."""

    rgb: RgbImage
    depth_m: DepthImage
    camera: Intrinsics
    gravity_camera: F64
    height_m: float  # of the camera
    walls_m: tuple[float, float, float, float]  # distances of +x, -x, +y, -y
    T_odom_camera: F64
    room_height_m: float
    ceiling_share: float  # of the pixels


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One figure against the truth."""

    name: str
    error_rel: float
    holds: bool  # the interval holds the truth
    half_width_rel: float


def room_view(seed: int, size: tuple[int, int] = (320, 240)) -> RoomView:
    """Render a furnished room as one sees it who stands in it and looks at the far side."""
    rng = np.random.default_rng([seed, 77])
    scene = make_scene("room", np.random.default_rng([seed, 0]), _MAP_PX)
    low, high = scene.low_m, scene.high_m
    place = np.array([0.0, 0.0, float(rng.uniform(*_HEIGHT_M))])
    for _ in range(_TRIES):
        place[:2] = rng.uniform(0.8, 1.0, 2) * rng.choice((low[:2] + 0.4, high[:2] - 0.4))
        if scene.clearance_m(place[None], (0.0, 1.9))[0] > _CLEARANCE_M:
            break
    yaw = np.arctan2(-place[1], -place[0]) + float(rng.normal(0.0, 0.3))
    T = _looking(place, float(yaw), np.radians(float(rng.uniform(*_PITCH_DEG))))
    camera = Intrinsics.of_view(*size, _FOV_DEG)
    image = render(scene, camera, T, 0.0, 4)
    rgb = SensorEffects().apply(image.rgb_linear, rng, auto_gain(image.rgb_linear))
    heights = _heights(image.depth_m, camera, T)
    return RoomView(
        rgb=rgb,
        depth_m=image.depth_m,
        camera=camera,
        gravity_camera=-T[2, :3],
        height_m=float(place[2]),
        walls_m=(high[0] - place[0], place[0] - low[0], high[1] - place[1], place[1] - low[1]),
        T_odom_camera=T,
        room_height_m=float(high[2]),
        ceiling_share=float(np.mean(heights > high[2] - 0.02)),
    )


def judged(view: RoomView, report: SpaceReport) -> list[Miss]:
    """Compare the figures of a report with the truth of a view."""
    truths = {"camera height": view.height_m, "room height": view.room_height_m}
    for side in SIDES:
        truths[f"distance to the {side} wall"] = _wall_m(view, report, side)
    truths["room width"] = sum(_wall_m(view, report, side) for side in ("left", "right"))
    truths["room depth"] = sum(_wall_m(view, report, side) for side in ("front", "back"))
    found = []
    for name, true in truths.items():
        figure = report.figure(name)
        if figure.value is None or figure.low is None or figure.high is None:
            continue
        found.append(
            Miss(
                name=name,
                error_rel=figure.value / true - 1.0,
                holds=figure.low <= true <= figure.high,
                half_width_rel=0.5 * (figure.high - figure.low) / figure.value,
            )
        )
    return found


def space_rooms(
    rooms: int,
    depth_of: Callable[[Frame, DepthImage], tuple[DepthImage, Deviations]],
    *,
    with_height: bool = False,
    with_known_length: bool = False,
) -> str:
    """Return a table of the errors on some rooms.

    Args:
        rooms: how many.
        depth_of: gives the depth of a frame and its deviations; it is shown the truth, too.
        with_height: the frame tells the height of the camera and gravity.
        with_known_length: a distance of two pixels of the image is told.
    """
    misses: dict[str, list[Miss]] = defaultdict(list)
    ceilings = {"guessed": 0, "unseen": 0, "missed": 0, "seen": 0}
    nothing = 0
    for seed in tqdm(range(rooms), desc="rooms", unit="room", file=sys.stderr):
        view = room_view(seed)
        frame = Frame(
            rgb=view.rgb,
            stamp_ns=1 + seed,
            frame_id="camera",
            intrinsics=view.camera,
            gravity_camera=view.gravity_camera if with_height else None,
            camera_height_m=view.height_m if with_height else None,
        )
        depth_m, sigmas = depth_of(frame, view.depth_m)
        seen = View(
            rgb=view.rgb,
            depth_m=depth_m,
            intrinsics=view.camera,
            gravity_camera=frame.gravity_camera,
        )
        known = known_length_of(view) if with_known_length else None
        try:
            report = space_report([seen], sigmas, scale_source="a test", known=known)
        except FrameError:
            nothing += 1
            continue
        has_height = report.figure("room height").value is not None
        ceilings["unseen"] += view.ceiling_share < _UNSEEN
        ceilings["guessed"] += has_height and view.ceiling_share < _UNSEEN
        ceilings["seen"] += view.ceiling_share > _SEEN
        ceilings["missed"] += not has_height and view.ceiling_share > _SEEN
        for miss in judged(view, report):
            misses[_kind(miss.name)].append(miss)
    return _table(misses, rooms, nothing, ceilings)


def _kind(name: str) -> str:
    return "distance to a wall" if name.startswith("distance") else name


def _table(
    misses: dict[str, list[Miss]], rooms: int, nothing: int, ceilings: dict[str, int]
) -> str:
    lines = [
        "| figure | seen | median error | 90th | within 2 % | interval holds | median half-width |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, found in sorted(misses.items()):
        error = np.abs([miss.error_rel for miss in found])
        cells = (
            kind,
            str(len(found)),
            f"{100 * np.median(error):.1f} %",
            f"{100 * np.quantile(error, 0.9):.1f} %",
            f"{100 * np.mean(error <= 0.02):.0f} %",
            f"{100 * np.mean([miss.holds for miss in found]):.0f} %",
            f"{100 * np.median([miss.half_width_rel for miss in found]):.0f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"{rooms} rooms, {nothing} of them without any surface. Ceilings: of {ceilings['seen']} in "
        f"view {ceilings['missed']} were not seen; of {ceilings['unseen']} out of view "
        f"{ceilings['guessed']} got a figure.",
    ]
    return "\n".join(lines) + "\n"


def _wall_m(view: RoomView, report: SpaceReport, side: str) -> float:
    """Return the true distance of the wall that lies on a side of the camera."""
    ahead = view.T_odom_camera[:3, :3] @ report.room.direction(side)
    axis = int(np.argmax(np.abs(ahead[:2])))
    return float(view.walls_m[2 * axis + (ahead[axis] < 0.0)])


def known_length_of(view: RoomView) -> KnownLength | None:
    """Return the distance of two pixels on one row that see about the same depth, as told."""
    height, width = view.depth_m.shape
    columns = [round(share * width) for share in _KNOWN_SPAN]
    best: tuple[float, Pixel, Pixel] | None = None
    for row in range(height // 3, height, 8):
        near, far = (float(view.depth_m[row, column]) for column in columns)
        jump = abs(near / far - 1.0)
        if np.isfinite(jump) and (best is None or jump < best[0]):
            best = jump, (columns[0], row), (columns[1], row)
    if best is None:
        return None
    points = []
    for u, v in best[1:]:
        z, K = float(view.depth_m[round(v), round(u)]), view.camera
        points.append(np.array([(u - K.cx) / K.fx * z, (v - K.cy) / K.fy * z, z]))
    length_m = float(np.linalg.norm(points[0] - points[1]))
    return KnownLength(start=best[1], end=best[2], length_m=length_m)


def _looking(place: F64, yaw: float, pitch: float) -> F64:
    """Return T_odom_camera of a camera that looks along a yaw, and down by a pitch."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    T = np.eye(4)
    T[:3, :3] = np.column_stack((right, np.cross(ahead, right), ahead))
    T[:3, 3] = place
    return T


def _heights(depth_m: DepthImage, camera: Intrinsics, T: F64) -> F64:
    """Return (H, W) heights over the floor of what the pixels see."""
    columns = (np.arange(camera.width) - camera.cx) / camera.fx
    rows = (np.arange(camera.height) - camera.cy) / camera.fy
    x, y = np.meshgrid(columns, rows)
    return np.asarray(T[2, 3] + depth_m * (T[2, 0] * x + T[2, 1] * y + T[2, 2]))
