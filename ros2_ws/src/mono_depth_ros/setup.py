"""Install both import roots, `mono_depth` and `mono_depth_ros`, and the files beside them."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
PACKAGE = "mono_depth_ros"
SHARE = f"share/{PACKAGE}"
SHARED_FOLDERS = ("launch", "config", "models")

TEST = [
    "pytest>=7",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "nncf",
    "matplotlib",
    "rosbags>=0.11",  # opens the files of a bag without its metadata.yaml
]
VIDEO = ["imageio-ffmpeg"]
MAVLINK = ["pymavlink>=2.4.40"]  # LGPL-3.0; asked for by name only
WEB = ["fastapi>=0.110", "uvicorn>=0.27", "python-multipart", "plotly>=5"]


def ros_wheels(rclpy: str, interfaces: str) -> list[str]:
    """Name the Python wheels of one ROS 2 distribution, by its versions (x86-64 only)."""
    packages = ("sensor-msgs", "std-srvs", "nav-msgs", "geometry-msgs", "diagnostic-msgs")
    return [
        f"ros-rclpy[fastrtps]=={rclpy}",
        *(f"ros-{package}=={interfaces}" for package in packages),
        "cv_bridge",
    ]


# For machines without a ROS installation.
ROS = {
    "ros": ros_wheels("7.1.6", "5.3.6"),  # Jazzy
    "ros-kilted": ros_wheels("9.1.2", "5.5.1"),
}


def version() -> str:
    """Read `__version__` without importing the library, which would need its dependencies."""
    source = (HERE / "mono_depth" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise RuntimeError('mono_depth/__init__.py has no line __version__ = "X.Y.Z"')
    return found.group(1)


def shared_files() -> list[tuple[str, list[str]]]:
    """List every file of the shared folders with the folder it is installed into."""
    entries = []
    for name in SHARED_FOLDERS:
        for folder in [HERE / name, *sorted((HERE / name).rglob("*"))]:
            if not folder.is_dir() or folder.name == "__pycache__":
                continue
            files = [
                f.relative_to(HERE).as_posix() for f in sorted(folder.iterdir()) if f.is_file()
            ]
            if files:
                entries.append((f"{SHARE}/{folder.relative_to(HERE).as_posix()}", files))
    return entries


setup(
    name=PACKAGE,
    version=version(),
    description="Metric depth images and point clouds from one camera, for ROS 2",
    license="Apache-2.0",
    maintainer="mono_depth_ros maintainers",
    maintainer_email="mono-depth-ros@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=["mono_depth", "mono_depth.*", PACKAGE, f"{PACKAGE}.*"]),
    package_data={"mono_depth": ["py.typed", "web/page/*"], PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        *shared_files(),
    ],
    zip_safe=False,
    install_requires=[
        "numpy>=1.21",
        "opencv-python-headless<5",  # OpenCV 5 renumbered the types that cv_bridge relies on
        "torch>=2.1",
        "PyYAML",
        "safetensors",
        "tqdm",
    ],
    extras_require={
        "bag": ["rosbags>=0.11"],
        "demo": VIDEO,
        "dev": [*TEST, *MAVLINK, *WEB, "pytest-xdist", "ruff==0.17.5", "mypy==2.4.1"],
        # Engines are made of ONNX files, which torch writes with the package onnx.
        "export": ["onnx", "onnxscript"],
        "int8": ["openvino", "nncf", "onnx"],
        "mavlink": MAVLINK,
        "onnx": ["onnxruntime", "onnx"],
        "open3d": ["open3d"],
        "openvino": ["openvino", "onnx"],
        "plot": ["matplotlib"],
        "ray": ["ray>=2.9"],
        "test": TEST,
        "video": VIDEO,
        "web": WEB,
        **ROS,
    },
    entry_points={
        "console_scripts": [
            "mono-depth = mono_depth.commands.main:main",
            "depth_node = mono_depth_ros.depth_node.node:main",
            "camera_node = mono_depth_ros.cameras.camera_node:main",
            "synthetic_camera = mono_depth_ros.cameras.synthetic_camera:main",
            "recorder = mono_depth_ros.recorder.node:main",
            "obstacle_distance = mono_depth_ros.autopilot.obstacle_distance:main",
            "viewer = mono_depth_ros.viewer.node:main",
        ]
    },
)
