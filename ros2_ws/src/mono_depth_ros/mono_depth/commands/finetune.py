"""The command `mono-depth train`: teach the built-in network from recordings with sensor depth."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.errors import ConfigError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Subparsers) -> None:
    """Add `train`."""
    text = "teach the built-in network from recordings with the depth of a sensor"
    parser = commands.add_parser(
        "train",
        help=text,
        description=f"{text}. The last fifth of each recording is held out: the new weights are "
        "written only if nothing is worse there than it was before.",
    )
    parser.set_defaults(handler=_train)
    add = parser.add_argument
    add("--from", dest="recordings", nargs="+", required=True, metavar="BAG|FOLDER",
        help="recordings, as `mono-depth eval` reads them")  # fmt: skip
    add("--out", type=Path, required=True, help="weights to write (.safetensors)")
    add("--start", type=Path, help="weights to go on from; default: those that ship")
    add("--steps", type=int, default=300, help="batches to learn from (default: 300)")
    add("--batch", type=int, default=8, help="images in each, half of them rendered (default: 8)")
    add("--seed", type=int, default=0, help="of chance (default: 0)")
    add("--pool", type=Path, help="folder of rendered images to mix in; default: some are made")
    add("--threads", type=int, default=1, help="of the processor (default: 1)")


def _train(args: argparse.Namespace) -> int:
    import torch

    from mono_depth.evaluation.nano.held_out import figures_of
    from mono_depth.models.nano.weights import read_record, save_weights
    from mono_depth.recordings.open import open_sequence
    from mono_depth.system.resources import share_dir
    from mono_depth.training.finetune import fine_tuned, rendered_source, split_recordings

    if args.steps < 1:
        raise ConfigError(f"--steps {args.steps}, expected 1 or more")
    torch.set_num_threads(args.threads)
    start = args.start or share_dir() / "models" / "nano.safetensors"
    split = split_recordings([open_sequence(source) for source in args.recordings])
    before = figures_of(start, split.held_out)
    with tempfile.TemporaryDirectory() as folder:
        source = rendered_source(args.pool or Path(folder))
        net = fine_tuned(
            start, split, source, steps=args.steps, batch_size=args.batch, seed=args.seed
        )
        partial = Path(folder) / "new.safetensors"
        record = {
            "recordings": [Path(name).name for name in args.recordings],
            "steps": args.steps,
            "seed": args.seed,
            "started_from": read_record(start),
        }
        save_weights(net, partial, record)
        after = figures_of(partial, split.held_out)
        sys.stdout.write(f"{len(split.held_out)} frames held out\n")
        for name, old in vars(before).items():
            sys.stdout.write(f"  {name}: {old:.3f} before, {getattr(after, name):.3f} after\n")
        worse = after.worse_than(before)
        if worse:
            raise ConfigError(f"not written, for it is worse: {'; '.join(worse)}")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_bytes(partial.read_bytes())
    return 0
