"""What the package installs, what it says it needs, and what the library does without."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import mono_depth
from mono_depth.system.resources import share_dir

PACKAGE = Path(__file__).resolve().parents[2]
REPOSITORY = PACKAGE.parents[2]
SHARED_FOLDERS = ("launch", "config", "models")
IMPORT_ROOTS = ("mono_depth", "mono_depth_ros")

ROS_MODULES = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosidl_runtime_py",
    "sensor_msgs",
    "sensor_msgs_py",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "tf2_ros",
}
OPTIONAL_MODULES = {"imageio_ffmpeg", "matplotlib", "onnxruntime", "open3d", "rosbags"}
OPTIONAL_MODULES |= {"fastapi", "plotly", "python_multipart", "uvicorn"}

IMPORT_ALL = """
import importlib, sys, traceback
names, blocked = sys.argv[1].split(","), set(sys.argv[2].split(","))

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
failed = []
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:
        if type(error).__name__ == "ConfigError" and "mono_depth_ros[" in str(error):
            continue  # tells which extra to install
        failed.append(name)
        traceback.print_exc()
sys.exit(f"cannot import {failed}" if failed else 0)
"""


@pytest.fixture(scope="module")
def setup() -> Any:
    """What setup.py tells setuptools, read without installing."""
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    from distutils.core import run_setup  # setuptools' own copy

    before = Path.cwd()
    os.chdir(PACKAGE)
    try:
        return run_setup("setup.py", stop_after="init")
    finally:
        os.chdir(before)


def modules_of(root: str) -> list[str]:
    files = (PACKAGE / root).rglob("*.py")
    names = (".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in files)
    return sorted(name.removesuffix(".__init__") for name in names if "__main__" not in name)


def test_every_file_of_the_shared_folders_is_installed(setup: Any) -> None:
    installed = {(folder, file) for folder, files in setup.data_files for file in files}
    for name in SHARED_FOLDERS:
        for file in (PACKAGE / name).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                relative = file.relative_to(PACKAGE)
                folder = Path("share/mono_depth_ros") / relative.parent
                assert (folder.as_posix(), relative.as_posix()) in installed


def test_each_shared_folder_holds_what_its_users_look_for() -> None:
    for file in (
        "launch/mono_depth.launch.py",
        "launch/demo.launch.py",
        "config/mono_depth.rviz",
        "config/fastdds_large_messages.xml",
        "models/registry.yaml",
    ):
        assert (PACKAGE / file).is_file(), file


def test_ament_finds_the_package_by_its_marker(setup: Any) -> None:
    assert (
        "share/ament_index/resource_index/packages",
        ["resource/mono_depth_ros"],
    ) in setup.data_files
    assert ("share/mono_depth_ros", ["package.xml"]) in setup.data_files


def test_every_folder_with_code_is_a_package_that_is_installed(setup: Any) -> None:
    folders = {
        ".".join(file.relative_to(PACKAGE).parent.parts)
        for root in IMPORT_ROOTS
        for file in (PACKAGE / root).rglob("*.py")
    }
    assert set(setup.packages) == folders


def test_every_executable_has_its_main_function(setup: Any) -> None:
    scripts = setup.entry_points["console_scripts"]
    assert len(scripts) >= 5
    for script in scripts:
        module, function = script.split("=")[1].strip().split(":")
        source = PACKAGE / Path(*module.split(".")).with_suffix(".py")
        assert source.is_file(), f"{script}: no such file"
        assert re.search(rf"^def {function}\(", source.read_text(), re.MULTILINE), script


def test_version_is_the_same_everywhere(setup: Any) -> None:
    manifest = ET.parse(PACKAGE / "package.xml").getroot()
    assert manifest.findtext("version") == mono_depth.__version__
    assert setup.get_version() == mono_depth.__version__


def test_the_changelog_has_the_version_with_its_date_and_what_is_forthcoming_above() -> None:
    lines = (PACKAGE / "CHANGELOG.rst").read_text().splitlines()
    headings = [text for text, rule in pairwise(lines) if text and rule == "-" * len(text)]
    if headings[0] == "Forthcoming":
        headings.pop(0)
    version, date = headings[0].split(" ")
    assert version == mono_depth.__version__
    assert re.fullmatch(r"\(\d{4}-\d{2}-\d{2}\)", date)
    entries = [line for line in lines if line.startswith("* ")]
    assert all(re.match(r"\* [a-z][a-z, ]*: \S", entry) for entry in entries)


@pytest.mark.slow
def test_package_xml_names_every_ros_package_that_the_code_imports() -> None:
    manifest = ET.parse(PACKAGE / "package.xml").getroot()
    named = {element.text for element in manifest.findall("exec_depend")}
    files = [*(PACKAGE / "mono_depth_ros").rglob("*.py"), *(PACKAGE / "launch").glob("*.py")]
    imported = {name for file in files for name in _imports(file)} & ROS_MODULES
    assert "rclpy" in imported
    assert imported <= named


def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_registry_is_found_in_the_tree() -> None:
    assert share_dir() == PACKAGE
    assert (share_dir() / "models" / "registry.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("without", "blocked"),
    [
        ("ROS and the node", ROS_MODULES | {"mono_depth_ros"}),
        ("optional packages", OPTIONAL_MODULES),
    ],
)
def test_every_module_of_the_library_imports_or_names_its_extra_without(
    without: str, blocked: set[str]
) -> None:
    names = modules_of("mono_depth")
    assert "mono_depth.pipeline.pipeline" in names
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, ",".join(names), ",".join(blocked)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"without {without}:\n{run.stderr}"


def test_top_level_folders_lead_into_the_package() -> None:
    if not (REPOSITORY / "pyproject.toml").is_file():
        pytest.skip("the package stands alone, outside its repository")
    for name in (*SHARED_FOLDERS, "tests"):
        assert (REPOSITORY / name).readlink() == Path("ros2_ws/src/mono_depth_ros") / name


def test_pytest_runs_alike_in_the_repository_and_in_a_copied_package() -> None:
    if not (REPOSITORY / "pyproject.toml").is_file():
        pytest.skip("the package stands alone, outside its repository")
    tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
    ours = configparser.ConfigParser()
    ours.read(PACKAGE / "setup.cfg")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    theirs = project["tool"]["pytest"]["ini_options"]
    assert ours["tool:pytest"]["addopts"] == theirs["addopts"]
    assert ours["tool:pytest"]["markers"].split("\n")[1:] == theirs["markers"]
