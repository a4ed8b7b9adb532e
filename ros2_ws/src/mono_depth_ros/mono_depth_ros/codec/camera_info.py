"""Cameras to camera_info messages."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mono_depth.camera.rectify import IDENTITY
from mono_depth.data import Intrinsics
from mono_depth.messages.camera_info import d_k_r_p
from mono_depth.messages.protocols import CameraInfoMessage


def camera_info_from(intrinsics: Intrinsics, header: Header) -> CameraInfo:
    """Make the camera_info of images without distortion, with the header of the image."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    return CameraInfo(
        header=header,
        width=intrinsics.width,
        height=intrinsics.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=list(IDENTITY),
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def camera_info_like(stored: CameraInfoMessage) -> CameraInfo:
    """Make the same camera_info, without a header, of one that another package has read."""
    d, k, r, p = ([float(value) for value in matrix] for matrix in d_k_r_p(stored))
    roi = stored.roi
    return CameraInfo(
        height=stored.height,
        width=stored.width,
        distortion_model=stored.distortion_model,
        d=d,
        k=k,
        r=r,
        p=p,
        binning_x=stored.binning_x,
        binning_y=stored.binning_y,
        roi=RegionOfInterest(
            x_offset=roi.x_offset,
            y_offset=roi.y_offset,
            height=roi.height,
            width=roi.width,
            do_rectify=bool(roi.do_rectify),
        ),
    )
