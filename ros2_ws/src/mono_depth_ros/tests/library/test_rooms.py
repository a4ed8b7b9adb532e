"""Rooms in the order of the data flow: every import runs down, and none runs in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2]
MOST_LOOSE_FILES = 5
MOST_FILES_OF_A_ROOM = 30

# Lowest first. A room may import those before it, and nothing else of the package.
LIBRARY = (
    "errors",
    "system",
    "config",
    "data",
    "synthetic",
    "stream",
    "camera",
    "outputs",
    "messages",
    "recordings",
    "display",
    "models",
    "engines",
    "motion",
    "temporal",
    "scale",
    "training",
    "pipeline",
    "report",
    "bench",
    "evaluation",
    "runs",
    "web",
    "commands",
)
NODE = (
    "exit_codes",
    "processes",
    "rclpy_support",
    "codec",
    "config",
    "sensors",
    "cameras",
    "recorder",
    "autopilot",
    "viewer",
    "depth_node",
    "bench",
    "demo",
)
ORDERS = {"mono_depth": LIBRARY, "mono_depth_ros": NODE}


def modules_of(root: str, folder: Path = PACKAGE) -> dict[str, Path]:
    """Return the file of each module under an import root."""
    modules = {}
    for file in sorted((folder / root).rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def imports_of(module: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield each module that a module imports: anywhere in it, in functions too."""
    for node in ast.walk(ast.parse(modules[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else str(node.module) for name in inner]
        else:
            continue
        yield from (name for name in names if name in modules and name != module)


def arrows(root: str, folder: Path = PACKAGE) -> dict[str, set[str]]:
    """Return what each module imports of its own import root."""
    modules = modules_of(root, folder)
    return {module: set(imports_of(module, modules)) for module in modules}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def upward(root: str, order: tuple[str, ...], folder: Path = PACKAGE) -> list[str]:
    """Return the imports of other rooms that do not run down."""
    height = {"": -1, **{room: index for index, room in enumerate(order)}}
    return [
        f"{module} imports {other}"
        for module, others in arrows(root, folder).items()
        for other in sorted(others)
        if room_of(module) != room_of(other) and height[room_of(other)] >= height[room_of(module)]
    ]


def circle(links: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import one another in a circle; empty where there is none."""
    done: set[str] = set()
    for start in links:
        way: list[str] = []
        waiting = [(start, iter(sorted(links[start])))] if start not in done else []
        while waiting:
            module, others = waiting[-1]
            if module not in way:
                way.append(module)
            other = next((item for item in others if item not in done), None)
            if other is None:
                done.add(module)
                way.pop()
                waiting.pop()
            elif other in way:
                return [*way[way.index(other) :], other]
            else:
                waiting.append((other, iter(sorted(links[other]))))
    return []


@pytest.mark.parametrize("root", ORDERS)
def test_every_room_has_its_place_in_the_order(root):
    rooms = {room_of(module) for module in modules_of(root)} - {""}

    assert rooms - set(ORDERS[root]) == set()


@pytest.mark.slow
@pytest.mark.parametrize("root", ORDERS)
def test_no_import_runs_upward(root):
    assert upward(root, ORDERS[root]) == []


@pytest.mark.slow
@pytest.mark.parametrize("root", ORDERS)
def test_no_files_import_one_another_in_a_circle(root):
    assert circle(arrows(root)) == []


def test_few_files_lie_loose_in_the_library():
    loose = [file.name for file in (PACKAGE / "mono_depth").glob("*.py")]

    assert len(loose) <= MOST_LOOSE_FILES, loose


@pytest.mark.parametrize("root", ORDERS)
def test_no_room_is_crowded(root):
    folders = {file.parent for file in modules_of(root).values()}
    sizes = {folder.name: len(list(folder.glob("*.py"))) for folder in folders}

    assert {name: size for name, size in sizes.items() if size > MOST_FILES_OF_A_ROOM} == {}


@pytest.mark.parametrize(("root", "tests"), [("mono_depth", "library"), ("mono_depth_ros", "node")])
def test_every_room_has_tests_in_a_folder_of_its_name(root, tests):
    rooms = {file.parent.name for file in (PACKAGE / root).glob("*/__init__.py")}
    tested = {file.parents[1].name for file in (PACKAGE / "tests" / tests).glob("*/**/test_*.py")}
    tested |= {file.parent.name for file in (PACKAGE / "tests" / tests).glob("*/test_*.py")}

    assert rooms - tested == set()


# The test itself sees what it should.


@pytest.fixture
def small_house(tmp_path):
    """Two rooms: `upper` may import `lower`."""

    def build(**files: str) -> Path:
        for name, text in {"lower/a.py": "", "upper/b.py": "", **files}.items():
            file = tmp_path / "house" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return build


@pytest.mark.parametrize(
    "text",
    [
        "from house.upper import b\n",
        "import house.upper.b\n",
        "def late():\n    from house.upper.b import name\n",
        "if TYPE_CHECKING:\n    from house.upper.b import Name\n",
    ],
    ids=["from", "import", "in a function", "for types only"],
)
def test_an_import_that_runs_upward_is_seen(small_house, text):
    folder = small_house(**{"lower/a.py": text})

    assert upward("house", ("lower", "upper"), folder) == ["house.lower.a imports house.upper.b"]


def test_a_circle_of_three_files_is_seen(small_house):
    folder = small_house(
        **{
            "lower/a.py": "import house.lower.c",
            "lower/c.py": "import house.lower.d",
            "lower/d.py": "def late():\n    from house.lower import a",
        }
    )

    assert circle(arrows("house", folder)) == [
        "house.lower.a",
        "house.lower.c",
        "house.lower.d",
        "house.lower.a",
    ]
