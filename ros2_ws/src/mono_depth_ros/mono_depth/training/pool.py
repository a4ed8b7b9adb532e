"""A folder of rendered examples that processes keep filling while the training reads from it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.synthetic.dataset import training_views

VIEWS_PER_SCENE = 2  # making a scene costs as much as one or two views
_SEED_STRIDE = 10_000_000  # scenes of one training seed never meet those of the next one


@dataclass(frozen=True, kw_only=True)
class Example:
    """One rendered image with its truth."""

    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: DepthImage  # (H, W) metres, NaN = sky
    intrinsics: Intrinsics


RenderScene = Callable[[int, int, int], list[Example]]  # scene seed, width, height


def render_synthetic(scene_seed: int, width: int, height: int) -> list[Example]:
    """Render `VIEWS_PER_SCENE` examples with the project's own renderer."""
    views = training_views(scene_seed, width, height, VIEWS_PER_SCENE)
    return [
        Example(rgb=view.rgb, depth_m=view.depth_m, intrinsics=view.intrinsics) for view in views
    ]


class ExamplePool:
    """Fresh examples, oldest replaced first. Safe between processes: files appear whole.

    Example number i of a pool is the same picture on every machine; which ones a batch of
    training draws depends on how fast they are rendered.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._capacity = capacity
        self._listed_at = -1.0
        self._indices: list[int] = []

    def add(self, index: int, example: Example) -> None:
        """Store example number `index` and forget the one it replaces."""
        camera = example.intrinsics
        partial = self._folder / f"{index:08d}.partial"
        with partial.open("wb") as file:
            np.savez(
                file,
                rgb=example.rgb,
                depth_m=example.depth_m.astype(np.float16),
                camera=np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            )
        partial.replace(self._path(index))
        self._path(index - self._capacity).unlink(missing_ok=True)

    def indices(self, refresh_s: float = 2.0) -> list[int]:
        """Return the numbers of the examples at hand, as of at most `refresh_s` ago."""
        if time.monotonic() - self._listed_at >= refresh_s or self._listed_at < 0.0:
            names = sorted(path.stem for path in self._folder.glob("*.npz"))
            self._indices = [int(name) for name in names]
            self._listed_at = time.monotonic()
        return self._indices

    def draw(self, rng: np.random.Generator) -> Example:
        """Return an example by chance; the pool must not be empty."""
        while True:
            indices = self.indices()
            try:
                return self._read(indices[int(rng.integers(len(indices)))])
            except FileNotFoundError:  # replaced since the folder was listed
                self._listed_at = -1.0

    def _read(self, index: int) -> Example:
        with np.load(self._path(index)) as stored:
            rgb, depth_m = stored["rgb"], stored["depth_m"].astype(np.float32)
            fx, fy, cx, cy = (float(value) for value in stored["camera"])
        height, width = depth_m.shape
        camera = Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)
        return Example(rgb=rgb, depth_m=depth_m, intrinsics=camera)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:08d}.npz"


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
        stored = ExamplePool(folder, capacity).indices()
        first = stored[-1] // VIEWS_PER_SCENE + 1 if stored else 0
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
        """Let each process finish its example and wait for it."""
        self._stop.set()
        for process in self._processes:
            process.join(timeout=10.0)
            if process.is_alive():
                process.terminate()


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
    parent = os.getppid()
    pool = ExamplePool(folder, capacity)
    scene = first
    while not stop.is_set() and os.getppid() == parent:  # an orphan must not render for ever
        for view, example in enumerate(render(seed * _SEED_STRIDE + scene, *size)):
            pool.add(scene * VIEWS_PER_SCENE + view, example)
        scene += step
