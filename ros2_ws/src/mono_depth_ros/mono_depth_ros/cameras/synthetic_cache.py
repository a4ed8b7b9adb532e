"""Recordings of the synthetic camera, rendered once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

import mono_depth.synthetic
from mono_depth.data import Intrinsics, RgbImage
from mono_depth.synthetic.camera import SyntheticCamera

_log = logging.getLogger("mono_depth.synthetic")
_MAX_RECORDINGS = 4  # of about 1 MB per VGA frame


@dataclass(frozen=True, kw_only=True)
class SyntheticScene:
    """What decides every byte of a synthetic recording."""

    seed: int
    scene: str
    trajectory: str
    width: int
    height: int
    rate_hz: float
    horizontal_fov_deg: float
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class StoredFrame:
    """One frame of a recording."""

    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: npt.NDArray[np.float16]  # (H, W), NaN = sky; rounded by less than 0.05 %
    T_odom_camera: npt.NDArray[np.float64]  # (4, 4) pose of the optical frame
    sparse_points_m: npt.NDArray[np.float32]  # (n, 3) in the optical frame


@dataclass(frozen=True, kw_only=True)
class StoredRecording:
    """The frames of a recording and their camera."""

    intrinsics: Intrinsics
    frames: list[StoredFrame]


def load_or_render(
    scene: SyntheticScene,
    *,
    folder: Path | None = None,
    keep_going: Callable[[], bool] = lambda: True,
) -> StoredRecording | None:
    """Return a recording, from disk where it was rendered before.

    Args:
        scene: what to render.
        folder: where recordings are kept; None = the user's cache.
        keep_going: asked between two frames.

    Returns:
        The recording; None where `keep_going` said no.

    Raises:
        ConfigError: the scene cannot be made.
    """
    folder = cache_dir() if folder is None else folder
    path = folder / f"{_key(scene)}.npz"
    camera = SyntheticCamera(**asdict(scene))
    if not path.is_file():
        arrays = _render(camera, keep_going)
        if arrays is None:
            return None
        try:
            _store(path, arrays)
        except OSError as error:  # a full or read-only disk costs time at the next start only
            _log.warning("the recording is not kept: %s", error)
            return _recording(camera.intrinsics, arrays)
    path.touch()
    with np.load(path) as stored:
        return _recording(camera.intrinsics, dict(stored))


def cache_dir() -> Path:
    """Return the folder of rendered recordings, under `$XDG_CACHE_HOME` or `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "mono_depth" / "synthetic"


def _key(scene: SyntheticScene) -> str:
    """Return a name that changes with the scene and with the code that renders it."""
    digest = hashlib.sha256(repr(scene).encode())
    for source in sorted(Path(mono_depth.synthetic.__path__[0]).glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:24]


def _render(
    camera: SyntheticCamera, keep_going: Callable[[], bool]
) -> dict[str, npt.NDArray[np.generic]] | None:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    total = len(camera)
    for i, frame in enumerate(camera):
        if not keep_going():
            return None
        arrays[f"rgb_{i:05d}"] = _png(frame.rgb)
        arrays[f"depth_{i:05d}"] = _png(frame.depth_m.astype(np.float16).view(np.uint16))
        arrays[f"pose_{i:05d}"] = frame.T_odom_camera
        arrays[f"sparse_{i:05d}"] = frame.sparse_points_m
        if (i + 1) * 5 // total > i * 5 // total:
            _log.info("rendering the scene, once: %d %%", 100 * (i + 1) // total)
    return arrays


def _store(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # stub takes **kwds for a flag
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    kept = sorted(path.parent.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in kept[_MAX_RECORDINGS:]:
        old.unlink(missing_ok=True)


def _recording(
    intrinsics: Intrinsics, arrays: dict[str, npt.NDArray[np.generic]]
) -> StoredRecording:
    frames = [
        StoredFrame(
            rgb=np.asarray(
                cv2.imdecode(_bytes(arrays[f"rgb_{i:05d}"]), cv2.IMREAD_COLOR), np.uint8
            ),
            depth_m=np.asarray(
                cv2.imdecode(_bytes(arrays[f"depth_{i:05d}"]), cv2.IMREAD_UNCHANGED), np.uint16
            ).view(np.float16),
            T_odom_camera=np.asarray(arrays[f"pose_{i:05d}"], np.float64),
            sparse_points_m=np.asarray(arrays[f"sparse_{i:05d}"], np.float32),
        )
        for i in range(len(arrays) // 4)
    ]
    return StoredRecording(intrinsics=intrinsics, frames=frames)


def _bytes(stored: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    return np.asarray(stored, np.uint8)


def _png(pixels: npt.NDArray[np.uint8 | np.uint16]) -> npt.NDArray[np.uint8]:
    # The channel order is kept as it is: what reads these files is only this module.
    _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return np.asarray(data, np.uint8)
