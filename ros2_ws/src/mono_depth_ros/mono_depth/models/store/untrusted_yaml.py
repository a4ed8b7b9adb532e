"""YAML and paths that somebody else wrote: whatever they say, an error at once."""

from __future__ import annotations

import os
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mono_depth.errors import ConfigError

_MAX_BYTES = 1 << 20
_MAX_NODES, _MAX_DEPTH = 100_000, 32  # after aliases are replaced by what they stand for
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 4095  # of Linux
# The parser in C, where PyYAML has it, reads the shipped file in a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 80, 80, 40


def shown(value: object) -> str:
    """Return a value for a message, of bounded length."""
    return _SHORT.repr(value)


def read_yaml(file: Path, *, is_ours: bool = False) -> Any:  # noqa: ANN401 - whatever stands there
    """Return the content of a YAML file; `is_ours` = it ships with the package.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is larger than anybody writes by hand.
    """
    text = _text(file)
    try:
        if not is_ours:  # else it takes as long again
            _check_size(yaml.parse(text, Loader=_LOADER), file)
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{file} is not YAML: {str(error)[:400]}") from error


def _text(file: Path) -> str:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"cannot read the model registry {file}: not a regular file")
            content = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the model registry {str(file)[:400]}: {reason}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{file} has more than {_MAX_BYTES} bytes: not a model registry")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error


def _check_size(events: Iterable[Any], file: Path) -> None:
    """Refuse a document that aliases blow up ("billion laughs"), or that is nested too deep."""
    sizes: dict[str, int] = {}  # of what an anchor stands for, in nodes
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the nodes before it
    nodes = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if nodes > _MAX_NODES or len(open_nodes) > _MAX_DEPTH:
            raise ConfigError(
                f"{file} says more than {_MAX_NODES} things, or nests them more than {_MAX_DEPTH} "
                "deep, once its aliases are filled in: not a model registry"
            )


def is_text(text: str) -> bool:
    """Tell whether all of a text can be written; half a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def as_path(text: str, where: str) -> Path:
    """Return a path that a file names, with `~` replaced.

    Raises:
        ConfigError: no file can have that name.
    """
    parts = text.encode("utf-8", "replace").split(b"/")
    if (
        "\0" in text
        or not is_text(text)
        or max(map(len, parts)) > _MAX_NAME_BYTES
        or sum(map(len, parts)) + len(parts) > _MAX_PATH_BYTES
    ):
        raise ConfigError(f"{where}: {shown(text)} is no path of a file")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~somebody who is not there
        raise ConfigError(f"{where}: {shown(text)} is no path of a file: {error}") from None
