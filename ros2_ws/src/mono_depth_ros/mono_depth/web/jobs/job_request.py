"""What a client asks of a job, read from text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mono_depth.config import PipelineConfig, updated
from mono_depth.recordings.frames.open import KINDS, OpenOptions
from mono_depth.recordings.frames.source import GivenCamera
from mono_depth.runs.batch.worker import BatchJob
from mono_depth.runs.options import OUTPUTS, RunOptions
from mono_depth.runs.pins import pinned
from mono_depth.web.api_error import BAD_PARAMETER, ApiError
from mono_depth.web.depth_request import LEVERS, Lever, choice_lever, flag_lever, number_lever

_SHARED = ("model", "input_size", "fov_deg", "camera_height_m", "refine", "colormap")
_PHOTOS, _VIDEO = ("png", "color"), ("png", "mp4")


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """The levers of one job. Zero, "" and () mean: not given."""

    model: str = ""  # a name of /v1/models
    input_size: int = 0  # short side of the network's input [pixels]
    fov_deg: float = 0.0  # across the width of the images
    camera_height_m: float = 0.0  # over the ground
    refine: str = "none"
    colormap: str = "inferno"
    save: tuple[str, ...] = ()  # of `OUTPUTS`
    every: int = 1  # take every n-th frame
    frames: int = 0  # at most
    kind: str = "auto"  # of a folder of images
    beside: bool = False  # the image is drawn beside the colours


def _read_outputs(text: str) -> tuple[str, ...]:
    asked = [name.strip() for name in text.split(",")]
    unknown = [name for name in asked if name not in OUTPUTS]
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is not one of {', '.join(OUTPUTS)}")
    return tuple(name for name in OUTPUTS if name in asked)


JOB_LEVERS: Mapping[str, Lever] = {
    **{name: LEVERS[name] for name in _SHARED},
    "save": Lever(
        read=_read_outputs,
        schema={"type": "string", "example": "png,mp4"},
        description=f"What is written, by commas: {', '.join(OUTPUTS)}. Left out: "
        f"{','.join(_VIDEO)} of a video or bag, {','.join(_PHOTOS)} of photographs.",
    ),
    "every": number_lever(1, 1000, "Take every n-th frame.", whole=True),
    "frames": number_lever(1, 1_000_000, "Frames at most.", whole=True),
    "kind": choice_lever(
        KINDS, "Of a folder of images: photos = each for itself, video = each follows another."
    ),
    "beside": flag_lever("Draw the image beside the colours."),
}


def read_job_request(items: Iterable[tuple[str, str]]) -> JobRequest:
    """Read levers from names and texts, of a query or a form.

    Raises:
        ApiError: a name is unknown or given twice, or a value has no sense.
    """
    values: dict[str, Any] = {}
    for name, text in items:
        if name not in JOB_LEVERS:
            raise _bad(name, f"unknown; there are {', '.join(JOB_LEVERS)}")
        if name in values:
            raise _bad(name, "given twice")
        if text.strip():
            try:
                values[name] = JOB_LEVERS[name].read(text.strip())
            except ValueError as error:
                raise _bad(name, str(error)) from None
    return JobRequest(**values)


def batch_job(request: JobRequest, config: PipelineConfig, model: str, out: str) -> BatchJob:
    """Return what the worker of a job must know.

    Args:
        request: the levers.
        config: of the server.
        model: that is meant, by its name in the registry.
        out: folder of the results.
    """
    asked = {"model": model, "input_size": request.input_size or config.input_size}
    config = updated(config, {**asked, "refine.mode": request.refine})
    for name in ("registry", "weights_dir"):  # the worker works elsewhere
        if getattr(config, name):
            absolute = str(Path(getattr(config, name)).expanduser().absolute())
            config = updated(config, {name: absolute})
    options = RunOptions(
        outputs=request.save or _VIDEO,
        every=request.every,
        most=request.frames,
        camera_height_m=request.camera_height_m,
        colormap=request.colormap,
        is_beside=request.beside,
    )
    return BatchJob(
        out=out,
        config=pinned(config),
        open_options=OpenOptions(
            camera=GivenCamera(horizontal_fov_deg=request.fov_deg), kind=request.kind
        ),
        video_options=options,
        photo_options=replace(options, outputs=request.save or _PHOTOS),
    )


def _bad(name: str, reason: str) -> ApiError:
    return ApiError(BAD_PARAMETER, f"{name[:40]}: {reason}")
