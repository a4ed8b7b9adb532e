"""Every command of the documents is one that there is, with options that it has."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mono_depth.commands.main import build_parser, main

PACKAGE = Path(__file__).resolve().parents[3]
REPOSITORY = PACKAGE.parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "examples").glob("*")),
    *sorted((PACKAGE / "models").glob("*.md")),
]
START = re.compile(
    r"(?:[A-Z_]+=\S+ )?(?:time )?"
    r"(mono-depth|python3? -m mono_depth|ros2 (?:launch|run) mono_depth_ros|\./\w+\.sh"
    r"|pip install)\b"
)
FENCE = re.compile(r"^```(?:bash|console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Of the ways to write that a command has several forms
ALTERNATIVES = re.compile(r"(\S+(?: \| \S+)+)")
SEVERAL = re.compile(r"\|[A-Z]+ \.\.\.|\s\.\.\.")

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "README.md").is_file(), reason="the package is not in its repository"
)


@dataclass(frozen=True)
class Command:
    document: str
    text: str
    is_whole: bool  # False = a sentence names it, maybe without what it needs

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


class UnderstoodError(Exception):
    """A command line was understood."""


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


def forms_of(text: str) -> Iterator[str]:
    """Yield "models list" and "models pull" of "models list | pull", and what is in brackets."""
    text = SEVERAL.sub("", text).replace("[", "").replace("]", "") if "pip" not in text else text
    several = ALTERNATIVES.search(text)
    if several is None or several[1].endswith(("head", "less")):
        yield text.partition(" | ")[0].partition(" \\| ")[0]
        return
    for word in several[1].split(" | "):
        yield text.replace(several[1], word)


def commands_of(document: Path) -> Iterator[Command]:
    text = document.read_text(encoding="utf-8")
    blocks = FENCE.findall(text) if document.suffix == ".md" else []
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"``?([^`\n]+)``?", FENCE.sub("", text))
    if document.suffix == ".py":  # its head says how it is run
        lines, spans = (ast.get_docstring(ast.parse(text)) or "").splitlines(), []
    for candidate, is_whole in [(x, True) for x in lines] + [(x, False) for x in spans]:
        for part in candidate.strip().removeprefix("$ ").split(" && "):
            if START.match(part):
                forms = list(forms_of(re.split(r"\s#|\s&", part)[0]))
                for form in forms:
                    yield Command(name_of(document), form.strip(), is_whole and len(forms) == 1)


COMMANDS = [command for document in DOCUMENTS for command in commands_of(document)]


def those_of(*beginnings: str) -> list[Command]:
    found = [c for c in COMMANDS if START.match(c.text)[1].startswith(beginnings)]
    return sorted(set(found), key=lambda command: (command.document, command.text))


def understood(run, words: list[str], monkeypatch) -> None:
    """Let a command read its line and go no further.

    Raises:
        SystemExit: it does not understand the line.
    """
    parse = argparse.ArgumentParser.parse_args

    def parse_only(*args, **kwargs):
        parse(*args, **kwargs)
        raise UnderstoodError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(UnderstoodError):
        run(words)


def check_names(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Check that subcommands and options are there, whatever else is left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            rest = [word for word in words if not word.startswith("-")]
            if rest:
                assert rest[0] in action.choices, rest[0]
                check_names(action.choices[rest[0]], words[words.index(rest[0]) + 1 :])
            return
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in parser._option_string_actions, word


def test_the_documents_have_commands_of_every_sort():
    for sort, least in (("mono-depth", 40), ("python", 20), ("ros2", 6), ("./", 6), ("pip", 4)):
        assert len(those_of(sort)) >= least, (sort, [c.text for c in those_of(sort)])


@pytest.mark.parametrize("command", those_of("mono-depth"), ids=lambda c: c.text[:60])
def test_the_line_is_one_that_mono_depth_understands(command, monkeypatch):
    words = command.words[command.words.index("mono-depth") + 1 :]
    check_names(build_parser(), words)
    if command.is_whole:
        understood(main, words, monkeypatch)


@pytest.mark.parametrize("command", those_of("python"), ids=lambda c: c.text[:80])
def test_the_line_is_one_that_the_module_understands(command, monkeypatch, capsys):
    words = command.words[command.words.index("-m") + 1 :]
    if words[0].startswith("mono_depth_ros"):
        pytest.importorskip("rclpy", reason="the modules of the node need ROS")
    package = words[0] + (".main" if (PACKAGE / words[0].replace(".", "/")).is_dir() else "")
    run = importlib.import_module(package).main
    if command.is_whole:
        understood(run, words[1:], monkeypatch)
        return
    with pytest.raises(SystemExit) as end:  # its help tells its options
        run(["--help"])
    assert not end.value.code
    told = capsys.readouterr().out
    for word in words[1:]:
        assert not word.startswith("--") or word in told, word


@pytest.mark.parametrize("command", those_of("ros2"), ids=lambda c: c.text[:80])
def test_the_launch_file_or_the_executable_is_there_with_its_arguments(command):
    _, kind, _, name, *rest = command.words
    if kind == "run":
        assert f'"{name} = ' in (PACKAGE / "setup.py").read_text()
        return
    text = (PACKAGE / "launch" / name).read_text()
    for word in rest:
        argument, assigned, _ = word.partition(":=")
        assert assigned, word
        assert re.search(rf"[\"']{argument}[\"']", text), word


@pytest.mark.parametrize("command", those_of("./"), ids=lambda c: c.text[:60])
def test_the_script_takes_the_option(command):
    script, *rest = [word for word in command.words if "=" not in word]
    text = (REPOSITORY / script).read_text()
    for word in rest:
        assert not word.startswith("--") or word in text, word
    subprocess.run(["bash", "-n", REPOSITORY / script], check=True)


@pytest.mark.parametrize("command", those_of("pip"), ids=lambda c: c.text[:60])
def test_the_extras_that_are_to_be_installed_are_there(command):
    setup = (PACKAGE / "setup.py").read_text()
    for extras in re.findall(r"mono_depth_ros\[([\w,-]+)\]", command.text):
        for extra in extras.split(","):
            assert f'"{extra}": ' in setup, extra
