"""The command `mono-depth models`: what there is, what is here, and fetching it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.models_check import add_check_arguments, check
from mono_depth.errors import ModelError
from mono_depth.models.store.file_kind import HEAD_BYTES, foreign_kind
from mono_depth.models.store.registry import ModelEntry, WeightsSource, read_registry, url_of
from mono_depth.models.store.untrusted_yaml import as_path
from mono_depth.models.store.weights_file import sha256_of
from mono_depth.system.resources import weights_dir

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Subparsers) -> None:
    """Add `models` and its subcommands."""
    models = commands.add_parser("models", help="list, inspect and download depth models")
    actions = models.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, handler, text in (
        ("list", _list, "all models and whether their weights are here"),
        ("info", _info, "everything the registry says about one model"),
        ("path", _path, "path of the weights of one model; fails if they are not here"),
        ("pull", _pull, "download the weights of one model, or go on with it"),
        ("check", check, "run models on an image, or against their original code"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        if name == "check":
            add_check_arguments(action)
        elif name != "list":
            action.add_argument("name", metavar="NAME", help="name of the model")
        if name == "pull":
            action.add_argument(
                "--allow-noncommercial",
                action="store_true",
                help="accept weights that may not be used commercially",
            )
            action.add_argument(
                "--force", action="store_true", help="download it anew, even where it is here"
            )
        action.add_argument("--registry", type=Path, help="file of further registry entries")
        action.add_argument(
            "--weights-dir",
            type=Path,
            default=None,
            help="folder of weights (default: $MONO_DEPTH_WEIGHTS or ~/.cache/mono_depth)",
        )
        action.set_defaults(handler=handler)


def _folder(args: argparse.Namespace) -> Path:
    return as_path(str(args.weights_dir or weights_dir()), "--weights-dir")


def _list(args: argparse.Namespace) -> int:
    folder = _folder(args)
    rows: list[tuple[str, ...]] = [
        ("NAME", "KIND", "LICENCE", "COMMERCIAL", "SIZE", "SPEED", "WEIGHTS", "CHECKSUM")
    ]
    rows += [_row(entry, folder) for entry in read_registry(args.registry).values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _row(entry: ModelEntry, folder: Path) -> tuple[str, ...]:
    found = entry.find_weights(folder)
    source = found[0] if found else entry.weights[0]
    return (
        entry.name,
        entry.kind.value,
        re.split(r" \(|;| for ", entry.licence)[0],  # `info` shows all of it
        _commercial(entry),
        _size(entry, found[1] if found else None),
        entry.speed or "-",
        "-" if found is None else _state(found[1]),
        _checksum(source),
    )


def _size(entry: ModelEntry, path: Path | None) -> str:
    """Return the size of the file, or what it must be by the number of parameters."""
    if path is not None:
        return f"{path.stat().st_size / 1e6:.0f} MB"
    if entry.parameters_m is None:
        return "-"
    return f"~{4 * entry.parameters_m:.0f} MB"


def _state(path: Path) -> str:
    """Return whether a file may be weights, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return "unreadable"
    return "broken" if not head or foreign_kind(head) else "here"


def _commercial(entry: ModelEntry) -> str:
    return {True: "yes", False: "no", None: "unknown"}[entry.commercial]


def _checksum(source: WeightsSource) -> str:
    return "pinned" if source.sha256 else "unverified"


def _info(args: argparse.Namespace) -> int:
    entry, folder = read_registry(args.registry)[args.name], _folder(args)
    lines = [
        ("name", entry.name),
        ("description", entry.description),
        ("family", f"{entry.family} {entry.variant}".rstrip()),
        ("kind", entry.kind.value),
        ("licence", entry.licence),
        ("commercial use", _commercial(entry)),
    ]
    if entry.input is not None:
        spec = entry.input
        lines.append(
            (
                "input",
                f"{spec.rule} {spec.width}x{spec.height}, multiples of {spec.multiple_of}, "
                f"{spec.interpolation}",
            )
        )
    if entry.max_depth_m is not None:
        lines.append(("farthest", f"{entry.max_depth_m:g} m"))
    if entry.parameters_m is not None:
        lines.append(("parameters", f"{entry.parameters_m:g} M"))
    if entry.gflop is not None:
        lines.append(("work", f"{entry.gflop:g} GFLOP for 640x480 pixels ({entry.speed})"))
    if entry.published is not None:
        score = entry.published
        text = f"{score.metric} {score.value:g} on {score.dataset} ({score.source})"
        lines.append(("published", text))
    if entry.average_mirrored:
        lines.append(("mirror image", "averaged, at twice the time"))
    rank = "never" if entry.auto_rank is None else f"rank {entry.auto_rank}"
    lines.append(("chosen by auto", rank))
    for source in entry.weights:
        path = entry.path_of(source, folder)
        is_here = path.is_file()
        here = f"here, {_size(entry, path)}" if is_here else f"not here, {_size(entry, None)}"
        lines.append(("weights", f"{path} ({here})"))
        if source.is_download:
            lines.append(("  from", url_of(source)))
        elif source.page:
            lines.append(("  by hand from", source.page))
        lines.append(("  sha256", source.sha256 or "not known (unverified)"))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        print(f"{label.ljust(width)}  {text}")
    return 0


def _path(args: argparse.Namespace) -> int:
    entry, folder = read_registry(args.registry)[args.name], _folder(args)
    found = entry.find_weights(folder)
    print(found[1] if found else entry.path_of(entry.weights[0], folder))
    return 0 if found else 1


def _agrees() -> bool:
    """Ask the person at the terminal, if there is one."""
    if not sys.stdin.isatty():
        return False
    answer = input("They may not be used commercially. Is your use another one? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _pull(args: argparse.Namespace) -> int:
    from mono_depth.models.store.download import pull

    entry = read_registry(args.registry)[args.name]
    print(f"{entry.name}: weights under {entry.licence} (commercial use: {_commercial(entry)})")
    can_pull = any(source.is_download for source in entry.weights)
    if can_pull and entry.commercial is False and not args.allow_noncommercial and not _agrees():
        raise ModelError(
            f"the weights of {entry.name} may not be used commercially; "
            "if yours is another use, pull with --allow-noncommercial"
        )
    folder = _folder(args)
    path = pull(entry, folder, force=args.force)
    source = next(source for source in entry.weights if entry.path_of(source, folder) == path)
    if source.sha256:
        print(f"{path}, sha256 as pinned")
    else:
        with path.open("rb") as file:
            print(f"{path}, unverified, sha256 {sha256_of(file)}")
    return 0
