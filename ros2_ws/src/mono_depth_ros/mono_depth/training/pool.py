"""Rendered examples, kept in memory-mapped files, and the processes that render them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.data import DepthImage, Intrinsics, Mask, RgbImage
from mono_depth.errors import ConfigError
from mono_depth.synthetic.dataset import training_pairs, training_views

PLACES_PER_SCENE = 2  # making a scene costs as much as one or two images
EXAMPLES_PER_SCENE = 2 * PLACES_PER_SCENE
_SEED_STRIDE = 10_000_000  # scenes of one training seed never meet those of the next one
_EMPTY = -1

Slots = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One rendered image with its truth."""

    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: DepthImage  # (H, W) metres, NaN = sky
    intrinsics: Intrinsics
    T_odom_camera: npt.NDArray[np.float64]  # (4, 4) optical frame; odom: z up from the ground
    glassy: Mask  # (H, W) a depth sensor sees nothing there


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Some examples of a pool, on one device."""

    rgb: torch.Tensor  # (B, H, W, 3) uint8
    depth_m: torch.Tensor  # (B, H, W) float32, NaN = sky
    camera: torch.Tensor  # (B, 4) float32: fx, fy, cx, cy
    T_odom_camera: torch.Tensor  # (B, 4, 4) float32
    glassy: torch.Tensor  # (B, H, W) bool


RenderScene = Callable[[int, int, int], list[Example]]  # scene seed, width, height


def render_synthetic(scene_seed: int, width: int, height: int) -> list[Example]:
    """Render `EXAMPLES_PER_SCENE` examples; numbers 2 i and 2 i + 1 are a step apart."""
    return [
        Example(
            rgb=view.rgb,
            depth_m=view.depth_m,
            intrinsics=view.intrinsics,
            T_odom_camera=view.T_odom_camera,
            glassy=view.glassy,
        )
        for view in training_pairs(scene_seed, width, height, PLACES_PER_SCENE)
    ]


def render_singles(scene_seed: int, width: int, height: int) -> list[tuple[DepthImage, Intrinsics]]:
    """Render depth of two unrelated views, which is what a prior is learned from."""
    views = training_views(scene_seed, width, height, 2)
    return [(view.depth_m, view.intrinsics) for view in views]


class ExamplePool:
    """A ring of examples in files, safe between processes.

    Example number i lies in slot i % capacity, where it replaces an older one. Number i of a
    pool is the same image on every machine; which ones training draws depends on how fast they
    are rendered.
    """

    def __init__(self, folder: Path, capacity: int, size: tuple[int, int]) -> None:
        """Open or make the files of a pool.

        Args:
            folder: of the files.
            capacity: number of slots, a multiple of `EXAMPLES_PER_SCENE`.
            size: width and height of the images.

        Raises:
            ConfigError: the capacity is odd, or the folder holds a pool of another one or size.
        """
        if capacity < EXAMPLES_PER_SCENE or capacity % EXAMPLES_PER_SCENE:
            raise ConfigError(
                f"a pool of {capacity} examples, expected a multiple of {EXAMPLES_PER_SCENE}"
            )
        self.capacity = capacity
        folder.mkdir(parents=True, exist_ok=True)
        width, height = size
        self._rgb = _column(folder / "rgb.u8", (capacity, height, width, 3), np.uint8)
        self._depth = _column(folder / "depth.f16", (capacity, height, width), np.float16)
        self._glassy = _column(folder / "glassy.u8", (capacity, height, width), np.uint8)
        self._view = _column(folder / "view.f32", (capacity, 20), np.float32)
        # 0 = empty: that is what a new file holds
        self._number = _column(folder / "number.i64", (capacity,), np.int64)

    def add(self, number: int, example: Example) -> None:
        """Store example `number` in place of the one in its slot."""
        slot, camera = number % self.capacity, example.intrinsics
        self._number[slot] = 0
        self._rgb[slot] = example.rgb
        self._depth[slot] = example.depth_m
        self._glassy[slot] = example.glassy
        self._view[slot, :4] = camera.fx, camera.fy, camera.cx, camera.cy
        self._view[slot, 4:] = example.T_odom_camera.reshape(-1)
        self._number[slot] = number + 1

    def numbers(self) -> Slots:
        """Return (capacity,) the number of the example in each slot, -1 = none."""
        return np.asarray(self._number) + _EMPTY

    def take(self, slots: Slots, device: torch.device) -> Examples:
        """Return the examples in some slots."""
        view = torch.from_numpy(self._view[slots])
        return Examples(
            rgb=torch.from_numpy(self._rgb[slots]).to(device),
            depth_m=torch.from_numpy(self._depth[slots]).to(device).float(),
            camera=view[:, :4].to(device),
            T_odom_camera=view[:, 4:].reshape(-1, 4, 4).to(device),
            glassy=torch.from_numpy(self._glassy[slots]).to(device) > 0,
        )


def _column(path: Path, shape: tuple[int, ...], kind: type) -> npt.NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if not path.exists():
        with path.open("ab") as file:
            file.truncate(size)  # takes no space before something is written
    if path.stat().st_size != size:
        raise ConfigError(
            f"{path} has {path.stat().st_size} bytes, expected {size}: it is of a pool of another "
            "capacity or image size; choose another folder"
        )
    return np.memmap(path, dtype=kind, mode="r+", shape=shape)


class Renderers:
    """Processes that fill a pool until they are stopped."""

    def __init__(
        self,
        folder: Path,
        *,
        capacity: int,
        seed: int,
        size: tuple[int, int],
        processes: int,
        render: RenderScene = render_synthetic,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        newest = int(ExamplePool(folder, capacity, size).numbers().max())
        first = newest // EXAMPLES_PER_SCENE + 1
        self._stop = context.Event()
        self._processes = [
            context.Process(
                target=_fill,
                args=(folder, capacity, seed, size, first + k, processes, self._stop, render),
                daemon=True,
            )
            for k in range(processes)
        ]

    def start(self) -> None:
        """Begin to render."""
        for process in self._processes:
            process.start()

    def check(self) -> None:
        """Raise if a process ended by itself.

        Raises:
            RuntimeError: rendering failed; the process has printed why.
        """
        for process in self._processes:
            if process.exitcode is not None:
                raise RuntimeError(f"a renderer ended with exit code {process.exitcode}")

    def stop(self) -> None:
        """Let each process that was started finish its scene and wait for it."""
        self._stop.set()
        for process in self._processes:
            if process.pid is None:
                continue
            process.join(timeout=10.0)
            if process.is_alive():
                process.terminate()
        self._processes.clear()


def _fill(
    folder: Path,
    capacity: int,
    seed: int,
    size: tuple[int, int],
    first: int,
    step: int,
    stop: Event,
    render: RenderScene,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which stops us
    cv2.setNumThreads(1)
    parent = os.getppid()
    pool = ExamplePool(folder, capacity, size)
    scene = first
    while not stop.is_set() and os.getppid() == parent:  # an orphan must not render for ever
        for view, example in enumerate(render(seed * _SEED_STRIDE + scene, *size)):
            pool.add(scene * EXAMPLES_PER_SCENE + view, example)
        scene += step
