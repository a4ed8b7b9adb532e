"""Fetching weights: resumable, checked, renamed into place only when complete."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, BinaryIO

from tqdm import tqdm

from mono_depth.errors import ModelError
from mono_depth.models.store.registry import ModelEntry, url_of
from mono_depth.models.store.weights_file import MAX_BYTES, sha256_of

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
_NETWORK_ERRORS = (
    urllib.error.URLError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    http.client.HTTPException,
)


def pull(entry: ModelEntry, weights_folder: Path) -> Path:
    """Download the first downloadable file of `entry` unless it is there already.

    An interrupted download leaves a `.part` file behind and goes on from there.

    Returns:
        Path of the complete file.

    Raises:
        ModelError: there is nothing to download, no network, no room, or the file that
            came is not the expected one.
    """
    source = next((source for source in entry.weights if source.is_download), None)
    if source is None:
        path, page = entry.path_of(entry.weights[0], weights_folder), entry.weights[0].page
        origin = f"; get them from {page}" if page else ""
        raise ModelError(f"{entry.name} is not downloaded: its weights belong at {path}{origin}")
    path = entry.path_of(source, weights_folder)
    if path.is_file():
        with path.open("rb") as file_there:
            _check(file_there, path, source.sha256)
        return path
    url = url_of(source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(path.name + ".part")) as part:
            _download(url, part, path.name)
            part.seek(0)
            try:
                _check(part, path, source.sha256)
            except ModelError:
                Path(part.name).unlink()
                raise
            os.fsync(part.fileno())
            Path(part.name).replace(path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from error
    return path


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for appending, unless another pull has it open."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another pull is writing {path}; wait for it") from error
        yield file


def _download(url: str, part: IO[bytes], label: str) -> None:
    """Append to `part` what it lacks of `url`."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise ModelError(f"HF_HUB_OFFLINE is set: not downloading {url}")
    if not url.startswith(("https://", "http://")):
        raise ModelError(f"{url} is neither https nor http")
    have = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "mono-depth"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                have = part.truncate(0)  # a server that does not resume sends everything
            total = _expected_size(response, have, url)
            _check_room(Path(part.name), total, have)
            _copy(response, part, total, have, label)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _size_from_range(error.headers) == have:
                return  # all of it is here already
            part.truncate(0)
            raise ModelError(
                f"{part.name} did not fit {url} and was emptied; pull again"
            ) from error
        raise ModelError(f"{url} answers {error.code} {error.reason}") from error
    except _NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"cannot download {url}: {reason}. Pull again to go on where it stopped, or copy "
            f"the file from another machine to {part.name.removesuffix('.part')}"
        ) from error


def _expected_size(response: http.client.HTTPResponse, have: int, url: str) -> int:
    length = response.headers.get("Content-Length")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        total = _size_from_range(response.headers)
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if total is None or start is None or int(start[1]) != have:
            raise ModelError(f"{url} resumes at another place than byte {have}; delete the .part")
    elif length is None:
        raise ModelError(f"{url} does not say how long the file is")
    else:
        total = int(length)
    if not 0 < total <= MAX_BYTES:
        raise ModelError(f"{url} has {total} bytes, expected 1 to {MAX_BYTES}")
    return total


def _size_from_range(headers: Message) -> int | None:
    match = re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _check_room(part: Path, total: int, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total - have > free:
        raise ModelError(f"{part.parent} has room for {free} bytes, {total - have} are needed")


def _copy(
    response: http.client.HTTPResponse, part: IO[bytes], total: int, have: int, label: str
) -> None:
    with tqdm(
        total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024, desc=label
    ) as bar:
        while have < total and (chunk := response.read(min(_CHUNK_BYTES, total - have))):
            part.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    part.flush()
    if have < total:
        raise ModelError(f"the connection ended after {have} of {total} bytes; pull again to go on")


def _check(file: IO[bytes], path: Path, expected_sha256: str) -> None:
    if not expected_sha256:
        return
    sha256 = sha256_of(file)
    if sha256 != expected_sha256:
        raise ModelError(
            f"{path.name} has sha256 {sha256}, but the registry expects {expected_sha256}: "
            "not the published file; delete it and pull again"
        )
