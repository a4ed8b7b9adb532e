"""Depth of a video: a 16-bit PNG in millimetres for each frame, and a video in colour.

python examples/depth_of_video.py drive.mp4 depth/ --fov 70
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.display.colormap import DisplayRange, colorize_depth
from mono_depth.display.video import VideoWriter
from mono_depth.pipeline.build import build_pipeline

parser = argparse.ArgumentParser(description="Depth of a video.")
parser.add_argument("video", type=Path)
parser.add_argument("folder", type=Path, help="for a PNG of each frame, and color.mp4")
parser.add_argument("--fov", type=float, default=60.0, help="of the camera, horizontal [degrees]")
args = parser.parse_args()

capture = cv2.VideoCapture(str(args.video))
if not capture.isOpened():
    raise SystemExit(f"OpenCV cannot read the video {args.video}")
rate_hz, width, height = capture.get(cv2.CAP_PROP_FPS), int(capture.get(3)), int(capture.get(4))
# A video does not tell its camera. One that is calibrated gives truer metres: Intrinsics(fx=...).
camera = Intrinsics.of_view(width, height, horizontal_fov_deg=args.fov)

pipeline = build_pipeline(PipelineConfig(model="nano"))
args.folder.mkdir(parents=True, exist_ok=True)
shown, index = DisplayRange(), 0
with VideoWriter(args.folder / "color.mp4", rate_hz) as video:
    while capture.grab():
        rgb = np.asarray(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB), np.uint8)
        stamp_ns = round(index / rate_hz * 1e9)
        frame = Frame(rgb=rgb, stamp_ns=stamp_ns, frame_id="camera", intrinsics=camera)
        result = pipeline.process(frame)
        if result.depth_m is None:
            raise SystemExit(f"no metres: {result.scale.reason}")
        depth_m = result.depth_m.cpu().numpy()  # (height, width), NaN = unknown
        video.add(colorize_depth(depth_m, *shown.update(depth_m)))
        millimetres = np.nan_to_num(1000.0 * depth_m).astype(np.uint16)  # 0 = unknown
        cv2.imwrite(str(args.folder / f"{index:06d}.png"), millimetres)
        index += 1
print(f"depth of {index} frames in {args.folder}")
