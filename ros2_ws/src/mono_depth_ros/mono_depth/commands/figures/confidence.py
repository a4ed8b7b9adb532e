"""Show what the confidence is worth: whether it ranks the error of raw metres.

`python -m mono_depth.commands.figures.confidence` prints a Markdown table; --plot draws the curves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mono_depth.errors import MonoDepthError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 = something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.figures.confidence",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="holds tum_fr1_rpy, fastdepth")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="default: 60 each")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of the network")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the reliability curves here")
    args = parser.parse_args(argv)
    from mono_depth.evaluation.promises.confidence_proof import cases_of, markdown, plot, prove

    try:
        with tempfile.TemporaryDirectory() as folder:
            cases = cases_of(args.data, Path(folder), args.frames, args.threads)
            proofs = list(prove(cases))
        if args.plot:
            plot(proofs, args.plot)
    except MonoDepthError as error:
        sys.stderr.write(f"confidence: {error}\n")
        return 1
    sys.stdout.write(markdown(proofs) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
