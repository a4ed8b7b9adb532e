"""The command `mono-depth engine`: build, export, list and clear engines."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import image_size
from mono_depth.data import Intrinsics, RgbImage
from mono_depth.engines.settings import DEFAULT_MAX_ERROR, ENGINES, PRECISIONS
from mono_depth.errors import ConfigError
from mono_depth.models.store.registry import read_registry

if TYPE_CHECKING:
    from mono_depth.engines.build import Int8Report, Request
    from mono_depth.engines.cache import EngineCache

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_VGA = (640, 480)


def add_command(commands: Subparsers) -> None:
    """Add `engine` and its subcommands."""
    engine = commands.add_parser("engine", help="build, export, list and clear fast engines")
    actions = engine.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_build(actions)
    _add_export(actions)
    listing = actions.add_parser("list", help="engines that are stored, with size and error")
    clear = actions.add_parser("clear", help="delete stored engines")
    clear.add_argument("model", metavar="MODEL", nargs="?", default="", help="of one model only")
    for parser, handler in ((listing, _list), (clear, _clear)):
        _add_weights_dir(parser)
        parser.set_defaults(handler=handler)


def _add_build(actions: Subparsers) -> None:
    text = "build an engine before the node needs it; int8 is calibrated on your images"
    build = actions.add_parser("build", help=text, description=text)
    _add_model(build)
    build.add_argument(
        "--engine",
        default="auto",
        choices=("auto", *ENGINES),
        help="what shall run the network; one that is named and not taken is exit status 1",
    )
    build.add_argument(
        "--precision",
        default="auto",
        choices=("auto", *PRECISIONS),
        help="in which numbers (default: auto)",
    )
    build.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    build.add_argument(
        "--calibrate",
        metavar="SOURCE",
        help="int8: folder of images, video, bag, or synthetic:SCENE/TRAJECTORY/SEED; "
        "the last fifth of it measures the error",
    )
    build.add_argument(
        "--pictures", dest="images", type=int, default=120, help="that are read of it"
    )
    build.add_argument(
        "--max-error",
        type=float,
        default=DEFAULT_MAX_ERROR,
        help="int8: layers go back to floating point until the outputs are wrong by at most this "
        f"share of their range (default: {DEFAULT_MAX_ERROR:g})",
    )
    build.add_argument(
        "--truth",
        metavar="SEQUENCE",
        help="int8: recording with known depth (see mono-depth eval) to compare AbsRel on",
    )
    build.set_defaults(handler=_build)


def _add_export(actions: Subparsers) -> None:
    text = "write the network of a model to an ONNX file of fixed shape"
    export = actions.add_parser("export", help=text, description=text)
    _add_model(export)
    export.add_argument("out", metavar="OUT.onnx", type=Path, help="file that is written")
    export.set_defaults(handler=_export)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="entry of the registry")
    parser.add_argument(
        "--size", type=image_size, metavar="WxH", help="of the camera's image (default: 640x480)"
    )
    parser.add_argument(
        "--input-size", type=int, default=0, help="short side of the network's input [pixels]"
    )
    parser.add_argument("--registry", type=Path, help="file of further registry entries")
    parser.add_argument(
        "--allow-noncommercial", action="store_true", help="accept weights with such a licence"
    )
    _add_weights_dir(parser)


def _add_weights_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights-dir",
        type=Path,
        help="folder of weights; engines lie in `engines` there "
        "(default: $MONO_DEPTH_WEIGHTS or ~/.cache/mono_depth)",
    )


def _request(args: argparse.Namespace) -> Request:
    from mono_depth.engines.build import Request

    return Request(
        model=args.model,
        registry=args.registry,
        weights_folder=args.weights_dir,
        allow_noncommercial=args.allow_noncommercial,
        input_size=args.input_size,
        max_error=getattr(args, "max_error", DEFAULT_MAX_ERROR),
    )


def _build(args: argparse.Namespace) -> int:
    if args.precision == "int8":
        return _build_int8(args)
    import torch

    from mono_depth.engines.engines import Engines
    from mono_depth.engines.trial_images import show

    request, device = _request(args), torch.device(args.device)
    engines = Engines(
        engine=args.engine,
        precision=args.precision,
        device=device,
        weights_folder=request.weights_folder,
    )
    model = request.load(engines, device)
    engines.prepare(model)
    show(model, _image(args.size or _VGA))
    reports = engines.reports()
    for report in reports:
        print(f"{report.model} at {report.shapes}: {report.why}")
        for refused in report.refused:
            print(f"not taken: {refused}")
    engines.close()
    is_asked_for = (args.engine, args.precision) != ("auto", "auto")
    return int(is_asked_for and any(report.refused for report in reports))


def _build_int8(args: argparse.Namespace) -> int:
    if not args.calibrate:
        raise ConfigError(
            "int8 needs images of the place where it will be used: --calibrate FOLDER"
        )
    if args.engine not in ("auto", "openvino") or args.device != "cpu":
        raise ConfigError("int8 is built for engine openvino on the CPU only")
    from mono_depth.engines.build import build_int8
    from mono_depth.recordings.image_set import read_image_set

    request = _request(args)
    request.load()  # a missing model is said before images are read
    images = read_image_set(args.calibrate, most=args.images, size=args.size)
    folder, report = build_int8(request, images)
    print("\n".join(_told(report)))
    if args.truth:
        _compare(request, args.truth)
    print(f"stored in {folder}")
    return int(bool(report.refused))


def _told(report: Int8Report) -> list[str]:
    lines = [
        f"{report.model} at {report.shapes}, calibrated with {report.images} images of "
        f"{report.calibrated_with}"
        + (f" ({report.unreadable} files were unreadable)" if report.unreadable else ""),
        f"{report.layers - report.float_layers} of {report.layers} layers are int8"
        + (", as many as the error allows" if report.searched else ""),
        f"error of the network's outputs on {report.held_out} other images: "
        f"{100 * report.network_error:.2g} % of their range",
    ]
    if report.refused:
        return [*lines, f"the node will NOT use it: {report.refused}"]
    return [
        *lines,
        f"what the model says differs from torch fp32 by {100 * report.relative_error:.2g} % "
        f"(without the scale {100 * report.aligned_error:.2g} %)",
    ]


def _compare(request: Request, source: str) -> None:
    from mono_depth.engines.build import int8_model
    from mono_depth.evaluation.measures.model_error import model_error
    from mono_depth.recordings.open import open_sequence

    frames = open_sequence(source).thinned(most=60)
    exact = model_error(request.load(), frames)
    model, engines = int8_model(request)
    rounded = model_error(model, frames)
    engines.close()
    print(
        f"against the depth of {frames.name} ({len(frames)} frames, scale of each frame fitted): "
        f"AbsRel {rounded.abs_rel:.4f}, torch fp32 {exact.abs_rel:.4f}; "
        f"delta1 {rounded.delta1:.3f}, torch fp32 {exact.delta1:.3f}"
    )


def _export(args: argparse.Namespace) -> int:
    import torch

    from mono_depth.engines.export import export_onnx
    from mono_depth.engines.protocol import outputs_of

    request = _request(args)
    model = request.load()
    capture = request.capture(model)
    rgb = _image(args.size or _VGA)
    network = capture.network(capture.arguments(rgb, Intrinsics.assumed_for(rgb)))
    if network.onnx_path is not None:
        raise ConfigError(f"{model.name} is an ONNX file already: {network.onnx_path}")
    module, inputs = network.on_cpu()
    with torch.no_grad():
        outputs = outputs_of(module(*inputs))
    names = [f"output{index}" for index in range(len(outputs))]
    export_onnx(module, inputs, args.out, input_names=network.input_names, output_names=names)
    for name, tensor in zip((*network.input_names, *names), (*inputs, *outputs), strict=True):
        print(f"{name}  {'x'.join(map(str, tensor.shape))}")
    spec = read_registry(request.registry)[model.name].input
    if spec is not None:
        print(
            f"pixels are RGB of 0..1, resized {spec.interpolation}, minus {spec.mean}, "
            f"over {spec.std}"
        )
    print(f"{args.out}, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _list(args: argparse.Namespace) -> int:
    engines = _cache(args).stored()
    for engine in engines:
        error = engine.notes.get("relative_error")
        print(
            f"{engine.key.model}  {engine.key.plan}  {', '.join(engine.key.arguments)}  "
            f"{engine.key.device}  {engine.bytes / 1e6:.1f} MB  "
            f"used {time.strftime('%Y-%m-%d', time.localtime(engine.used_s))}"
            + ("" if error is None else f"  error {100 * error:.2g} %")
        )
    total = sum(engine.bytes for engine in engines)
    print(f"{len(engines)} engines, {total / 1e6:.1f} MB")
    return 0


def _clear(args: argparse.Namespace) -> int:
    count, size = _cache(args).clear(args.model)
    print(f"{count} engines deleted, {size / 1e6:.1f} MB")
    return 0


def _cache(args: argparse.Namespace) -> EngineCache:
    from mono_depth.engines.cache import EngineCache

    return EngineCache(args.weights_dir and args.weights_dir / "engines")


def _image(size: tuple[int, int]) -> RgbImage:
    import cv2
    import numpy as np

    from mono_depth.engines.trial_images import trial_images

    return np.asarray(cv2.resize(trial_images()[0], size), np.uint8)
