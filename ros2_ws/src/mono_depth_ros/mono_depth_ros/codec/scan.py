"""A scan as a message."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header

from mono_depth.outputs.scan import Scan


def encode_scan(scan: Scan, header: Header, *, scan_time_s: float = 0.0) -> LaserScan:
    """Make a LaserScan: finite = an obstacle, +Inf = seen and clear, NaN = not seen.

    What is too near is given at `range_min`. REP 117 would have -Inf there, which planners take
    for free.

    Args:
        scan: of one frame.
        header: stamp of the image, level frame of its camera.
        scan_time_s: since the scan before, 0 = unknown.
    """
    bearings = scan.bearings
    msg = LaserScan(
        header=header,
        angle_min=bearings.first_rad,
        angle_max=bearings.last_rad,
        angle_increment=bearings.step_rad,
        time_increment=0.0,
        scan_time=scan_time_s,
        range_min=scan.range_min_m,
        range_max=scan.range_max_m,
    )
    msg.ranges.frombytes(scan.ranges_m.cpu().numpy().astype(np.float32).tobytes())
    return msg
