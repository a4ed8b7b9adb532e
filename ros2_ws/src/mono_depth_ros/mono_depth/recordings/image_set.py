"""Images to calibrate with: of a folder, a video, a bag or the synthetic camera."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.bag_camera import BagCamera
from mono_depth.recordings.bag_paths import bag_files, is_bag
from mono_depth.recordings.bag_reader import BagReader
from mono_depth.recordings.images import Video, existing_images, images_in, read_image
from mono_depth.recordings.synthetic_sequence import open_synthetic

_SYNTHETIC = "synthetic:"
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images of one camera, all of one size."""

    source: str
    images: list[RgbImage]
    camera: Intrinsics | None  # None = not known
    unreadable: int = 0  # that could not be decoded

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images."""
        height, width = self.images[0].shape[:2]
        return width, height

    def split(self) -> tuple[list[RgbImage], list[RgbImage]]:
        """Return the first four fifths, to calibrate with, and the rest, to measure with.

        Not every fifth image: its neighbour in a video is almost the same, which hides errors.
        """
        middle = max(1, min(len(self.images) - 1, round(0.8 * len(self.images))))
        return self.images[:middle], self.images[middle:]


def read_image_set(source: str, *, most: int, size: tuple[int, int] | None = None) -> ImageSet:
    """Read images that are spread evenly over a source.

    Args:
        source: folder of images, video, bag, or synthetic:SCENE/TRAJECTORY/SEED.
        most: images that are read.
        size: (width, height) that all are brought to; None = that of the first.

    Raises:
        ConfigError: the source is not there, or has fewer than two images.
    """
    found = _found(source, most)
    if len(found.images) < 2:
        told = f", and {found.unreadable} that cannot be read" if found.unreadable else ""
        raise ConfigError(f"{source} has {len(found.images)} images{told}; expected 2 or more")
    size = size or found.size
    return ImageSet(
        source=source,
        images=[_of_size(image, size) for image in found.images],
        camera=None if found.camera is None else found.camera.scaled_to(*size),
        unreadable=found.unreadable,
    )


def _found(source: str, most: int) -> ImageSet:
    path = Path(source)
    if source.startswith(_SYNTHETIC):
        return _rendered(source, most)
    if not path.exists():
        raise ConfigError(
            f"{source} does not exist; expected a folder of images, a video, a bag, "
            "or synthetic:SCENE/TRAJECTORY/SEED"
        )
    if is_bag(path) or (path.is_dir() and not images_in(path) and bag_files(path)):
        return _of_bag(path, most)
    return _of_folder(path, most) if path.is_dir() else _of_video(path, most)


def _of_folder(folder: Path, most: int) -> ImageSet:
    files, images, unreadable = existing_images(folder), [], 0
    for index in _shown(_spread(len(files), most)):
        try:
            images.append(read_image(files[index]))
        except FrameError:
            unreadable += 1
    return ImageSet(source=str(folder), images=images, camera=None, unreadable=unreadable)


def _of_video(file: Path, most: int) -> ImageSet:
    video = Video(file)
    wanted = _spread(video.count, most)
    found = _shown(video.images(only=frozenset(wanted)), len(wanted))
    return ImageSet(source=str(file), images=[rgb for rgb, _ in found], camera=None)


def _of_bag(path: Path, most: int) -> ImageSet:
    bag = BagReader(path)
    bag_camera = BagCamera(bag)
    count = len(bag_camera.images)
    wanted = frozenset(_spread(count, most))
    images, intrinsics, unreadable = [], None, 0
    for index, stored in enumerate(_shown(bag.messages(bag_camera.images), count)):
        if index not in wanted:
            continue
        try:
            rgb = bag_camera.decode(stored.content)
        except FrameError:
            unreadable += 1
            continue
        camera = bag_camera.calibration_of(rgb)
        if camera is not None:
            intrinsics = camera.intrinsics
            rgb = rgb if camera.rectifier is None else camera.rectifier.apply(rgb)
        images.append(rgb)
    return ImageSet(source=str(path), images=images, camera=intrinsics, unreadable=unreadable)


def _rendered(source: str, most: int) -> ImageSet:
    sequence = open_synthetic(source)
    frames = [sequence[index] for index in _shown(_spread(len(sequence), most))]
    return ImageSet(
        source=source, images=[frame.rgb for frame in frames], camera=frames[0].intrinsics
    )


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` indices, evenly spread."""
    chosen = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(index) for index in chosen]


def _shown(items: Iterable[_T], count: int | None = None) -> Iterator[_T]:
    return iter(tqdm(items, total=count, desc="reading", unit="image", file=sys.stderr))


def _of_size(image: RgbImage, size: tuple[int, int]) -> RgbImage:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
