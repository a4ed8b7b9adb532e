"""How far things that move are reported with and without points of the camera's motion.

The camera drives straight on behind, past and towards a mover of synthetic scenes, a person or in
the street a car, with `nano`, odometry and nothing else, and no temporal filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mono_depth.config import PipelineConfig, TemporalConfig, updated
from mono_depth.data import Frame
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import DepthModel
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.sensor import SensorEffects, auto_gain

Floats = npt.NDArray[np.float64]

SCENES = (("office", 1), ("street", 2), ("warehouse", 3))
_RATE_HZ = 15.0
_SPEED_M_S = 0.6  # of the camera
_AHEAD_M = 2.5
_FAR_M = 60.0
_FRAMES = 45
_FIRST = 10  # of the frames that count: points need some motion
_LEAST_PIXELS = 150  # of a mover that counts
_TOLERANCE = 1.03  # times the truth, or depth without motion
_NUMBER = 10  # of the requirement


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a mover goes, in metres forward and to the left of the first camera."""

    start: tuple[float, float]
    end: tuple[float, float]
    speed_m_s: float


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "stands": Way(start=(4.0, 0.0), end=(4.0, 0.0), speed_m_s=0.0),
        "walks ahead": Way(start=(_AHEAD_M, 0.0), end=(_FAR_M, 0.0), speed_m_s=_SPEED_M_S),
        "walks ahead, slower": Way(start=(3.5, 0.0), end=(_FAR_M, 0.0), speed_m_s=0.6 * _SPEED_M_S),
        "creeps ahead": Way(start=(3.5, 0.0), end=(_FAR_M, 0.0), speed_m_s=0.25 * _SPEED_M_S),
        "goes off aslant": Way(start=(3.0, 0.5), end=(_FAR_M, -_FAR_M), speed_m_s=_SPEED_M_S),
        "walks ahead, faster": Way(start=(2.0, 0.0), end=(_FAR_M, 0.0), speed_m_s=1.4 * _SPEED_M_S),
        "comes": Way(start=(5.5, 0.0), end=(-_FAR_M, 0.0), speed_m_s=0.4),
        "crosses": Way(start=(4.0, 1.5), end=(4.0, -_FAR_M), speed_m_s=0.8),
    }
)


@dataclass(frozen=True, kw_only=True)
class MoverError:
    """Depth over true depth of a mover, the median of its pixels, by frame."""

    off: Floats
    on: Floats

    @property
    def over(self) -> Floats:
        """How many times as far as allowed each frame is, above 1 = too far."""
        return np.asarray(self.on / np.maximum(_TOLERANCE, _TOLERANCE * self.off))


def drive(
    kind: str, seed: int, way: Way, *, size: tuple[int, int] = (320, 240), frames: int = _FRAMES
) -> Iterator[tuple[Frame, Floats, npt.NDArray[np.bool_]]]:
    """Yield frames of a drive behind a mover, their true depth [m], and where the mover is."""
    width, height = size
    camera = SyntheticCamera(seed, kind, "robot", width=width, height=height, samples_per_pixel=1)
    first = camera.trajectory.T_odom_camera[0]
    forward = np.array([*first[:2, 2], 0.0]) / np.hypot(*first[:2, 2])
    across = np.array([-forward[1], forward[0], 0.0])
    ends = [first[:3, 3] + x * forward + y * across for x, y in (way.start, way.end)]
    (start_x, start_y), (end_x, end_y) = (map(float, end[:2]) for end in ends)
    mover = replace(
        camera.scene.movers[0],
        start_m=(start_x, start_y),
        end_m=(end_x, end_y),
        speed_m_s=way.speed_m_s,
        phase_m=0.0,
    )
    camera.scene = replace(camera.scene, movers=(mover,))
    gain = auto_gain(camera.render(first, 0.0).rgb_linear)
    for index in range(frames):
        pose, time_s = first.copy(), index / _RATE_HZ
        pose[:3, 3] += forward * _SPEED_M_S * time_s
        image = camera.render(pose, time_s)
        frame = Frame(
            rgb=SensorEffects().apply(image.rgb_linear, np.random.default_rng(index), gain),
            stamp_ns=1 + round(time_s * 1e9),
            frame_id="camera",
            intrinsics=camera.intrinsics,
            T_odom_camera=pose,
        )
        yield frame, image.depth_m.astype(np.float64), image.mover_mask


def mover_error(
    frames: Iterable[tuple[Frame, Floats, npt.NDArray[np.bool_]]],
    model: DepthModel,
    *,
    least_pixels: int = _LEAST_PIXELS,
) -> MoverError:
    """Return how far the mover of a `drive` is reported, with motion off and on."""
    config = PipelineConfig(model="nano", engine="torch", temporal=TemporalConfig(mode="none"))
    pipelines = [
        DepthPipeline(model, updated(config, {"motion.mode": mode})) for mode in ("off", "auto")
    ]
    ratios = []
    for index, (frame, true_m, is_mover) in enumerate(frames):
        depths_m = [pipeline.process(frame).depth_m for pipeline in pipelines]
        if index < _FIRST or is_mover.sum() < least_pixels:
            continue
        ratios.append(
            [
                math.nan if depth_m is None else _ratio(depth_m.numpy(), true_m, is_mover)
                for depth_m in depths_m
            ]
        )
    off, on = np.reshape(ratios, (-1, 2)).T
    return MoverError(off=off, on=on)


def _ratio(depth_m: npt.NDArray[np.float32], true_m: Floats, where: npt.NDArray[np.bool_]) -> float:
    return float(np.nanmedian(depth_m[where] / true_m[where]))


def mover_errors() -> Iterator[tuple[str, str, MoverError]]:
    """Yield name of the scene, name of the way and the errors, for all of them."""
    model = load_model("nano")
    for (kind, seed), (name, way) in product(SCENES, WAYS.items()):
        yield f"{kind}/{seed}", name, mover_error(drive(kind, seed, way), model)


def mover_rows() -> list[BoundRow]:
    """Return how many times farther than allowed each mover is at worst."""
    return [
        BoundRow(
            number=_NUMBER,
            measure=f"motion: {name}: farther than allowed x",
            where=scene,
            value=float(error.over.max()) if error.over.size else math.nan,
            limit=1.0,
        )
        for scene, name, error in mover_errors()
    ]


def markdown() -> str:
    """Return the table of all scenes and ways."""
    rows = [
        "| scene | mover | frames | off | on | over the limit | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for scene, name, error in mover_errors():
        rows.append(
            f"| {scene} | {name} | {len(error.on)} | {np.median(error.off):.2f} | "
            f"{np.median(error.on):.2f} | {100.0 * (error.over > 1.0).mean():.0f} % | "
            f"x{error.over.max():.2f} |"
        )
    return "\n".join(rows)
