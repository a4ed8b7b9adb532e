"""Draw what the built-in network makes of real images, for its model card.

`python -m mono_depth.commands.figures.nano_pictures --data DIR --out FOLDER` writes
`completion.jpg`, depth of a sensor with the holes of glass and mirrors and what the network puts
into them, `ground.jpg`, what height and gravity change near the floor, and `videos.jpg`, some
frames of videos without depth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with real recordings")
    parser.add_argument("--weights", type=Path, help="default: the ones that ship")
    parser.add_argument("--out", type=Path, required=True, help="folder for the images")
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.nano.card_images import write_images

    write_images(given.data, given.out, given.weights)


if __name__ == "__main__":
    with quiet_where_closed():
        main()
