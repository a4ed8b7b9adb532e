"""Your own network: depth by any ONNX file that takes an image, and its description for ROS.

python examples/own_onnx_network.py fastdepth.onnx photo.jpg --size 224x224 --kind metric
"""

import argparse
from pathlib import Path

import cv2
import yaml

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame
from mono_depth.display.colormap import DisplayRange, colorize_depth
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.image_files import read_rgb

KINDS = ("metric", "inverse_affine", "depth_affine")  # metres; larger = nearer; larger = farther

parser = argparse.ArgumentParser(description="Depth by a network of your own.")
parser.add_argument("network", type=Path, help="ONNX, input 1x3xHxW, output 1x1xHxW")
parser.add_argument("image", type=Path)
parser.add_argument("--size", default="224x224", help="of the network's input, WIDTHxHEIGHT")
parser.add_argument("--kind", choices=KINDS, default="metric", help="what its numbers mean")
args = parser.parse_args()

width, height = map(int, args.size.split("x"))
entry = {
    "family": "onnx",
    "kind": args.kind,
    "description": "My own network.",
    "licence": "my own",
    "commercial": True,
    "weights": {"file": str(args.network.resolve())},
    "input": {"width": width, "height": height},  # mean, std: see models/registry.yaml
}
registry = args.network.with_suffix(".registry.yaml")
registry.write_text(yaml.safe_dump({"models": {"mine": entry}}, sort_keys=False))

pipeline = build_pipeline(PipelineConfig(model="mine", registry=str(registry)))
frame = Frame(rgb=read_rgb(args.image), stamp_ns=0, frame_id="camera")
result = pipeline.process(frame)

depth = result.relative.reciprocal().cpu().numpy()  # without a camera's intrinsics: no metres
colors = colorize_depth(depth, *DisplayRange().update(depth))
shown = args.image.with_name(f"{args.image.stem}_depth.png")
cv2.imwrite(str(shown), cv2.cvtColor(colors, cv2.COLOR_RGB2BGR))
print(f"depth in {shown}; for ROS:")
print(f"ros2 launch mono_depth_ros mono_depth.launch.py registry:={registry} model:=mine")
