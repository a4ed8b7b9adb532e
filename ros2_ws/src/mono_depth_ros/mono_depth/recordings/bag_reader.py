"""Bags, read without a ROS installation: rosbag2 (MCAP or SQLite, with zstd or not) and ROS 1."""

from __future__ import annotations

import importlib
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth.messages.protocols import CameraInfoMessage
from mono_depth.recordings.bag_paths import BAG_TYPES, bag_files, has_metadata

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

_LOG = logging.getLogger(__name__)
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_ZSTD_MODULES = ("compression.zstd", "backports.zstd", "zstandard")  # rosbags brings one of them
_REPAIRED_BY = {".mcap": "mcap recover", ".bag": "rosbag reindex"}

# When a message was written [ns], and how many of its topic were written at that time before it.
Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic of a bag."""

    name: str
    kind: str  # of its messages, such as sensor_msgs/msg/Image, for ROS 1, too
    connections: tuple[Any, ...]  # of rosbags: one for each publisher and each file

    def __len__(self) -> int:
        return sum(connection.msgcount for connection in self.connections)


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """A message of a bag, with the fields that it has in ROS."""

    content: Any  # of a class that rosbags makes, arrays are those of numpy
    stamp_ns: int  # of its header; where it has none, when it was written
    place: Place


class BagReader:
    """A bag that stays open, as long as this is kept."""

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Args:
            path: folder of rosbag2, with metadata.yaml or only the files of one bag, or one file:
                .mcap, .db3 (with all that its metadata.yaml names, if that is there), each with
                .zstd after it or not, or .bag. Files with .zstd are unpacked to a folder for
                temporary files (TMPDIR) first.

        Raises:
            ConfigError: the package rosbags is missing, or the path is no bag or a damaged one.
        """
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise ConfigError(
                f"{path} is a bag; reading it needs rosbags: pip install 'mono_depth_ros[bag]'"
            ) from None
        self.path = path
        opened = ExitStack()
        weakref.finalize(self, opened.close)
        with _told(path):
            store = get_typestore(Stores.ROS2_JAZZY)  # for files that do not tell their types
            self._reader: Any = AnyReader(_unpacked(path, opened), default_typestore=store)
            self._reader.open()
            opened.callback(self._reader.close)

    def topics(self, *kinds: str) -> list[Topic]:
        """Return the topics with messages of some kinds, in the order of the bag."""
        found: dict[tuple[str, str], list[Any]] = {}
        for connection in self._reader.connections:
            if connection.msgtype in kinds:
                found.setdefault((connection.topic, connection.msgtype), []).append(connection)
        return [
            Topic(name=name, kind=kind, connections=tuple(connections))
            for (name, kind), connections in found.items()
        ]

    def named_topics(self, kind: str, name: str = "") -> list[Topic]:
        """Return a topic of messages of one kind, by its name; "" = the first, if there is one.

        Raises:
            ConfigError: there is none of that name.
        """
        known = self.topics(kind)
        found = [topic for topic in known if name in ("", topic.name)][:1]
        if name and not found:
            listed = ", ".join(sorted(topic.name for topic in known)) or "none"
            raise ConfigError(f"{self.path} has no topic {name} of {kind}; there are: {listed}")
        return found

    def image_topic(
        self,
        name: str = "",
        *,
        fits: Callable[[str], bool] = lambda _: True,
        what: str = "images",
        raw_first: bool = False,
    ) -> Topic:
        """Return a topic of raw or compressed images.

        Args:
            name: "" = the first whose name fits.
            fits: judges names.
            what: fits, in words.
            raw_first: topics of raw images are first.

        Raises:
            ConfigError: there is none.
        """
        known = self.topics(IMAGE, COMPRESSED_IMAGE)
        if raw_first:
            known.sort(key=lambda topic: topic.kind != IMAGE)
        for topic in known:
            if topic.name == name or (not name and fits(topic.name)):
                return topic
        listed = ", ".join(sorted(topic.name for topic in known)) or "none"
        raise ConfigError(f"{self.path} has no topic {name or f'of {what}'}; of images: {listed}")

    def camera_info(self, images: Topic) -> CameraInfoMessage | None:
        """Return the first calibration beside images: of /eye/camera_info for /eye/image_raw."""
        name = info_topic(images.name)
        for topic in self.topics("sensor_msgs/msg/CameraInfo"):
            if topic.name == name:
                for stored in self.messages(topic):
                    info: CameraInfoMessage = stored.content
                    return info
        return None

    def messages(
        self, topic: Topic, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[StoredMessage]:
        """Yield the messages that were written in a time, in that order.

        Raises:
            ConfigError: the bag is damaged there.
        """
        before_ns, nth, empty = None, 0, 0
        with _told(self.path, topic.name):
            for connection, written_ns, data in self._raw(topic, start_ns, stop_ns):
                nth = nth + 1 if written_ns == before_ns else 0
                before_ns = written_ns
                if not data:  # as a recorder leaves it whose disk was full
                    empty += 1
                    continue
                content = self._reader.deserialize(self._unzipped(data), connection.msgtype)
                header = getattr(content, "header", None)
                yield StoredMessage(
                    content=content,
                    # 0 is what a driver leaves that sets no stamp
                    stamp_ns=(header and _nanoseconds(header.stamp)) or written_ns,
                    place=(written_ns, nth),
                )
        if empty:
            _LOG.warning("%s: %d messages of %s are empty, left out", self.path, empty, topic.name)

    def message(self, topic: Topic, place: Place) -> Any:  # noqa: ANN401 - a type made by rosbags
        """Return the message at a place that `messages` gave."""
        written_ns, _ = place
        found = self.messages(topic, written_ns, written_ns + 1)
        return next(stored.content for stored in found if stored.place == place)

    def rate_hz(self, topic: Topic) -> float | None:
        """Return how often a topic was written, None where that cannot be told."""
        with _told(self.path):
            times_ns = [written_ns for _, written_ns, _ in self._raw(topic)]
        gap_ns = float(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 0.0
        return 1e9 / gap_ns if gap_ns > 0.0 else None

    def _raw(
        self, topic: Topic, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        yield from self._reader.messages(
            connections=topic.connections, start=start_ns, stop=stop_ns
        )

    def _unzipped(self, data: bytes) -> bytes:
        """Return a message as it was before rosbag2 compressed it.

        Only metadata.yaml, which may be missing, tells that it did. CDR begins with a zero.
        """
        if self._reader.is2 and data[: len(_ZSTD_MAGIC)] == _ZSTD_MAGIC:
            unzipped: bytes = _zstd().decompress(data)
            return unzipped
        return data


def info_topic(image_topic: str) -> str:
    """Return the name of the camera_info that belongs to images."""
    return f"{without_transport(image_topic).rpartition('/')[0]}/camera_info"


def without_transport(image_topic: str) -> str:
    """Return the name of an image topic as image_transport was given it."""
    return image_topic.removesuffix("/compressed").removesuffix("/compressedDepth")


def _unpacked(path: Path, opened: ExitStack) -> Sequence[Path]:
    """Return what rosbags can open: a folder with metadata.yaml, or files without .zstd."""
    if has_metadata(path):
        return [path]
    if path.suffix in (".db3", ".zstd") and has_metadata(path.parent):
        return [path.parent]
    files = [path] if path.is_file() else bag_files(path)
    if not files:
        raise ConfigError(
            f"{path} cannot be read as a bag: it has no metadata.yaml and no file of one "
            f"({', '.join(BAG_TYPES)})"
        )
    if all(file.suffix != ".zstd" for file in files):
        return files
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="mono_depth_bag_")))
    return [_unzipped_file(file, folder) if file.suffix == ".zstd" else file for file in files]


def _unzipped_file(file: Path, folder: Path) -> Path:
    unpacked = folder / file.stem
    with (
        file.open("rb") as stored,
        _zstd().open(stored, "rb") as packed,
        unpacked.open("wb") as target,
    ):
        shutil.copyfileobj(packed, target)
    return unpacked


def _zstd() -> Any:  # noqa: ANN401 - one of several modules
    for name in _ZSTD_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConfigError("the bag is compressed with zstd; reading it needs: pip install zstandard")


def _nanoseconds(stamp: Any) -> int:  # noqa: ANN401 - a type made by rosbags
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


@contextmanager
def _told(path: Path, topic: str = "") -> Iterator[None]:
    """Say of which bag, and of which topic of it, an error is."""
    try:
        yield
    except MonoDepthError:
        raise
    except Exception as error:  # which one depends on where a file is damaged
        repair = _REPAIRED_BY.get(path.suffix, "ros2 bag reindex")
        place = f", at {topic}" if topic else ""
        raise ConfigError(
            f"{path} cannot be read as a bag{place}: {error}. If its recording was cut off, "
            f"`{repair}` repairs it"
        ) from error
