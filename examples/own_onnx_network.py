"""Your own network: depth by any ONNX file that takes an image, and its description for ROS.

python examples/own_onnx_network.py fastdepth.onnx photo.jpg --size 224x224 --kind metric
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import yaml

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame
from mono_depth.display.colormap import DisplayRange, colorize_depth
from mono_depth.pipeline.build import build_pipeline

parser = argparse.ArgumentParser(description="Depth by a network of your own.")
parser.add_argument("network", type=Path, help="ONNX, input 1x3xHxW, output 1x1xHxW")
parser.add_argument("image", type=Path)
parser.add_argument("--size", default="224x224", help="of the network's input, WIDTHxHEIGHT")
parser.add_argument("--kind", default="metric", help="or inverse_affine: larger = nearer")
args = parser.parse_args()
bgr = cv2.imread(str(args.image))
if bgr is None:
    raise SystemExit(f"OpenCV cannot read the image {args.image}")

width, height = map(int, args.size.split("x"))
entry = {
    "family": "onnx",
    "kind": args.kind,
    "description": "My own network.",
    "licence": "my own",
    "commercial": True,
    "weights": {"file": args.network.name},  # beside the registry
    "input": {"width": width, "height": height},  # mean, std: see models/registry.yaml
}
registry = args.network.resolve().with_suffix(".registry.yaml")
registry.write_text(yaml.safe_dump({"models": {"mine": entry}}, sort_keys=False))

pipeline = build_pipeline(PipelineConfig(model="mine", registry=str(registry)))
rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
result = pipeline.process(Frame(rgb=rgb, stamp_ns=0, frame_id="camera"))

depth = result.relative.reciprocal().cpu().numpy()  # without a camera's intrinsics: no metres
colors = colorize_depth(depth, *DisplayRange().update(depth))
shown = args.image.with_name(f"{args.image.stem}_depth.png")
cv2.imwrite(str(shown), cv2.cvtColor(colors, cv2.COLOR_RGB2BGR))
print(f"depth in {shown}; with ROS:")
print(f"ros2 launch mono_depth_ros mono_depth.launch.py registry:={registry} model:=mine")
