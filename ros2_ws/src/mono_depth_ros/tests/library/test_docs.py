"""What the documents name is there: files, headings, modules, rooms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2]
REPOSITORY = PACKAGE.parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((PACKAGE / "models").glob("*.md")),
]
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
ROOTS = ("mono_depth", "mono_depth_ros")
SCREENS = 195  # lines of the README

pytestmark = pytest.mark.skipif(
    not ARCHITECTURE.is_file(), reason="the package is not in its repository"
)


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


def links_of(document: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and heading of each link into the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            yield (document.parent / path if path else document), heading


def headings_of(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(document):
    for file, heading in links_of(document):
        assert file.exists(), f"{name_of(document)} links to {file}"
        if heading:
            assert heading in headings_of(file), f"{name_of(document)} links to #{heading}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_module_that_is_to_be_run_is_there(document):
    for module in re.findall(r"python3?\s+-m\s+(mono_depth[\w.]*)", document.read_text()):
        path = PACKAGE / Path(*module.split("."))
        file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert file.is_file(), f"{module} is not there"
        has_main = '__name__ == "__main__"' in file.read_text()
        assert has_main or file.name == "__main__.py", f"{module} does nothing when it is run"


@pytest.mark.parametrize("root", ROOTS)
def test_the_architecture_has_a_line_for_every_room(root):
    tree = ARCHITECTURE.read_text().partition(f"\n{root}/ ")[2].partition("\n\n")[0]
    told = re.findall(r"^  (\w+)(?:/|\.py) ", tree, re.MULTILINE)
    rooms = {
        path.stem
        for path in (PACKAGE / root).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert sorted(told) == sorted(rooms - {"__init__"})


def test_every_file_that_the_architecture_names_is_there():
    paths = re.findall(r"`([\w./]+/[\w.]+\.\w+)`", ARCHITECTURE.read_text())
    assert len(paths) > 20
    for path in paths:
        assert "NAME" in path or (PACKAGE / path).is_file(), path


def test_the_readme_is_within_a_few_screens():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= SCREENS
