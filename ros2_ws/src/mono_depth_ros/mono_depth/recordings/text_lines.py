"""Lines of the text files of recordings, as editors, spreadsheets and shells leave them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from mono_depth.errors import ConfigError

_MAX_BYTES = 256 << 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as a redirection of PowerShell writes
# Larger numbers are no seconds of this age: stamps in milli-, micro- or nanoseconds since 1970.
_LEAST_BY_UNIT = ((10**17, 1), (10**14, 10**3), (10**11, 10**6))


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers from 1 on; comments begin with #.

    Raises:
        ConfigError: the file cannot be read as text.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_BYTES} bytes: not a list of a recording")
        content = path.read_bytes()
        text = content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text: {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if said and not said.startswith("#"):
            yield number, said


def stamp_ns_of(text: str) -> int:
    """Return "1305031246.429654" as nanoseconds, exactly.

    Whole numbers too large for seconds are milli-, micro- or nanoseconds.

    Raises:
        ValueError: it is not a time.
    """
    whole, _, fraction = text.partition(".")
    if not (whole.isdecimal() and (fraction.isdecimal() or not fraction)) or len(whole) > 20:
        seconds = float(text)
        if not abs(seconds) < 1e20:
            raise ValueError(f"{text[:40]!r} is not a time")
        return _as_ns(round(seconds), seconds)
    if len(whole) < 12:
        return int(whole) * 10**9 + int(f"{fraction[:9]:0<9}")
    return _as_ns(int(whole), float(text))


def _as_ns(whole: int, exact: float) -> int:
    for least, unit_ns in _LEAST_BY_UNIT:
        if abs(whole) >= least:
            return whole if unit_ns == 1 else round(exact) * unit_ns
    return round(exact * 1e9)
