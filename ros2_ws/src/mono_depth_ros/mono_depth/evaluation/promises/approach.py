"""Whether what comes at a camera that stands still is reported farther than it is.

A box or a person comes at the camera; the network is simulated: the truth with noise in soft blobs
and, in the noisier half of the runs, in the scale of each frame. No pixel of it lags. Depth may be
farther than both the truth and the network only by a little, at any distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import TemporalConfig
from mono_depth.data import DepthImage
from mono_depth.evaluation.promises.approach_scene import Approach
from mono_depth.evaluation.promises.bounds import BoundRow
from mono_depth.synthetic.frame import SyntheticFrame
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.relative import RelativeFilter

RELATIVE = "relative"
MODES = ("pose", "flow", "static", RELATIVE)
SPEEDS_M_S = (0.2, 0.5, 1.0, 2.0)
RATES_HZ = (10.0, 15.0, 30.0)
NOISES = (0.0, 0.03)  # deviation of the scale of a frame

_NUMBER = 9
_LIMIT = 1.03
_FRAMES = {"95 % of frames": 0.95, "worst frame": 1.0}  # quantiles
_BLOB_NOISE = 0.05  # deviation within a frame
_BLOBS = (8, 10)  # rows and columns

Floats = npt.NDArray[np.float64]
_Apply = Callable[[SyntheticFrame, DepthImage], DepthImage]


@dataclass(frozen=True, kw_only=True)
class ApproachRun:
    """What a filter made of a mover. Each is (n,) over the frames, median over the mover."""

    distance_m: Floats
    network: Floats  # depth of the network over the true one
    filtered: Floats  # depth behind the filter over the true one

    @property
    def excess(self) -> Floats:
        """(n,) depth over the farther of the truth and what the network says."""
        return self.filtered / np.maximum(self.network, 1.0)


def noisy(depth_m: DepthImage, rng: np.random.Generator, scale_noise: float) -> DepthImage:
    """Return the (h, w) depth that a network without lag gives of the truth."""
    height, width = depth_m.shape
    blobs = cv2.resize(rng.normal(size=_BLOBS), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = _BLOB_NOISE / blobs.std() * blobs + scale_noise * rng.normal()
    return np.asarray(depth_m * np.exp(noise), np.float32)


def approach_run(
    frames: Iterable[SyntheticFrame], mode: str, *, scale_noise: float = 0.0, seed: int = 0
) -> ApproachRun:
    """Run a filter over frames with a mover.

    Args:
        frames: of a camera that stands still.
        mode: of the filter, one of MODES.
        scale_noise: deviation of the scale of a frame.
        seed: decides the noise.
    """
    rng, found = np.random.default_rng(seed), []
    apply = _relative() if mode == RELATIVE else _metric(mode)
    for frame in frames:
        network_m = noisy(frame.depth_m, rng, scale_noise)
        depth_m, mover = apply(frame, network_m), frame.mover_mask
        if mover.any():
            truth_m = frame.depth_m[mover]
            ratios = [float(np.median(given[mover] / truth_m)) for given in (network_m, depth_m)]
            found.append((float(np.median(truth_m)), *ratios))
    distance_m, network, filtered = np.array(found, np.float64).reshape(-1, 3).T
    return ApproachRun(distance_m=distance_m, network=network, filtered=filtered)


def approach_rows(
    bodies: Sequence[str] = ("box", "person"),
    modes: Sequence[str] = MODES,
    speeds_m_s: Sequence[float] = SPEEDS_M_S,
    rates_hz: Sequence[float] = RATES_HZ,
) -> list[BoundRow]:
    """Return, for each body, mode and noise, the depth in the worst frame and in the 95th of 100.

    Over all speeds and rates; over the farther of the truth and what the network says.
    """
    excess: dict[tuple[str, str, float], list[Floats]] = {}
    for body in bodies:
        for speed_m_s in speeds_m_s:
            for rate_hz in rates_hz:
                frames = list(Approach(body, speed_m_s=speed_m_s, rate_hz=rate_hz))
                for mode in modes:
                    for noise in NOISES:
                        run = approach_run(frames, mode, scale_noise=noise)
                        excess.setdefault((body, mode, noise), []).append(run.excess)
    rows = []
    for (body, mode, noise), found in excess.items():
        told, ratios = f"{mode}: {body}, scale noise {noise:.0%}", np.concatenate(found)
        where = f"{len(found)} approaches"
        for measure, quantile in _FRAMES.items():
            value = float(np.quantile(ratios, quantile))
            name = f"{told}: depth x, {measure}"
            rows.append(
                BoundRow(number=_NUMBER, measure=name, where=where, value=value, limit=_LIMIT)
            )
    return rows


def _metric(mode: str) -> _Apply:
    past, config = TemporalFilter(), TemporalConfig(mode=mode)

    def apply(frame: SyntheticFrame, network_m: DepthImage) -> DepthImage:
        out = past.apply(
            torch.from_numpy(network_m.copy()),
            rgb=frame.rgb,
            intrinsics=frame.intrinsics,
            stamp_ns=frame.stamp_ns,
            T_odom_camera=frame.T_odom_camera if mode == "pose" else None,
            config=config,
        )
        return np.asarray(out.values.numpy())

    return apply


def _relative() -> _Apply:
    past, config = RelativeFilter(), TemporalConfig(mode="flow")

    def apply(frame: SyntheticFrame, network_m: DepthImage) -> DepthImage:
        out = past.apply(
            torch.from_numpy(1.0 / network_m),
            rgb=frame.rgb,
            intrinsics=frame.intrinsics,
            stamp_ns=frame.stamp_ns,
            config=config,
        )
        return np.asarray(1.0 / out.values.numpy())

    return apply
