"""Print the field of view of a camera as spatio_temporal_voxel_layer wants it.

`python -m mono_depth.commands.stvl --calibration camera.yaml` reads a calibration file as ROS
keeps them; or give --size, --fx and --fy, the numbers of camera_info.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from mono_depth.commands.options import image_size
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError, MonoDepthError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.stvl", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--calibration", type=Path, metavar="FILE")
    parser.add_argument("--size", type=image_size, default=(640, 480), metavar="WxH")
    parser.add_argument("--fx", type=float, metavar="PX")
    parser.add_argument("--fy", type=float, metavar="PX", help="(default: as --fx)")
    args = parser.parse_args(argv)
    try:
        camera = _camera(args)
    except MonoDepthError as error:
        print(f"stvl: {error}", file=sys.stderr)
        return 1
    horizontal_rad, vertical_rad = angles_of_view(camera)
    print(f"horizontal_fov_angle: {horizontal_rad:.3f}\nvertical_fov_angle: {vertical_rad:.3f}")
    return 0


def angles_of_view(camera: Intrinsics) -> tuple[float, float]:
    """Return the horizontal and vertical angle that a frustum around the axis fills [rad].

    Where the axis is not in the middle it is twice the narrower half: a frustum that is wider than
    the image would clear what nobody looks at.
    """
    halves = []
    for middle, size, focal in (
        (camera.cx, camera.width, camera.fx),
        (camera.cy, camera.height, camera.fy),
    ):
        halves.append(math.atan(min(middle + 0.5, size - 0.5 - middle) / focal))
    return 2.0 * halves[0], 2.0 * halves[1]


def _camera(args: argparse.Namespace) -> Intrinsics:
    if args.calibration is not None:
        return _read(args.calibration)
    if args.fx is None:
        raise ConfigError("give --calibration, or --size, --fx and --fy of camera_info")
    width, height = args.size
    fy = args.fx if args.fy is None else args.fy
    return Intrinsics(
        width=width,
        height=height,
        fx=args.fx,
        fy=fy,
        cx=0.5 * (width - 1),
        cy=0.5 * (height - 1),
    )


def _read(path: Path) -> Intrinsics:
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        matrix = told.get("projection_matrix") or told["camera_matrix"]
        p = [float(value) for value in matrix["data"]]
        columns = len(p) // 3
        return Intrinsics(
            width=int(told["image_width"]),
            height=int(told["image_height"]),
            fx=p[0],
            fy=p[columns + 1],
            cx=p[2],
            cy=p[columns + 2],
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"{path} is no calibration as ROS keeps them: {error!r}") from error


if __name__ == "__main__":
    sys.exit(main())
