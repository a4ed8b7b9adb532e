"""Files as a ZIP that is made while it is sent: neither memory nor disk holds it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_CHUNK = 1 << 18
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a ZIP; the same files make the same bytes


class _Outbox:
    """A file that cannot be gone back in; what was written is taken out again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.size = [], 0
        return data


def zip_stream(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a ZIP of files by their names in it, stored as they are: depth does not shrink.

    Raises:
        OSError: a file is gone.
    """
    outbox = _Outbox()
    with zipfile.ZipFile(outbox, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, file in files.items():
            about = zipfile.ZipInfo(name, _EARLIEST)
            about.external_attr = 0o644 << 16
            about.file_size = file.stat().st_size  # tells whether it needs ZIP64
            with file.open("rb") as source, archive.open(about, "w") as sink:
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
                    if outbox.size >= _CHUNK:
                        yield outbox.taken()
    yield outbox.taken()
