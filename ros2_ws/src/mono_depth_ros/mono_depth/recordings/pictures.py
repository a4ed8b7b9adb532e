"""Pictures to calibrate with: from a folder, a film or the synthetic camera."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.errors import ConfigError

PICTURE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_SYNTHETIC = "synthetic:"


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of one camera, all of one size."""

    source: str
    images: list[RgbImage]
    camera: Intrinsics | None  # None = not known
    unreadable: int = 0  # files that are no pictures

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        height, width = self.images[0].shape[:2]
        return width, height

    def split(self) -> tuple[list[RgbImage], list[RgbImage]]:
        """Return the first four fifths, to calibrate with, and the rest, to measure with.

        Not every fifth picture: its neighbour in a film is almost the same, which hides errors.
        """
        middle = max(1, min(len(self.images) - 1, round(0.8 * len(self.images))))
        return self.images[:middle], self.images[middle:]


def read_pictures(source: str, *, most: int, size: tuple[int, int] | None = None) -> Pictures:
    """Read pictures that are spread evenly over a source.

    Args:
        source: folder of pictures, film, or synthetic:SCENE/TRAJECTORY/SEED.
        most: pictures that are read.
        size: (width, height) that all are brought to; None = that of the first.

    Raises:
        ConfigError: the source is not there, or has fewer than two pictures.
    """
    if source.startswith(_SYNTHETIC):
        found = _rendered(source, most)
    elif Path(source).is_dir():
        found = _from_folder(Path(source), most)
    elif Path(source).is_file():
        found = _from_film(Path(source), most)
    else:
        raise ConfigError(
            f"{source} does not exist; expected a folder of pictures, a film, "
            "or synthetic:SCENE/TRAJECTORY/SEED"
        )
    if len(found.images) < 2:
        told = f", and {found.unreadable} that cannot be read" if found.unreadable else ""
        raise ConfigError(f"{source} has {len(found.images)} pictures{told}; expected 2 or more")
    size = size or found.size
    return Pictures(
        source=source,
        images=[_of_size(image, size) for image in found.images],
        camera=None if found.camera is None else found.camera.scaled_to(*size),
        unreadable=found.unreadable,
    )


def _from_folder(folder: Path, most: int) -> Pictures:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_TYPES)
    if not files:
        raise ConfigError(f"no picture in {folder}, expected one of {', '.join(PICTURE_TYPES)}")
    images, unreadable = [], 0
    for index in _shown(_spread(len(files), most)):
        bgr = cv2.imread(str(files[index]), cv2.IMREAD_COLOR)
        if bgr is None:
            unreadable += 1
        else:
            images.append(_rgb(bgr))
    return Pictures(source=str(folder), images=images, camera=None, unreadable=unreadable)


def _from_film(file: Path, most: int) -> Pictures:
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened():
            raise ConfigError(f"OpenCV cannot read the film {file}")
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = set(_spread(count, most))
        images = []
        for index in _shown(range(count)):
            if not capture.grab():
                break
            if index in wanted:
                is_read, bgr = capture.retrieve()
                images += [_rgb(bgr)] if is_read else []
    finally:
        capture.release()
    return Pictures(source=str(file), images=images, camera=None)


def _rendered(source: str, most: int) -> Pictures:
    from mono_depth.recordings.open import open_sequence

    sequence = open_sequence(source)
    frames = [sequence[index] for index in _shown(_spread(len(sequence), most))]
    return Pictures(
        source=source, images=[frame.rgb for frame in frames], camera=frames[0].intrinsics
    )


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` indices, evenly spread."""
    chosen = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(index) for index in chosen]


def _shown(indices: Iterable[int]) -> Iterator[int]:
    return iter(tqdm(list(indices), desc="reading", unit="picture", file=sys.stderr))


def _rgb(bgr: cv2.typing.MatLike) -> RgbImage:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _of_size(image: RgbImage, size: tuple[int, int]) -> RgbImage:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def load_images(folder: Path, most: int = 60) -> list[RgbImage]:
    """Read up to `most` pictures of a folder, by name.

    Raises:
        ConfigError: there are none, or they differ in size.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURE_TYPES)
    if not files:
        raise ConfigError(f"no picture in {folder}, expected one of {', '.join(PICTURE_TYPES)}")
    images = [_read(file) for file in files[:most]]
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ConfigError(f"the pictures in {folder} have different sizes: {sorted(sizes)}")
    return images


def soft_noise(width: int, height: int, count: int = 8) -> list[RgbImage]:
    """Make pictures of soft coloured noise: without content, but the same everywhere."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, max(2, height // 16), max(2, width // 16), 3))
    pictures = coarse.astype(np.uint8)
    return [np.asarray(cv2.resize(picture, (width, height)), np.uint8) for picture in pictures]


def _read(file: Path) -> RgbImage:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{file} is not a picture that OpenCV can read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
