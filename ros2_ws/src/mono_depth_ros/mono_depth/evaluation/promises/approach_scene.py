"""Something that comes at a camera that stands still: a box or a person before a wall."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic import palette as look
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.frame import SyntheticFrame
from mono_depth.synthetic.furniture import hard, person
from mono_depth.synthetic.indoor_light import lamp_light
from mono_depth.synthetic.interior import room_box
from mono_depth.synthetic.materials import MaterialTable
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.render import render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.sensor import SensorEffects, auto_gain

BODIES = ("box", "plain box", "person")

_ROOM_M = (10.0, 8.0, 3.0)
_WALL_M = 4.0  # before the camera
_BOX_M = (0.3, 1.0, 0.7)  # deep, wide, high
_CAMERA_HEIGHT_M = 1.2
_FOV_DEG = 66.0
_MAP_SIZE = 256


class Approach:
    """A recording of a body that comes straight at the camera, or goes away from it."""

    def __init__(
        self,
        body: str = "box",
        *,
        speed_m_s: float = 1.0,
        rate_hz: float = 15.0,
        from_m: float = 3.5,
        to_m: float = 0.6,
        width: int = 160,
        height: int = 120,
        seed: int = 0,
    ) -> None:
        """Make the scene; frames are rendered when asked for.

        Args:
            body: one of BODIES.
            speed_m_s: of the body; with 0 it stands at `from_m`.
            rate_hz: frames per second.
            from_m: distance of the body in the first frame.
            to_m: distance in the last one.
            width: of the image in pixels.
            height: of the image in pixels.
            seed: decides colours and textures.

        Raises:
            ConfigError: there is no such body.
        """
        if body not in BODIES:
            raise ConfigError(f"body is {body!r}, expected one of {', '.join(BODIES)}")
        self.rate_hz = rate_hz
        self.intrinsics = Intrinsics.of_view(width, height, _FOV_DEG)
        self._way_m = (from_m, to_m if speed_m_s > 0.0 else from_m)
        self._speed_m_s, self._seed = speed_m_s, seed
        self._scene = _scene(body, self._way_m, speed_m_s, np.random.default_rng(seed))

    def __len__(self) -> int:
        if self._speed_m_s <= 0.0:
            return int(2.0 * self.rate_hz)
        way_m = abs(self._way_m[1] - self._way_m[0])
        return int(way_m / self._speed_m_s * self.rate_hz + 1e-6) + 1

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> SyntheticFrame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of a recording of {len(self)} frames")
        time_s = index / self.rate_hz
        image = render(self._scene, self.intrinsics, _POSE, time_s, 1)
        rng = np.random.default_rng([self._seed, index])
        return SyntheticFrame(
            rgb=SensorEffects().apply(image.rgb_linear, rng, self._gain),
            depth_m=image.depth_m,
            intrinsics=self.intrinsics,
            T_odom_camera=_POSE.copy(),
            stamp_ns=round(time_s * 1e9),
            sparse_points_m=np.empty((0, 3), np.float32),
            mover_mask=image.mover_mask,
            glassy=image.glassy,
        )

    @cached_property
    def _gain(self) -> float:
        """One exposure for the whole recording."""
        image = render(self._scene, self.intrinsics, _POSE, 0.0, 1)
        return auto_gain(image.rgb_linear)


def _scene(
    body: str, way_m: tuple[float, float], speed_m_s: float, rng: np.random.Generator
) -> Scene:
    b = Builder(rng)
    wall, floor, ceiling = look.bricks(rng), look.planks(rng), look.paint(rng, (0.85, 1.0))
    walls = [b.material(wall)] * 4
    room_box(b, _ROOM_M, (*walls, b.material(floor), b.material(ceiling)))
    lighting = lamp_light(b, _ROOM_M)
    mark = len(b.rows)
    swing, pivot = [0.0], [0.0]
    if body == "person":
        swing, pivot = person(b.frame())
    else:
        skin = hard(b) if body == "plain box" else b.material(look.printed(rng))
        depth, wide, high = _BOX_M
        b.frame().box(-depth / 2, 0, _CAMERA_HEIGHT_M - high / 2, depth, wide, high, skin)
    start, end = ((float(_POSE[0, 3]) + distance, 0.0) for distance in way_m)
    b.movers.append(
        Mover(
            body=b.mover_body(mark),
            swing_rad=np.array(swing),
            pivot_z_m=np.array(pivot),
            start_m=start,
            end_m=end,
            speed_m_s=speed_m_s,
        )
    )
    half = 0.5 * np.array(_ROOM_M)
    return Scene(
        "approach",
        b.solids(),
        MaterialTable(b.materials),
        lighting,
        np.array([-half[0], -half[1], 0.0]),
        np.array([half[0], half[1], _ROOM_M[2]]),
        tuple(b.movers),
        None,
        _MAP_SIZE,
    )


_POSE: F64 = np.array(  # of the optical frame: it looks along x of the room
    [
        [0.0, 0.0, 1.0, 0.5 * _ROOM_M[0] - _WALL_M],
        [-1.0, 0.0, 0.0, 0.0],
        [0.0, -1.0, 0.0, _CAMERA_HEIGHT_M],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
