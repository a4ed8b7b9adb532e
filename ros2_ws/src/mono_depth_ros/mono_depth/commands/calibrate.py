"""The command `mono-depth calibrate`: fixed metres for a model, from known distances."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import add_model_options, model_config
from mono_depth.errors import ConfigError

if TYPE_CHECKING:
    from mono_depth.data import Intrinsics, RgbImage
    from mono_depth.models.protocol import DepthModel
    from mono_depth.scale.fixed_fit import FixedScale, Misfit, Samples

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_MOST = 4.0  # times, as scale.max_correction
_UNITS = ((250.0, " (millimetres?)"), (25.0, " (centimetres?)"))
_UNIT = 20.0  # times: no network is so wrong, and no tape
_FARTHEST_M = 120.0  # by tape
_MISFIT = 0.4  # of the larger of two distances
_VIEWS_DEG, _SAME = (50.0, 90.0), 0.02  # of two cameras, and by how much depth differs at most


def add_command(commands: Subparsers) -> None:
    """Add `calibrate`."""
    text = "fit scale.factor and scale.shift to known distances and write them as parameters"
    parser = commands.add_parser(
        "calibrate",
        help=text,
        description=f"{text}. Distances are depth along the optical axis, of rectified images. "
        "Without a shift one is enough; two or more, near and far, are better.",
    )
    parser.set_defaults(handler=_calibrate)
    parser.add_argument(
        "--distance",
        nargs=4,
        action="append",
        default=[],
        metavar=("IMAGE", "COLUMN", "ROW", "METRES"),
        help="a pixel of an image whose depth you measured; repeat it",
    )
    parser.add_argument(
        "--recording", default="", help="folder or bag with sensor depth, as `mono-depth eval`"
    )
    parser.add_argument("--format", default="auto", help="of the recording (default: auto)")
    parser.add_argument(
        "--frames", type=int, default=20, metavar="N", help="of the recording (default: 20)"
    )
    parser.add_argument(
        "--camera",
        nargs=4,
        type=float,
        metavar=("FX", "FY", "CX", "CY"),
        help="of the images of --distance; needed by models whose depth depends on it",
    )
    parser.add_argument(
        "--no-shift", action="store_true", help="models of metres: fit the factor alone"
    )
    parser.add_argument("--force", action="store_true", help="write what looks like a mistake, too")
    parser.add_argument(
        "--out", type=Path, metavar="YAML", help="parameter file to write (default: stdout)"
    )
    add_model_options(parser)


def _calibrate(args: argparse.Namespace) -> int:
    from mono_depth.pipeline.build import build_pipeline
    from mono_depth.scale.fixed_fit import Samples, as_params_yaml

    if not args.distance and not args.recording:
        raise ConfigError("nothing to calibrate with: give --distance or --recording")
    model = build_pipeline(model_config(args)).model
    samples = Samples(model.kind, with_shift=not args.no_shift)
    _add_distances(samples, model, args)
    if args.recording:
        _add_recording(samples, model, args)
    scale = samples.fitted()
    sys.stderr.write(_summary(scale, samples.worst(scale)) + "\n")
    mistakes = _mistakes(samples, scale, args.distance)
    if mistakes and not args.force:
        raise ConfigError(f"{'; '.join(mistakes)}. Nothing is written (--force writes it)")
    for doubt in (*mistakes, *_doubts(samples, scale)):
        sys.stderr.write(f"warning: {doubt}\n")
    text = as_params_yaml(scale, model.name)
    if args.out is None:
        sys.stdout.write(text)
    else:
        args.out.write_text(text, encoding="utf-8")
    return 0


def _add_distances(samples: Samples, model: DepthModel, args: argparse.Namespace) -> None:
    from mono_depth.recordings.images import read_image

    picks: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for image, *numbers in args.distance:
        try:
            column, row, metres = (float(number) for number in numbers)
        except ValueError:
            raise ConfigError(
                f"--distance {image} {' '.join(numbers)}: COLUMN, ROW and METRES must be numbers"
            ) from None
        picks[image].append((column, row, metres))
    is_checked = False
    for image, chosen in picks.items():
        rgb = read_image(Path(image))
        if args.camera is None and not is_checked:
            _check_camera(model, rgb)
            is_checked = True
        camera = _camera(args.camera, rgb.shape[1], rgb.shape[0])
        samples.add_pixel(model, rgb, camera, chosen, image)


def _camera(values: list[float] | None, width: int, height: int) -> Intrinsics | None:
    from mono_depth.data import Intrinsics

    if values is None:
        return None
    fx, fy, cx, cy = values
    return Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def _add_recording(samples: Samples, model: DepthModel, args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from mono_depth.recordings.open import open_sequence

    sequence = open_sequence(args.recording, args.format)
    sequence = sequence.thinned(max(1, len(sequence) // max(1, args.frames)), args.frames)
    for frame in tqdm(sequence, desc=sequence.name, unit="frame", file=sys.stderr):
        samples.add_frame(model, frame.rgb, frame.intrinsics, frame.depth_m)


def _mistakes(samples: Samples, scale: FixedScale, given: list[list[str]]) -> list[str]:
    """Return what about a calibration is wrong for sure: distances in another unit."""
    from mono_depth.scale.scale_shift import METRIC_KINDS

    found = []
    if samples.kind in METRIC_KINDS and not 1.0 / _UNIT <= scale.factor <= _UNIT:
        found.append(_of_another_unit(scale.factor))
    worst = samples.worst(scale)
    if worst is not None and worst.error_rel > 1.0 - 1.0 / _UNIT:
        found.append(_misfit(worst))
    farthest = max((float(numbers[-1]) for numbers in given), default=0.0)
    if not found and samples.kind not in METRIC_KINDS and farthest > _FARTHEST_M:
        found.append(
            f"a distance of {farthest:g} m was not measured by tape (centimetres?): METRES must "
            "be metres along the optical axis"
        )
    return found


def _of_another_unit(factor: float) -> str:
    unit = next((text for least, text in _UNITS if factor >= least), "")
    return (
        f"a model of metres is seldom wrong by a factor of {factor:.3g}{unit}: "
        "METRES must be metres along the optical axis"
    )


def _misfit(worst: Misfit) -> str:
    return (
        f"{worst.place} was measured at {worst.measured_m:.3g} m, and the others put it at "
        f"{worst.fitted_m:.3g} m: measure it again"
    )


def _doubts(samples: Samples, scale: FixedScale) -> list[str]:
    """Return what about a calibration looks like a mistake."""
    from mono_depth.scale.scale_shift import METRIC_KINDS

    doubts = []
    if samples.kind in METRIC_KINDS and not 1.0 / _MOST <= scale.factor <= _MOST:
        doubts.append(_of_another_unit(scale.factor))
    worst = samples.worst(scale)
    if worst is not None and worst.error_rel > _MISFIT:
        doubts.append(_misfit(worst))
    return doubts


def _summary(scale: FixedScale, worst: Misfit | None) -> str:
    told = "" if worst is None else f", the worst {100.0 * worst.error_rel:.0f} % at {worst.place}"
    return (
        f"factor {scale.factor:.5g} +- {scale.factor_sigma:.2g}, "
        f"shift {scale.shift:.5g} +- {scale.shift_sigma:.2g}, from {scale.samples} distances; "
        f"median error left {100.0 * scale.error_rel:.1f} %{told}"
    )


def _check_camera(model: DepthModel, rgb: RgbImage) -> None:
    """Refuse to do without a camera where the depth of a model is another one for each.

    Raises:
        ConfigError: it is.
    """
    import torch

    from mono_depth.data import Intrinsics

    height, width = rgb.shape[:2]
    image = torch.from_numpy(rgb).to(model.device)
    with torch.inference_mode():
        narrow, wide = (
            model.infer(image, Intrinsics.of_view(width, height, degrees)).values
            for degrees in _VIEWS_DEG
        )
    if narrow.shape == wide.shape:
        change = (narrow - wide).abs() / narrow.abs().clamp(min=1e-6)
        if not float(change[change.isfinite()].median().nan_to_num()) > _SAME:
            return
    raise ConfigError(
        f"the metres of {model.name} depend on the focal length: give --camera FX FY CX CY"
    )
