"""How near is the nearest thing ahead? A node that reads the depth image and tells.

python examples/nearest_ahead.py      # beside a running depth node; tells on /nearest_ahead/range
"""

from contextlib import suppress

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data as newest
from sensor_msgs.msg import CameraInfo, Image, Range

SIDE_M, UP_DOWN_M, FAR_M = 0.3, 0.2, 4.0  # the way ahead, around the optical axis
LEAST_PIXELS = 20  # fewer may be an edge that is not there
UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 0.001)}  # in metres: depth images of REP 118


class NearestAhead(Node):
    def __init__(self) -> None:
        super().__init__("nearest_ahead")
        self.range = self.create_publisher(Range, "~/range", 10)
        self.k, self.size = np.eye(3).ravel(), (0, 0)
        self.create_subscription(CameraInfo, "/mono_depth/depth/camera_info", self.on_info, newest)
        self.create_subscription(Image, "/mono_depth/depth/image", self.on_depth, newest)

    def on_info(self, info: CameraInfo) -> None:
        self.k, self.size = info.k, (info.width, info.height)

    def on_depth(self, msg: Image) -> None:
        if self.size != (msg.width, msg.height):
            return  # its camera_info is still to come
        kind, unit_m = UNITS[msg.encoding]
        rows = np.frombuffer(msg.data, "<>"[msg.is_bigendian] + kind).reshape(msg.height, -1)
        z = rows[:, : msg.width] * np.float32(unit_m)  # along the optical axis; NaN, 0 = unknown
        v, u = np.ogrid[: msg.height, : msg.width]
        side, height = abs(u - self.k[2]) / self.k[0], abs(v - self.k[5]) / self.k[4]  # at 1 m
        near = np.where((z > 0.0) & (z < FAR_M), z, np.nan)
        found_m = np.sort(z[(side * near < SIDE_M) & (height * near < UP_DOWN_M)])[:LEAST_PIXELS]
        is_seen = z[(side < SIDE_M / FAR_M) & (height < UP_DOWN_M / FAR_M)] > 0.0
        clear_m = np.inf if is_seen.mean() > 0.9 else np.nan  # what is unknown is not free
        range_m = float(found_m[-1] if found_m.size == LEAST_PIXELS else clear_m)  # REP 117
        self.range.publish(Range(header=msg.header, max_range=FAR_M, range=range_m))
        self.get_logger().info(f"nearest: {range_m:.2f} m", throttle_duration_sec=1.0)


with suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.init()
    rclpy.spin(NearestAhead())
