"""Point cloud messages to points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.errors import FrameError
from mono_depth.messages.protocols import PointCloud2Message

_TYPES = {7: "f4", 8: "f8"}  # FLOAT32 and FLOAT64 of sensor_msgs/PointField
_MAX_POINTS = 20_000

Points = npt.NDArray[np.float32]  # (N, 3)


def read_points(msg: PointCloud2Message) -> Points:
    """Return the finite x, y, z of a cloud as (N, 3) float32, at most 20 000 of them.

    Raises:
        FrameError: the cloud has no such fields, or less data than it says.

    Source: sensor_msgs/PointCloud2 and PointField.
    """
    count = msg.width * msg.height
    if count == 0:  # of a filter that found nothing; some leave out the fields then, too
        return np.empty((0, 3), np.float32)
    fields = {item.name: item for item in msg.fields}
    missing = [name for name in "xyz" if name not in fields or fields[name].datatype not in _TYPES]
    if missing:
        raise FrameError(f"the cloud has no float field {', '.join(missing)}")
    row_bytes = msg.width * msg.point_step
    # Many drivers leave row_step 0 or wrong; data without padding says all that it could.
    row_step = row_bytes if len(msg.data) == row_bytes * msg.height else msg.row_step
    if row_step < row_bytes or len(msg.data) < row_step * msg.height:
        raise FrameError(
            f"cloud of {msg.width}x{msg.height} points with {len(msg.data)} bytes, expected "
            f"{max(row_step, row_bytes) * msg.height} (point_step {msg.point_step}, "
            f"row_step {msg.row_step})"
        )
    order = ">" if msg.is_bigendian else "<"
    formats = [np.dtype(order + _TYPES[fields[name].datatype]) for name in "xyz"]
    offsets = [fields[name].offset for name in "xyz"]
    least = max(offset + kind.itemsize for offset, kind in zip(offsets, formats, strict=True))
    if msg.point_step < least:
        raise FrameError(f"cloud with point_step {msg.point_step}, its x, y and z need {least}")
    layout = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": formats,
            "offsets": offsets,
            "itemsize": msg.point_step,
        }
    )
    rows = np.frombuffer(msg.data, np.uint8, row_step * msg.height)
    rows = rows.reshape(msg.height, row_step)
    records = np.ascontiguousarray(rows[:, :row_bytes]).reshape(-1).view(layout)
    records = records[:: max(1, -(-count // _MAX_POINTS))]
    points = np.stack([records[name].astype(np.float32) for name in "xyz"], axis=1)
    return points[np.isfinite(points).all(axis=1)]
