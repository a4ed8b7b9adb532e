"""Command lines live in one room, and texts name those that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3]
LIBRARY = PACKAGE / "mono_depth"
REPOSITORY = PACKAGE.parents[2]
COMMANDS = LIBRARY / "commands"
FILES = sorted(COMMANDS.rglob("*.py"))


def imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.slow
def test_only_the_room_of_commands_reads_a_command_line():
    elsewhere = [file for file in LIBRARY.rglob("*.py") if COMMANDS not in file.parents]
    assert len(elsewhere) > 100
    for file in elsewhere:
        assert "argparse" not in imported(file), file
        assert "sys.argv" not in file.read_text(), file


def test_every_command_that_a_text_names_is_there():
    texts = [*PACKAGE.rglob("models/*.md"), *LIBRARY.rglob("*.py")]
    if (REPOSITORY / "pyproject.toml").is_file():
        texts += [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]
    named = {
        (name, file.name)
        for file in texts
        for name in re.findall(r"-m\s+(mono_depth\.[\w.]*\w)", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 15
    commands = {name_of(file) for file in FILES}
    for name, file_name in sorted(named):
        assert name in commands, f"{file_name} names {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_command_that_is_run_by_itself_names_itself(file):
    text = file.read_text()
    if 'if __name__ == "__main__"' in text and file.stem != "main":
        assert f"python -m {name_of(file)}" in text
