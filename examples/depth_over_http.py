"""A client of `mono-depth serve` that needs nothing but Python: depth of an image, as 16-bit PNG.

mono-depth serve &                                   # pip install "mono_depth_ros[web]"
python examples/depth_over_http.py room.jpg room_depth.png
python examples/depth_over_http.py room.jpg cloud.glb http://127.0.0.1:8008 "fov_deg=70"
"""

import sys
import urllib.error
import urllib.request
from pathlib import Path

TYPES = {".png": "image/png", ".npy": "application/x-npy", ".tiff": "image/tiff"}
TYPES |= {".exr": "image/x-exr", ".ply": "model/ply", ".glb": "model/gltf-binary"}

if len(sys.argv) < 3 or Path(sys.argv[2]).suffix not in TYPES:
    raise SystemExit(f"usage: {sys.argv[0]} IMAGE DEPTH({'|'.join(TYPES)}) [ADDRESS [LEVERS]]")
image, depth = Path(sys.argv[1]), Path(sys.argv[2])
address, levers = (*sys.argv[3:5], *("http://127.0.0.1:8008", "")[len(sys.argv) - 3 :])
request = urllib.request.Request(f"{address}/v1/depth?{levers}", data=image.read_bytes())
request.add_header("Content-Type", "application/octet-stream")
request.add_header("Accept", TYPES[depth.suffix])
try:
    with urllib.request.urlopen(request, timeout=300) as answer:
        depth.write_bytes(answer.read())
        told = answer.headers
except urllib.error.HTTPError as error:
    raise SystemExit(f"{error.code}: {error.read().decode()}") from None
except urllib.error.URLError as error:
    raise SystemExit(f"{address} does not answer ({error.reason}): mono-depth serve") from None
print(
    f"{depth}: in {told['X-Depth-Unit']}, model {told['X-Model']}, scale by "
    f"{told['X-Scale-Source']} ({told['X-Scale-State']}), deviation {told['X-Scale-Sigma-Rel']}"
)
