"""A folder that comes as a ZIP. Nothing in it says where a file of the server is or goes."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mono_depth.errors import ConfigError
from mono_depth.recordings.images import IMAGE_TYPES
from mono_depth.web.jobs.content import BAG_ENDINGS, HEAD_BYTES, ZIP, known_ending

_CHUNK = 1 << 20
_DEEPEST = 8
_LONGEST = 200  # bytes of one name; a file system has 255
_END, _END_BYTES = struct.Struct("<4s4H2LH"), 22
_END_MARK, _LOCATOR_MARK, _LOCATOR_BYTES = b"PK\x05\x06", b"PK\x06\x07", 20
_COMMENT_BYTES = 1 << 16
_ENTRY_BYTES = 512  # of the directory, for each file: a long name and two dates
_DEPTH = "depth"  # the true depth of a recording is not looked at
_ENCRYPTED = 1
_VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv")


def unpack(
    archive: Path,
    folder: Path,
    *,
    most_files: int,
    most_bytes: int,
    go_on: Callable[[int], bool],
) -> Path | None:
    """Write the images, videos and bags of a ZIP to a folder; nothing else of it.

    Lists of files (`rgb.txt`, `metadata.yaml`) stay out: they would name files of the server.

    Args:
        archive: the ZIP.
        folder: which is made.
        most_files: that may be in it.
        most_bytes: of them together, unpacked.
        go_on: is told how many bytes there are, now and then; False ends it.

    Returns:
        The one input that is in it: a folder of images, a video or a bag. None = it was ended.

    Raises:
        ConfigError: it is damaged, too large, or holds no input or several.
    """
    _check_directory(archive, most_files)
    folder.mkdir()
    size = 0
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                place = _place(member)
                if place is None:
                    continue
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("xb") as sink:
                    while chunk := source.read(_CHUNK):
                        size += len(chunk)
                        if size > most_bytes:
                            raise ConfigError(f"the ZIP holds more than {most_bytes} bytes")
                        sink.write(chunk)
                        if not go_on(size):
                            return None
                _check_content(target, place)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ConfigError("two files of the ZIP have one name") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ConfigError(f"the ZIP is damaged or of an unusual kind: {error}") from None
    return _only_input(folder)


def _check_directory(archive: Path, most_files: int) -> None:
    """Refuse a directory of millions of entries before it is read into memory."""
    with archive.open("rb") as file:
        file.seek(0, 2)
        length = file.tell()
        file.seek(max(0, length - _COMMENT_BYTES - _END_BYTES - _LOCATOR_BYTES))
        tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or at + _END_BYTES > len(tail):
        raise ConfigError("the ZIP is cut off")
    if tail[max(0, at - _LOCATOR_BYTES) : at].startswith(_LOCATOR_MARK):
        raise ConfigError("the ZIP is in the format ZIP64; send fewer files")
    entries, directory = _END.unpack_from(tail, at)[4:6]
    if entries > most_files or directory > _ENTRY_BYTES * most_files:
        raise ConfigError(f"the ZIP has more than {most_files} files")


def _place(member: zipfile.ZipInfo) -> PurePosixPath | None:
    """Return where a file goes, None = it stays out.

    Raises:
        ConfigError: its name leads out of the folder, or it is no plain file.
    """
    path = PurePosixPath(member.filename)
    if member.is_dir() or not path.parts:
        return None
    mode = member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
        raise ConfigError(f"the ZIP has a file {member.filename[:80]!r} outside of its folder")
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise ConfigError(f"{member.filename[:80]!r} in the ZIP is a link or a device")
    if member.flag_bits & _ENCRYPTED:
        raise ConfigError("the ZIP is encrypted")
    if len(path.parts) > _DEEPEST or any(len(p.encode()) > _LONGEST for p in path.parts):
        raise ConfigError(f"the name {member.filename[:80]!r} in the ZIP is too long")
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    if is_hidden or _DEPTH in path.parts[:-1] or not _is_wanted(path):
        return None
    return path


def _is_wanted(path: PurePosixPath) -> bool:
    return path.suffix.lower() in (*IMAGE_TYPES, *BAG_ENDINGS, *_VIDEO_ENDINGS)


def _check_content(file: Path, place: PurePosixPath) -> None:
    """Refuse what is called a video or a bag and is none: a decoder would guess what it is.

    Raises:
        ConfigError: it is.
    """
    if place.suffix.lower() in IMAGE_TYPES:
        return
    with file.open("rb") as opened:
        found = known_ending(opened.read(HEAD_BYTES))
    is_bag = place.suffix.lower() in BAG_ENDINGS
    if not found or found == ZIP or (found in BAG_ENDINGS) != is_bag:
        raise ConfigError(f"{str(place)[:80]} in the ZIP is not what its name says")


def _only_input(folder: Path) -> Path:
    """Return the input of an unpacked folder.

    Raises:
        ConfigError: there is none, or there are several.
    """
    files = [item for item in sorted(folder.rglob("*")) if item.is_file()]
    images = [item for item in files if item.suffix.lower() in IMAGE_TYPES]
    others = [item for item in files if item not in set(images)]
    folders = {item.parent for item in images}
    bags = {item.parent for item in others if item.suffix.lower() in BAG_ENDINGS}
    videos = [item for item in others if item.suffix.lower() not in BAG_ENDINGS]
    inputs: list[Path] = [*sorted(folders), *sorted(bags), *videos]
    if not inputs:
        raise ConfigError("the ZIP holds no image, video or bag")
    if len(inputs) > 1:
        names = ", ".join(str(item.relative_to(folder)) for item in inputs[:4])
        raise ConfigError(
            f"the ZIP holds {len(inputs)} inputs ({names}{' ...' if len(inputs) > 4 else ''}); "
            "send each of them as a job of its own"
        )
    return inputs[0]
