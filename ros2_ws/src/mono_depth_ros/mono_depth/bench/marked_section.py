"""Documents with a part that is written by a program, between two lines that mark it."""

from __future__ import annotations

import re
from pathlib import Path

from mono_depth.errors import ConfigError


def filled(document: str, section: str, content: str) -> str:
    """Return `document` with `content` between `<!-- section -->` and `<!-- /section -->`.

    Raises:
        ConfigError: it does not have these two lines.
    """
    marked = re.compile(rf"(<!-- {section} -->\n).*?(<!-- /{section} -->)", re.DOTALL)
    if not marked.search(document):
        raise ConfigError(f"no lines <!-- {section} --> and <!-- /{section} -->")
    return marked.sub(lambda found: f"{found[1]}{content}\n{found[2]}", document)


def fill_file(path: Path, section: str, content: str) -> None:
    """Put `content` between the two lines of `section` in a file.

    Raises:
        ConfigError: the file does not have these two lines.
    """
    text = path.read_text(encoding="utf-8")
    path.write_text(filled(text, section, content), encoding="utf-8")
