"""Prints every parameter of the depth node: as a table for people, as a file for ROS."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable

from mono_depth.config import Param, flatten, params
from mono_depth.system.closed_pipe import quiet_where_closed
from mono_depth_ros.config import NodeConfig

_WIDTH = 100

# The parameters that most people set, for the README; docs/parameters.md has all.
CHOSEN = (
    "model",
    "device",
    "input_size",
    "image_transport",
    "rectify",
    "max_depth_m",
    "scale.source",
    "scale.camera_height_m",
    "odometry.source",
    "temporal.mode",
    "depth_encoding",
    "cloud.stride",
)


def markdown_table(names: Iterable[str] | None = None) -> str:
    """Return a Markdown table of parameters; None = all of them."""
    rows = [
        "| parameter | default | allowed | live | meaning |",
        "|---|---|---|---|---|",
    ]
    table = params(NodeConfig())
    defaults = flatten(NodeConfig())
    for name in defaults if names is None else names:
        param, default = table[name], defaults[name]
        live = "yes" if param.live else "loads" if param.reloads else ""
        meaning = param.description.replace("|", "\\|")
        rows.append(f"| `{name}` | `{_scalar(default)}` | {_allowed(param)} | {live} | {meaning} |")
    return "\n".join(rows) + "\n"


def yaml_file() -> str:
    """Return a ROS parameter file with all parameters at their defaults."""
    lines = [
        "# All parameters of depth_node at their defaults. Written by",
        "# `python -m mono_depth_ros.depth_node.parameter_table --yaml`; copy what you change.",
        "/**:",
        "  ros__parameters:",
    ]
    table = params(NodeConfig())
    groups: list[str] = []
    for name, default in flatten(NodeConfig()).items():
        *path, key = name.split(".")
        shared = sum(1 for ours, theirs in zip(path, groups, strict=False) if ours == theirs)
        for depth, group in enumerate(path[shared:], start=shared):
            lines.append(f"{_indent(depth)}{group}:")
        groups = path
        lines += _comment(table[name], _indent(len(path)))
        lines.append(f"{_indent(len(path))}{key}: {_scalar(default)}")
    return "\n".join(lines) + "\n"


def _indent(depth: int) -> str:
    return "  " * (depth + 2)


def _comment(param: Param, indent: str) -> list[str]:
    notes = [param.description, f"Allowed: {_plain(param)}." if _plain(param) else ""]
    notes.append("" if param.live or param.reloads else "Fixed while the node is configured.")
    notes.append("Loads the model anew while the node is active." if param.reloads else "")
    text = " ".join(note for note in notes if note)
    prefix = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix)


def _allowed(param: Param) -> str:
    if param.choices:
        return ", ".join(f"`{choice}`" for choice in param.choices)
    return _plain(param)


def _plain(param: Param) -> str:
    if param.choices:
        return ", ".join(param.choices)
    if param.minimum is None or param.maximum is None:
        return ""
    return f"{param.minimum:.10g} to {param.maximum:.10g}"


def _scalar(value: object) -> str:
    """Write a value so that YAML reads back its type: "off" and "nan" are not strings bare."""
    return json.dumps(value)


def main(args: list[str] | None = None) -> None:
    """Print the reference in one of its forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--markdown", action="store_true", help="the table of docs/parameters.md")
    form.add_argument("--chosen", action="store_true", help="the short table of README.md")
    form.add_argument("--yaml", action="store_true", help="config/mono_depth.yaml")
    chosen = parser.parse_args(args)
    text = yaml_file() if chosen.yaml else markdown_table(CHOSEN if chosen.chosen else None)
    print(text, end="")  # noqa: T201


if __name__ == "__main__":
    with quiet_where_closed():
        main()
