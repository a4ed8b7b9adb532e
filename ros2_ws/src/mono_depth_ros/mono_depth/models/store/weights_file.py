"""Files of weights: regular, of a sane size, hashed, and the same while they are open."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from mono_depth.errors import ModelError

_LOG = logging.getLogger(__name__)

MAX_BYTES = 8 << 30


@contextmanager
def open_weights(path: Path, expected_sha256: str = "") -> Iterator[tuple[BinaryIO, str]]:
    """Open a file of weights and yield it with its SHA-256.

    Raises:
        ModelError: it is not a readable regular file of a sane size, its hash is not the
            expected one, or it changed while it was open.
    """
    with _open_regular(path) as file:
        before = os.fstat(file.fileno())
        if not 0 < before.st_size <= MAX_BYTES:
            raise ModelError(
                f"the weights {path} have {before.st_size} bytes, expected 1 to {MAX_BYTES}"
            )
        if before.st_mode & stat.S_IWOTH:
            _LOG.warning("every user of this machine can change %s (chmod o-w)", path)
        sha256 = sha256_of(file)
        if expected_sha256 and sha256 != expected_sha256:
            raise ModelError(
                f"{path} has sha256 {sha256}, but the registry expects {expected_sha256}: "
                "the file is damaged or another one; delete it and pull the model again"
            )
        file.seek(0)
        yield file, sha256
        if not path.exists() or _identity(before) != _identity(path.stat()):
            raise ModelError(f"the weights {path} changed while they were read")


def _open_regular(path: Path) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ModelError(f"cannot read the weights {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ModelError(f"the weights {path} are not a regular file")
    return os.fdopen(descriptor, "rb")


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of the rest of `file` as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
