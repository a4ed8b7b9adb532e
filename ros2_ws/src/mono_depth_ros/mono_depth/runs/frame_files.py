"""The files of one frame. Its JSON comes last: with it the frame is done."""

from __future__ import annotations

import json

import cv2
import numpy as np

from mono_depth.outputs.files.cloud_files import cloud_glb, cloud_ply
from mono_depth.outputs.files.depth_float import depth_exr, depth_npy, depth_tiff
from mono_depth.outputs.files.depth_png import FORMAT, as_millimetres, depth_png
from mono_depth.outputs.files.description import describe
from mono_depth.runs.frame_maps import FrameMaps

_FLOATS = {"npy": depth_npy, "tiff": depth_tiff, "exr": depth_exr}
_CLOUDS = {"ply": cloud_ply, "glb": cloud_glb}


def done_file(name: str) -> str:
    """Return the file that is there when all files of a frame are."""
    return f"depth/{name}.json"


def frame_files(
    name: str, maps: FrameMaps, outputs: tuple[str, ...], *, model: str, licence: str
) -> dict[str, bytes]:
    """Return the files of a frame, by their names in the folder, the one of `done_file` last.

    Without metres there is no file of depth, but one of inverse depth without unit, and the JSON
    says why.
    """
    files: dict[str, bytes] = {}
    about = describe(maps.result, model=model, licence=licence)
    depth_m = maps.depth_m
    if depth_m is None:
        files[f"relative/{name}.npy"] = depth_npy(maps.relative)
    else:
        if "png" in outputs:
            files[f"depth/{name}.png"] = depth_png(depth_m)
            stored = as_millimetres(depth_m)
            about["png"] = {
                **FORMAT,
                "unknown_pixels": int(np.count_nonzero(stored == FORMAT["unknown"])),
                "beyond_pixels": int(np.count_nonzero(stored == FORMAT["beyond"])),
            }
        for kind, encode in _FLOATS.items():
            if kind in outputs:
                files[f"{kind}/{name}.{kind}"] = encode(depth_m)
        if maps.points is not None and len(maps.points[0]):
            for kind, pack in _CLOUDS.items():
                if kind in outputs:
                    files[f"cloud/{name}.{kind}"] = pack(*maps.points)
    if "color" in outputs:
        bgr = cv2.cvtColor(maps.color, cv2.COLOR_RGB2BGR)
        files[f"color/{name}.png"] = cv2.imencode(".png", bgr)[1].tobytes()
        about["color_range"] = [round(float(value), 4) for value in maps.range_m]
    about["files"] = list(files)
    text = json.dumps(about, indent=1, allow_nan=False) + "\n"
    return {**files, done_file(name): text.encode()}
