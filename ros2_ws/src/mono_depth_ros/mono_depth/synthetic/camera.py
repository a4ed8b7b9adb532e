"""A camera that moves through a synthetic scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.frame import SyntheticFrame, sample_points
from mono_depth.synthetic.render import Rendered, render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.sensor import SensorEffects, auto_gain
from mono_depth.synthetic.trajectory import Trajectory, make_trajectory

_EXPOSURE_VIEWS = 5
_EXPOSURE_WIDTH = 64
_KEPT_WORLDS = 4  # a recording is often opened again, and to find a path takes most of a second


class SyntheticCamera:
    """A recording that is computed: the same seed gives the same bytes.

    `camera[i]` is frame i of the recording. `camera.played(i)` takes any i >= 0 and plays
    the recording to its end, then backwards, and so on: nothing ever jumps, and stamps go on.
    """

    def __init__(
        self,
        seed: int = 0,
        scene: str = "room",
        trajectory: str = "robot",
        width: int = 640,
        height: int = 480,
        rate_hz: float = 15.0,
        horizontal_fov_deg: float = 70.0,
        duration_s: float = 15.0,
        sparse_points: int = 300,
        sparse_noise: float = 0.01,
        samples_per_pixel: int = 4,
        effects: SensorEffects | None = None,
        distortion: F64 | None = None,
    ) -> None:
        """Make scene and path; frames are rendered when asked for.

        Args:
            seed: decides scene, path and noise.
            scene: one of scene.SCENE_KINDS.
            trajectory: one of trajectory.TRAJECTORY_STYLES.
            width: of the image in pixels.
            height: of the image in pixels.
            rate_hz: frames per second.
            horizontal_fov_deg: angle of view, more than 0 and less than 170.
            duration_s: length of the recording.
            sparse_points: number of points per frame.
            sparse_noise: relative deviation of their distance.
            samples_per_pixel: 1 to 9, where faces meet.
            effects: what the sensor does, None = a good camera.
            distortion: plumb_bob k1 k2 p1 p2 k3 of the lens, None = a rectified image.

        Raises:
            ConfigError: a value is out of range.
        """
        if not 0.0 < horizontal_fov_deg < 170.0:
            raise ConfigError(f"horizontal_fov_deg is {horizontal_fov_deg}, expected 0 to 170")
        self._seed = seed
        self.rate_hz = rate_hz
        world = (seed, scene, trajectory, duration_s, rate_hz)
        self.scene, self.trajectory = _world(*world)
        self.intrinsics = Intrinsics.of_view(width, height, horizontal_fov_deg)
        self.distortion = None if distortion is None else np.asarray(distortion, np.float64)
        self._effects = effects or SensorEffects()
        self._samples = samples_per_pixel
        self._sparse = (sparse_points, sparse_noise)
        self._gain = _exposure(world, self.intrinsics)

    def __len__(self) -> int:
        return len(self.trajectory.stamps_ns)

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> SyntheticFrame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of a recording of {len(self)} frames")
        index %= len(self)
        pose = self.trajectory.T_odom_camera[index]
        stamp_ns = int(self.trajectory.stamps_ns[index])
        image = self.render(pose, stamp_ns * 1e-9)
        rng = np.random.default_rng([self._seed, 2, index])
        count, noise = self._sparse
        return SyntheticFrame(
            rgb=self._effects.apply(image.rgb_linear, rng, self._gain),
            depth_m=image.depth_m,
            intrinsics=self.intrinsics,
            T_odom_camera=pose.copy(),
            stamp_ns=stamp_ns,
            sparse_points_m=sample_points(
                image.depth_m, self.intrinsics, rng, count, noise, self.distortion
            ),
            mover_mask=image.mover_mask,
            glassy=image.glassy,
            distortion=self.distortion,
        )

    def played(self, count: int) -> SyntheticFrame:
        """Return the frame that is shown after `count` frames of endless to and fro."""
        period = max(2 * len(self) - 2, 1)
        place = count % period
        frame = self[min(place, period - place) if period > 1 else 0]
        return replace(frame, stamp_ns=round(count * 1e9 / self.rate_hz))

    def render(self, T_odom_camera: F64, time_s: float) -> Rendered:
        """Return what this camera sees from any pose, before sensor effects."""
        return render(
            self.scene, self.intrinsics, T_odom_camera, time_s, self._samples, self.distortion
        )


_WorldKey = tuple[int, str, str, float, float]  # the arguments of `_world`


@lru_cache(_KEPT_WORLDS)
def _world(
    seed: int, kind: str, style: str, duration_s: float, rate_hz: float
) -> tuple[Scene, Trajectory]:
    """Return a scene and a path through it, which nobody may change."""
    scene = make_scene(kind, np.random.default_rng([seed, 0]))
    path_rng = np.random.default_rng([seed, 1])
    return scene, make_trajectory(style, scene, path_rng, duration_s, rate_hz)


@lru_cache(_KEPT_WORLDS)
def _exposure(world: _WorldKey, intrinsics: Intrinsics) -> float:
    """Return one gain for the whole recording, so that brightness does not flicker."""
    scene, path = _world(*world)
    width = min(_EXPOSURE_WIDTH, intrinsics.width)
    height = max(1, round(width * intrinsics.height / intrinsics.width))
    small = intrinsics.scaled_to(width, height)
    gains = []
    for index in np.linspace(0, len(path.stamps_ns) - 1, _EXPOSURE_VIEWS).astype(int):
        time_s = float(path.stamps_ns[index]) * 1e-9
        view = render(scene, small, path.T_odom_camera[index], time_s, 1)
        gains.append(auto_gain(view.rgb_linear))
    return float(np.median(gains))
