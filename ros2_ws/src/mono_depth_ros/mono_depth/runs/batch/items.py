"""What a batch works on: each item is a whole video, bag or folder of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mono_depth.errors import ConfigError
from mono_depth.recordings.bag_paths import is_bag
from mono_depth.recordings.frames.open import is_openable
from mono_depth.recordings.images import IMAGE_TYPES

_SYNTHETIC = "synthetic:"
_RECORDING_FOLDERS = ("rgb", "color")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One input, which one worker takes as a whole: the memory of the filter stays together."""

    name: str  # of its folder
    source: str  # what `open_frames` opens


@dataclass(frozen=True, kw_only=True)
class Found:
    """What sources hold."""

    items: list[Item] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # files that are no input, and why


def find_items(sources: list[str], out: Path) -> Found:
    """Return all inputs of files and folders, by name; folders are searched to their depth.

    A folder that holds images is one item, and so is a bag; of what else it holds each video is
    one, too.

    Args:
        sources: paths, or "synthetic:SCENE/TRAJECTORY/SEED".
        out: folder of the results, which is no source.

    Raises:
        ConfigError: a source is not there, or there is no item at all.
    """
    found, taken = Found(), set[str]()
    for source in sources:
        if source.startswith(_SYNTHETIC):
            name = source.removeprefix(_SYNTHETIC).replace("/", "__")
            _add(found, taken, name, source)
            continue
        path = Path(source)
        if not path.exists():
            raise ConfigError(f"{source} does not exist")
        for place in _inputs(path, out.resolve(), found.skipped):
            inner = "" if place == path else f"__{'__'.join(place.relative_to(path).parts)}"
            _add(found, taken, f"{path.resolve().name}{inner}", str(place))
    if not found.items:
        raise ConfigError(f"no image, video or bag in {', '.join(sources)}")
    return found


def _add(found: Found, taken: set[str], name: str, source: str) -> None:
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    taken.add(unique)
    found.items.append(Item(name=unique, source=source))


def _inputs(path: Path, out: Path, skipped: dict[str, str]) -> Iterator[Path]:
    """Yield the inputs under a path, in the order of their names."""
    if path.resolve() == out or path.name.startswith("."):
        return
    if path.is_file():
        if is_openable(path):
            yield path
        else:
            skipped[str(path)] = "neither an image, nor a video, nor a bag"
        return
    if is_openable(path):
        yield path
        if is_bag(path) or any((path / name).is_dir() for name in _RECORDING_FOLDERS):
            return
    for inner in sorted(path.iterdir()):
        if inner.is_file() and inner.suffix.lower() in IMAGE_TYPES:
            continue  # one of the images of this folder
        yield from _inputs(inner, out, skipped)
