"""The command `mono-depth models check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mono_depth.errors import ModelError, MonoDepthError
from mono_depth.models.store.registry import ModelEntry, Registry, read_registry
from mono_depth.models.store.untrusted_yaml import as_path
from mono_depth.system.resources import weights_dir


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `check` reads."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="name of the model; default: all that are here"
    )
    parser.add_argument(
        "--random",
        action="store_true",
        help="without weights: pseudo-random ones, against numbers of the original code",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: cpu)")
    parser.add_argument(
        "--allow-noncommercial",
        action="store_true",
        help="also models whose weights may not be used commercially",
    )


def check(args: argparse.Namespace) -> int:
    """Check models, say what came out, and return 1 if one of them failed."""
    registry = read_registry(args.registry)
    folder = as_path(str(args.weights_dir or weights_dir()), "--weights-dir")
    names = _names(args, registry, folder)
    failed = []
    for name in names:
        try:
            is_ok = _golden(registry[name]) if args.random else _image(registry[name], args)
        except MonoDepthError as error:
            print(f"mono-depth: {error}", file=sys.stderr)
            is_ok = False
        print(f"{name}: {'ok' if is_ok else 'FAILED'}")
        if not is_ok:
            failed.append(name)
    if len(names) > 1:
        print(f"{len(names) - len(failed)} of {len(names)} models are ok")
    return 1 if failed else 0


def _names(args: argparse.Namespace, registry: Registry, folder: Path) -> list[str]:
    if args.name:
        entry = registry[args.name]
        if not args.random and not entry.find_weights(folder):
            raise ModelError(_absent(entry, folder))
        return [args.name]
    if args.random:
        return [name for name, entry in registry.items() if _has_original(entry)]
    here = [name for name, entry in registry.items() if entry.find_weights(folder)]
    return [
        name for name in here if args.allow_noncommercial or registry[name].commercial is not False
    ]


def _has_original(entry: ModelEntry) -> bool:
    from mono_depth.models.family_table import FAMILIES, family_of

    return entry.family in FAMILIES and family_of(entry).golden_cases is not None


def _absent(entry: ModelEntry, folder: Path) -> str:
    path = entry.path_of(entry.weights[0], folder)
    ways = []
    if any(source.is_download for source in entry.weights):
        ways.append(f"get them with: mono-depth models pull {entry.name}")
    elif entry.weights[0].page:
        ways.append(f"put there the file from {entry.weights[0].page}")
    if _has_original(entry):
        ways.append(f"check without them: mono-depth models check {entry.name} --random")
    return "; ".join([f"{entry.name}: no weights at {path}", *ways])


def _golden(entry: ModelEntry) -> bool:
    from mono_depth.models.check import check_golden

    is_ok = True
    print(f"{entry.name}: largest deviation from the original code, and what is allowed")
    for report in check_golden(entry):
        verdict = "" if report.is_ok else "  FAILED"
        print(f"  {report.deviation:7.1e} of {report.tolerance:.0e}  {report.name}{verdict}")
        is_ok = is_ok and report.is_ok
    return is_ok


def _image(entry: ModelEntry, args: argparse.Namespace) -> bool:
    from mono_depth.models.check import check_on_image, synthetic_image
    from mono_depth.models.loading import load_model

    model = load_model(
        entry.name,
        device=args.device,
        registry=args.registry,
        weights_folder=args.weights_dir,
        allow_noncommercial=args.allow_noncommercial,
    )
    image = synthetic_image()
    report = check_on_image(model, entry, image)
    height, width = image.rgb.shape[:2]
    print(f"{entry.name}: {entry.kind.value} of a rendered room of {width}x{height} pixels")
    print(f"  weights  sha256 {model.weights_sha256}")
    print(f"  output   {report.size[0]}x{report.size[1]}, {100 * report.unknown:.1f} % unknown")
    values = f"{report.least:.4g}, {report.median:.4g}, {report.greatest:.4g}"
    print(f"  values   {values} (least, median, greatest)")
    print(f"  order    {report.order:.2f} (rank correlation with the true depth; 1 is best)")
    print(f"  time     {report.ms:.0f} ms on {model.device}")
    return True
