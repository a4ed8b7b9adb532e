"""The one way in which names of coordinate frames are compared."""

from __future__ import annotations


def frame_name(frame_id: str) -> str:
    """Return the name of a frame without spaces around it and slashes before it.

    ROS 1 wrote "/camera", tf2 refuses the slash, and drivers still send it.
    """
    return frame_id.strip().lstrip("/").strip()
