"""Fetching weights: from the first source that has them, checked, and renamed into place whole."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from mono_depth.errors import ModelError
from mono_depth.models.store.fetch import fetch, origin_file
from mono_depth.models.store.file_kind import whole_or_why
from mono_depth.models.store.registry import ModelEntry, WeightsSource, url_of
from mono_depth.models.store.weights_file import sha256_of

_LOG = logging.getLogger(__name__)
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# Bytes of a file for each parameter: 8 bits and no less, in double precision with two more of the
# optimiser and no more.
_LEAST_BYTES, _MOST_BYTES = 0.9, 30.0


def pull(entry: ModelEntry, weights_folder: Path, *, force: bool = False) -> Path:
    """Download a file of `entry`, unless it is there already.

    Its sources are tried one after the other. An interrupted download leaves a `.part` file behind
    and goes on from there, if the server still has the same file.

    Args:
        entry: of the registry.
        weights_folder: of all models.
        force: download it anew, even where it is there.

    Returns:
        Path of the complete file.

    Raises:
        ModelError: there is nothing to download, no network, no room, or the file that
            came is not the expected one.
    """
    sources = [source for source in entry.weights if source.is_download]
    if not sources:
        path, page = entry.path_of(entry.weights[0], weights_folder), entry.weights[0].page
        if path.is_file():
            return path
        origin = f"; get them from {page}" if page else ""
        raise ModelError(f"{entry.name} is not downloaded: its weights belong at {path}{origin}")
    if not force:
        for source in sources:
            path = entry.path_of(source, weights_folder)
            if path.is_file():
                _check_there(entry, source, path)
                return path
    problems = []
    for source in sources:
        try:
            return _pulled(entry, source, entry.path_of(source, weights_folder))
        except ModelError as error:
            problems.append(str(error))
            if source is not sources[-1]:
                _LOG.warning("%s; trying the next source of %s", error, entry.name)
    raise ModelError("; ".join(dict.fromkeys(problems)))


def _check_there(entry: ModelEntry, source: WeightsSource, path: Path) -> None:
    try:
        with path.open("rb") as file:
            _check(file, path, entry, source, "")
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except ModelError as error:
        raise ModelError(
            f"{error}; `mono-depth models pull {entry.name} --force` gets it anew"
        ) from error


def _pulled(entry: ModelEntry, source: WeightsSource, path: Path) -> Path:
    part_path = path.with_name(path.name + ".part")
    made_folder = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part_path) as part:
            try:
                _fill(part, part_path, entry, source)
                part_path.replace(path)
                origin_file(part_path).unlink(missing_ok=True)
            finally:
                if os.fstat(part.fileno()).st_size == 0:  # nothing to go on from
                    _discard(part_path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if made_folder:
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()
    return path


def _fill(part: BinaryIO, part_path: Path, entry: ModelEntry, source: WeightsSource) -> None:
    """Bring the whole file into `part`, and check it."""
    path = part_path.with_suffix("")
    stated = _fetched(source, url_of(source), part, path.name)
    part.seek(0)
    try:
        _check(part, path, entry, source, stated)
    except ModelError:
        _discard(part_path)
        raise
    os.fsync(part.fileno())


def _fetched(source: WeightsSource, url: str, part: BinaryIO, label: str) -> str:
    """Fill `part`; return the SHA-256 that the hub states, "" = none."""
    cached = _in_hub_cache(source)
    if cached is not None:
        with cached.open("rb") as file:
            part.truncate(0)
            shutil.copyfileobj(file, part)
        part.flush()
        _LOG.info("copied from %s", cached)
        return ""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise ModelError(f"HF_HUB_OFFLINE is set: not downloading {url}")
    token = _token(url) if source.hub else ""
    return fetch(url, part, label, token=token, is_pinned=bool(source.sha256))


def _token(url: str) -> str:
    """Return the user's token of the hub, "" where there is none or it would be read by others."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return ""
    for name in _TOKENS:
        token = os.environ.get(name, "").strip()
        if token:
            return token if token.isascii() and token.isprintable() else ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        token = (_hub_home() / "token").read_text(encoding="ascii").strip()
        return token if token.isprintable() else ""
    return ""


def _hub_home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface")


def _in_hub_cache(source: WeightsSource) -> Path | None:
    """Return the file where the tools of the hub left it, None = they did not."""
    if not source.hub:
        return None
    hub = Path(os.environ.get("HF_HUB_CACHE") or _hub_home() / "hub")
    folder = hub / f"models--{source.hub.replace('/', '--')}"
    revision = source.revision or "main"
    try:
        named = folder / "refs" / revision
        commit = named.read_text(encoding="ascii").strip() if named.is_file() else revision
        file = folder / "snapshots" / commit / source.file
        is_inside = file.resolve().is_relative_to(folder.resolve())
        return file if is_inside and file.is_file() else None
    except (OSError, ValueError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for appending, unless another pull has it open. Links are not followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    with open(path, "a+b", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another pull is writing {path}; wait for it") from error
        yield file


def _check(
    file: IO[bytes], path: Path, entry: ModelEntry, source: WeightsSource, stated: str
) -> None:
    """Refuse a file that is not the expected one, or by all signs no weights of that model.

    Args:
        file: is read from its start.
        path: of the file, for messages.
        entry: what it should be.
        source: where it comes from.
        stated: the SHA-256 that the hub states, "" = none.
    """
    expected = source.sha256 or stated
    if expected:
        sha256 = sha256_of(file)
        if sha256 != expected:
            by = "the registry" if source.sha256 else "the hub"
            raise ModelError(
                f"{path.name} has sha256 {sha256}, but {by} expects {expected}: "
                "not the published file; delete it and pull again"
            )
    if source.sha256:
        return
    size = os.fstat(file.fileno()).st_size
    reason = whole_or_why(file, size, path.suffix)
    if not reason and entry.parameters_m is not None:
        each = size / (1e6 * entry.parameters_m)
        if not _LEAST_BYTES <= each <= _MOST_BYTES:
            reason = f"it has {size} bytes, for {entry.parameters_m:g} million parameters"
    if reason:
        raise ModelError(f"{path.name} is not the file of {entry.name}: {reason}")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    origin_file(part).unlink(missing_ok=True)
