"""A folder of results that is whole at any time, and knows what it was made with.

Files are written under another name in `.partial/` and renamed when they are whole. `run.json`
holds the settings: with other ones nothing is added to the folder.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mono_depth.errors import ConfigError
from mono_depth.outputs.files.whole_file import write_whole

RUN_FILE = "run.json"
ACCOUNT_FILE = "account.json"
_PARTIAL, _LOCK = ".partial", ".lock"


class OutputFolder:
    """One folder, which one process at a time writes; `opened` makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path / _PARTIAL

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, overwrite: bool = False) -> Iterator[OutputFolder]:
        """Make the folder, or go on with it; keep other processes out of it.

        Args:
            path: of the folder.
            overwrite: empty it first, if an earlier run made it.

        Raises:
            ConfigError: another process writes it, or it holds files of something else.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / _LOCK).open("w")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(f"another process writes to {path}") from None
            folder = cls(path)
            try:
                folder._prepare(overwrite=overwrite)
                yield folder
            finally:
                shutil.rmtree(folder._partial, ignore_errors=True)
                (path / _LOCK).unlink(missing_ok=True)

    def _prepare(self, *, overwrite: bool) -> None:
        others = [item for item in self.path.iterdir() if item.name not in (_LOCK, _PARTIAL)]
        if others and not (self.path / RUN_FILE).is_file():
            raise ConfigError(
                f"{self.path} holds {others[0].name} and no {RUN_FILE}: expected a new or empty "
                "folder, or one that an earlier run made"
            )
        for item in others if overwrite else ():
            if item.is_dir():
                shutil.rmtree(item)
            else:
                item.unlink()
        shutil.rmtree(self._partial, ignore_errors=True)  # of a run that was killed
        self._partial.mkdir()

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Write the settings, or check that an earlier run had the same.

        Raises:
            ConfigError: it had others.
        """
        before, now = read_settings(self.path), json.loads(json.dumps(settings))
        if before is None:
            self.write_json(RUN_FILE, now)
            return
        different = _differences(before, now)
        if different:
            raise ConfigError(
                f"{self.path} was made with other settings ({'; '.join(different)}): choose "
                "another folder, or --overwrite"
            )

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.path / name).is_file()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, by their names in the folder; they appear in that order, each as a whole.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        for index, content in enumerate(files.values()):
            (self._partial / str(index)).write_bytes(content)
        for index, name in enumerate(files):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self._partial / str(index)).replace(target)

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file; of the same content the same bytes."""
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        write_whole(self.path / name, text.encode())

    def growing(self, name: str) -> Path:
        """Return where a file or folder may grow that becomes `name` by `finish`."""
        place = self._partial / "growing" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def finish(self, name: str) -> None:
        """Give what grew its name; what had that name is replaced."""
        target = self.path / name
        if target.is_dir():
            shutil.rmtree(target)
        (self._partial / "growing" / name).replace(target)


def read_settings(folder: Path) -> dict[str, Any] | None:
    """Return what an earlier run of a folder was made with, None = there was none.

    Raises:
        ConfigError: its file is damaged.
    """
    return _read_json(folder / RUN_FILE)


def read_account(folder: Path) -> dict[str, Any] | None:
    """Return the account of a run that came to its end, None = none did.

    Raises:
        ConfigError: its file is damaged.
    """
    return _read_json(folder / ACCOUNT_FILE)


def _read_json(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is damaged: {error}; use --overwrite") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} is damaged: expected an object; use --overwrite")
    return found


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Return what differs between two settings, as "scale.source: auto, now model"."""
    found = []
    for key in sorted({*before, *now}):
        old, new, name = before.get(key), now.get(key), f"{path}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{name}: {_short(old)}, now {_short(new)}")
    return found


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
