"""Stored engines: what was built once for a network, its input and this machine.

Each lies in a folder `<model>-<hash of its key>` with a manifest: the key, the size and SHA-256 of
each file, and what is worth knowing about it. A folder is filled under another name and then
renamed, so what is found by its name is whole; what was damaged afterwards no longer fits its
manifest, is not found, and is built anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mono_depth.engines.protocol import EngineError, EngineKey, Plan
from mono_depth.models.store.untrusted_yaml import as_path
from mono_depth.models.store.weights_file import sha256_of
from mono_depth.system.resources import weights_dir

_LOG = logging.getLogger(__name__)

MANIFEST = "manifest.json"
NOTES = "notes.json"  # what is worth knowing, such as a measured error; not in the manifest
DEFAULT_LIMIT_BYTES = 20 << 30
_LAYOUT = 1
_PARTIAL = re.compile(r"\.partial-.*")
_ABANDONED_S = 3600.0
_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class StoredEngine:
    """One engine of the cache."""

    folder: Path
    key: EngineKey
    bytes: int
    used_s: float  # when it was last used, in seconds since 1970
    notes: dict[str, Any]


class EngineCache:
    """Engines in a folder, behind the `EngineStore` protocol."""

    def __init__(
        self, folder: Path | None = None, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
    ) -> None:
        """Take a folder, None = `engines` beside the weights.

        Args:
            folder: it is made when the first engine is stored.
            limit_bytes: when more than this is stored, the engines that were not used for the
                longest time are deleted.
        """
        self.folder = as_path(str(folder or weights_dir() / "engines"), "weights_dir")
        self._limit_bytes = limit_bytes

    def find(self, key: EngineKey) -> Path | None:
        """Return the folder of a stored engine; None if there is none, or it is damaged."""
        folder = self.folder / _folder_name(key)
        if not folder.is_dir():
            return None
        problem = _problem(folder, key)
        if problem:
            _LOG.warning("the stored engine %s is built anew: %s", folder, problem)
            return None
        with contextlib.suppress(OSError):  # the cache may be read-only
            os.utime(folder / MANIFEST)
        return folder

    def shared(self, name: str) -> Path:
        """Return the folder, maybe not there yet, of what a compiler keeps for itself.

        It counts for no engine, and goes with all of them in `clear`.
        """
        return self.folder / name

    def remove(self, key: EngineKey) -> None:
        """Delete the engine that is stored under `key`, if there is one."""
        shutil.rmtree(self.folder / _folder_name(key), ignore_errors=True)

    def put(self, key: EngineKey, write: Callable[[Path], None]) -> Path:
        """Return the folder that `write` filled, stored whole or, if `write` fails, not at all.

        Where another process stored a whole one under this key in the meantime, that one stays
        and is returned: somebody may be reading it.

        Args:
            key: of the engine.
            write: fills the empty folder it is called with.

        Raises:
            EngineError: the cache cannot be written.
        """
        final = self.folder / _folder_name(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=self.folder, prefix=".partial-"))
            partial.chmod(self.folder.stat().st_mode & 0o777)  # mkdtemp shuts other users out
        except OSError as error:
            raise EngineError(f"cannot store engines in {self.folder}: {_reason(error)}") from error
        try:
            write(partial)
            _write_manifest(partial, key)
            _take_place(partial, final, key)
        except OSError as error:
            reason = _reason(error)
            raise EngineError(f"cannot store an engine in {self.folder}: {reason}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._make_room(spare=final)
        return final

    def stored(self) -> list[StoredEngine]:
        """Return the engines whose manifest is readable, the last used first."""
        found = [_read(folder) for folder in _folders(self.folder)]
        return sorted((item for item in found if item), key=lambda item: -item.used_s)

    def clear(self, model: str = "") -> tuple[int, int]:
        """Delete the engines of one model, "" = all, and what was left half-written.

        Returns:
            How many folders and bytes were deleted.
        """
        chosen = [
            folder
            for folder in _folders(self.folder, with_partial=not model)
            if not model or folder.name.rpartition("-")[0] == model
        ]
        sizes = [_bytes_in(folder) for folder in chosen]
        for folder in chosen:
            shutil.rmtree(folder, ignore_errors=True)
        return len(chosen), sum(sizes)

    def _make_room(self, spare: Path) -> None:
        engines = self.stored()
        total = sum(engine.bytes for engine in engines)
        for engine in reversed(engines):
            if total <= self._limit_bytes:
                break
            if engine.folder == spare:
                continue
            _LOG.info("the cache of engines is full, %s is deleted", engine.folder)
            shutil.rmtree(engine.folder, ignore_errors=True)
            total -= engine.bytes
        for folder in _folders(self.folder, with_partial=True):
            if _PARTIAL.fullmatch(folder.name) and _age_s(folder) > _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def write_notes(folder: Path, notes: dict[str, Any]) -> None:
    """Write what is worth knowing about an engine into its folder."""
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def read_notes(folder: Path) -> dict[str, Any]:
    """Return what `write_notes` wrote; {} where it did not."""
    return _json(folder / NOTES)


def _folder_name(key: EngineKey) -> str:
    text = json.dumps(asdict(key), sort_keys=True)
    return f"{key.model}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _problem(folder: Path, key: EngineKey) -> str:
    """Return what is wrong with a stored engine, "" if it is whole."""
    manifest = _json(folder / MANIFEST)
    if manifest.get("layout") != _LAYOUT or not isinstance(manifest.get("files"), dict):
        return f"{MANIFEST} is missing or damaged"
    if manifest.get("key") != json.loads(json.dumps(asdict(key))):
        return "it belongs to another key"
    for name, expected in manifest["files"].items():
        if not isinstance(expected, dict) or _identity(folder / name) != expected:
            return f"{name} is missing or damaged"
    return ""


def _identity(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return {"bytes": file.stat().st_size, "sha256": sha256_of(opened)}
    except OSError:
        return {}


def _write_manifest(folder: Path, key: EngineKey) -> None:
    names = sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file.name != NOTES
    )
    manifest = {
        "layout": _LAYOUT,
        "key": asdict(key),
        "files": {name: _identity(folder / name) for name in names},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _take_place(partial: Path, final: Path, key: EngineKey) -> None:
    """Rename `partial` to `final`, unless a whole engine is there."""
    for _ in range(_ATTEMPTS):
        try:
            partial.rename(final)
        except OSError as error:  # it cannot replace a folder that holds anything
            is_gone_again = error.errno in (errno.ENOTEMPTY, errno.EEXIST)  # deleted meanwhile
            if not final.is_dir() and not is_gone_again:
                raise EngineError(f"cannot store an engine at {final}: {error.strerror}") from error
        else:
            return
        if not _problem(final, key):
            return
        with (
            tempfile.TemporaryDirectory(dir=final.parent, prefix=".partial-") as aside,
            contextlib.suppress(FileNotFoundError),  # another process was faster
        ):
            final.rename(Path(aside) / final.name)
    raise EngineError(f"cannot store an engine at {final}: other processes keep on doing so")


def _read(folder: Path) -> StoredEngine | None:
    manifest = _json(folder / MANIFEST)
    try:
        values = dict(manifest["key"])
        values["plan"] = Plan(**values["plan"])
        values["arguments"] = tuple(values["arguments"])
        values["versions"] = tuple((name, version) for name, version in values["versions"])
        return StoredEngine(
            folder=folder,
            key=EngineKey(**values),
            bytes=_bytes_in(folder),
            used_s=(folder / MANIFEST).stat().st_mtime,
            notes=read_notes(folder),
        )
    except (KeyError, TypeError, ValueError, OSError):
        return None


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _folders(parent: Path, *, with_partial: bool = False) -> Iterator[Path]:
    if not parent.is_dir():
        return
    for folder in sorted(parent.iterdir()):
        if folder.is_dir() and (with_partial or not _PARTIAL.fullmatch(folder.name)):
            yield folder


def _bytes_in(folder: Path) -> int:
    sizes = []
    for file in folder.rglob("*"):
        try:
            sizes.append(file.stat().st_size if file.is_file() else 0)
        except OSError:
            continue
    return sum(sizes)


def _age_s(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0
