"""The camera_info of a camera node: from a calibration file, from an angle of view, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth_ros.codec.camera_info import camera_info_from


def load_camera_info(path: Path) -> CameraInfo:
    """Read a calibration file as ROS' camera_calibration and camera drivers write it.

    Raises:
        ConfigError: the file is missing or incomplete.

    Source: camera_calibration_parsers/src/parse_yml.cpp.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"camera_info_file {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"camera_info_file {path} is empty or a list, expected camera_matrix: ..."
        )
    try:
        return CameraInfo(
            width=int(content["image_width"]),
            height=int(content["image_height"]),
            distortion_model=str(content.get("distortion_model", "plumb_bob")),
            d=_numbers(content["distortion_coefficients"]),
            k=_numbers(content["camera_matrix"], 9),
            r=_numbers(content.get("rectification_matrix", {"data": [0.0] * 9}), 9),
            p=_numbers(content.get("projection_matrix", {"data": [0.0] * 12}), 12),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"camera_info_file {path}: {type(error).__name__} {error}; expected image_width, "
            "image_height, camera_matrix and distortion_coefficients with data: [...]"
        ) from error


def camera_info_of_view(width: int, height: int, horizontal_fov_deg: float) -> CameraInfo:
    """Return the ideal camera of an angle of view; 0 degrees makes it uncalibrated (K all 0)."""
    if horizontal_fov_deg <= 0.0:
        return CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    return camera_info_from(Intrinsics.of_view(width, height, horizontal_fov_deg), Header())


def _numbers(matrix: Any, count: int | None = None) -> list[float]:  # noqa: ANN401 - YAML
    data = [float(value) for value in matrix["data"]]
    if count is not None and len(data) != count:
        raise ValueError(f"a matrix of {len(data)} numbers, expected {count}")
    return data
