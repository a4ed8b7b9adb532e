"""The files that a result can be taken away as."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import CloudConfig
from mono_depth.data import DepthImage, RgbImage
from mono_depth.display.colormap import DisplayRange, add_color_bar, colorize_depth
from mono_depth.outputs.files import depth_png
from mono_depth.outputs.files.cloud_files import cloud_glb, cloud_ply
from mono_depth.outputs.files.depth_float import depth_exr, depth_npy, depth_tiff
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth.web.api_error import NOT_ACCEPTABLE, NOT_FOUND, ApiError
from mono_depth.web.estimate import Estimate

_EQUALISED_LEVELS = 256


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """One file of a result."""

    media_type: str
    description: str
    build: Callable[[Estimate], bytes]


def file_kind(name: str) -> FileKind:
    """Return the kind of a file by its name.

    Raises:
        ApiError: there is none of that name.
    """
    if name not in FILES:
        raise ApiError(NOT_FOUND, f"no file {name[:40]!r}; there are {', '.join(FILES)}")
    return FILES[name]


def negotiated(accept: str) -> str:
    """Return the name of the file that an Accept header asks for, "" = JSON with links.

    Raises:
        ApiError: there is none.

    Source: RFC 9110, 12.5.1.
    """
    if not accept.strip():
        return ""
    for wanted in _by_quality(accept):
        if wanted in ("*/*", "application/*", "application/json"):
            return ""
        if wanted in BY_MEDIA_TYPE:
            return BY_MEDIA_TYPE[wanted]
    raise ApiError(
        NOT_ACCEPTABLE,
        f"Accept: {accept[:80]}; there are application/json, {', '.join(BY_MEDIA_TYPE)}",
    )


def thinned(values: DepthImage, max_side: int) -> DepthImage:
    """Return every n-th pixel, evenly, so that no side is longer; 0 = all of them."""
    height, width = values.shape
    if not 0 < max_side < max(height, width):
        return values
    share = max_side / max(height, width)
    return sampled(values, max(1, round(height * share)), max(1, round(width * share)))


def sampled(values: DepthImage, height: int, width: int) -> DepthImage:
    """Return (height, width) values of the pixels that the new ones lie on: none are mixed."""
    rows = ((np.arange(height) + 0.5) / height * values.shape[0]).astype(np.intp)
    columns = ((np.arange(width) + 0.5) / width * values.shape[1]).astype(np.intp)
    return np.ascontiguousarray(values[rows[:, None], columns])


def sidecar(estimate: Estimate) -> bytes:
    """Return what belongs beside depth.png, as JSON."""
    beyond = int(np.count_nonzero(estimate.metres > depth_png.MAX_M))
    content = {"depth_png": {**depth_png.FORMAT, "pixels_beyond": beyond}, **estimate.as_json()}
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def color_png(estimate: Estimate) -> bytes:
    """Return depth in colours, with the legend in metres where there are metres."""
    depth, request = estimate.shown, estimate.request
    near, far = DisplayRange().update(depth)
    unit = "m" if estimate.depth_m is not None else ""
    if request.equalise:  # no legend could be read: steps of colour are no steps of depth
        levels = equalised(depth)
        image = colorize_depth(np.exp2(levels), 1.0, 2.0, request.colormap)
    else:
        painted = colorize_depth(depth, near, far, request.colormap)
        image = add_color_bar(painted, near, far, request.colormap, unit=unit)
    return _encoded(".png", image)


def equalised(depth: DepthImage) -> DepthImage:
    """Return (H, W) ranks of depth, 0 = nearest, 1 = farthest; NaN = unknown. For show alone."""
    known = np.isfinite(depth)
    ranks = np.where(np.isposinf(depth), 1.0, np.nan)
    if known.any():
        steps = np.quantile(depth[known], np.linspace(0.0, 1.0, _EQUALISED_LEVELS))
        ranks[known] = np.searchsorted(steps, depth[known]) / (_EQUALISED_LEVELS - 1)
    return ranks.astype(np.float32)


def cloud_of(estimate: Estimate) -> tuple[npt.NDArray[np.float32], RgbImage]:
    """Return (N, 3) points in the optical frame [m] and their (N, 3) colours."""
    config = CloudConfig(max_jump=estimate.request.max_jump, max_depth_m=1000.0, min_depth_m=0.0)
    depth = torch.from_numpy(estimate.metres)
    built = CloudBuilder().build(depth, estimate.camera, config).points
    points = built.numpy().reshape(-1, 3)
    known = np.isfinite(points[:, 2])
    return points[known], estimate.rgb.reshape(-1, 3)[known]


def _encoded(suffix: str, image: RgbImage) -> bytes:
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


FILES: Mapping[str, FileKind] = {
    "depth.png": FileKind(
        media_type="image/png",
        description="16 bit, millimetres; 0 = unknown, 65535 = beyond 65.534 m",
        build=lambda estimate: depth_png.depth_png(estimate.metres),
    ),
    "depth.json": FileKind(
        media_type="application/json",
        description="camera, scale and its deviation, model, licence, statistics",
        build=sidecar,
    ),
    "depth.npy": FileKind(
        media_type="application/x-npy",
        description="float32 metres; NaN = unknown, Inf = beyond the range",
        build=lambda estimate: depth_npy(estimate.metres),
    ),
    "depth.tiff": FileKind(
        media_type="image/tiff",
        description="as depth.npy",
        build=lambda estimate: depth_tiff(estimate.metres),
    ),
    "depth.exr": FileKind(
        media_type="image/x-exr",
        description="as depth.npy",
        build=lambda estimate: depth_exr(estimate.metres),
    ),
    "cloud.ply": FileKind(
        media_type="model/ply",
        description="coloured points [m]; x right, y down, z ahead",
        build=lambda estimate: cloud_ply(*cloud_of(estimate)),
    ),
    "cloud.glb": FileKind(
        media_type="model/gltf-binary",
        description="coloured points [m]; x right, y up, looks along -z",
        build=lambda estimate: cloud_glb(*cloud_of(estimate)),
    ),
    "color.png": FileKind(
        media_type="image/png", description="depth in colours, with a legend", build=color_png
    ),
    "image.jpg": FileKind(
        media_type="image/jpeg",
        description="the image as it was seen, upright",
        build=lambda estimate: _encoded(".jpg", estimate.rgb),
    ),
    "shown.npy": FileKind(
        media_type="application/x-npy",
        description="as depth.npy; depth without unit where there are no metres",
        build=lambda estimate: depth_npy(estimate.shown),
    ),
    "sigma_rel.npy": FileKind(
        media_type="application/x-npy",
        description="float32, relative deviation of the depth of each pixel",
        build=lambda estimate: depth_npy(estimate.sigma_rel()),
    ),
}
# Which file an Accept header asks for.
BY_MEDIA_TYPE: Mapping[str, str] = {
    "image/png": "depth.png",
    "image/*": "depth.png",
    "application/x-npy": "depth.npy",
    "image/tiff": "depth.tiff",
    "image/x-exr": "depth.exr",
    "image/aces": "depth.exr",
    "model/ply": "cloud.ply",
    "application/ply": "cloud.ply",
    "model/gltf-binary": "cloud.glb",
}
# Files of results that have no metres.
WITHOUT_METRES = ("color.png", "image.jpg", "shown.npy", "sigma_rel.npy")
# Maps that can be asked for with fewer pixels.
MAPS: Mapping[str, Callable[[Estimate], DepthImage]] = {
    "depth.npy": lambda estimate: estimate.metres,
    "shown.npy": lambda estimate: estimate.shown,
    "sigma_rel.npy": lambda estimate: estimate.sigma_rel(),
}


def _by_quality(accept: str) -> list[str]:
    """Return the media types of an Accept header, the most wanted first."""
    weighted = []
    for part in accept.lower().split(","):
        name, *options = (piece.strip() for piece in part.split(";"))
        quality = next((text[2:] for text in options if text.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if weight > 0.0:
            weighted.append((-weight, name))
    return [name for _, name in sorted(weighted, key=lambda item: item[0])]
