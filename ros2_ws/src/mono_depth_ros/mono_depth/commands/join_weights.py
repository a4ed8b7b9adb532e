"""Join the network for images of one weights file with the network for hints of another.

`python -m mono_depth.commands.join_weights OUT IMAGE HINTS`
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="weights to write (.safetensors)")
    parser.add_argument("image", type=Path, help="weights whose network for images is taken")
    parser.add_argument("hints", type=Path, help="weights whose network for hints is taken")
    given = parser.parse_args(arguments)
    from mono_depth.training.joined import join

    join(given.image, given.hints, given.out)


if __name__ == "__main__":
    main()
