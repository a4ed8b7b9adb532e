"""The frames of a run on the live page, while it works."""

from __future__ import annotations

from functools import partial

from mono_depth.data import Frame
from mono_depth.runs.frame_maps import FrameMaps
from mono_depth.web.live.live_bytes import (
    depth_npy_mm,
    depth_points_npy,
    image_jpeg,
    status_json,
)
from mono_depth.web.live.live_server import LiveServer
from mono_depth.web.live.live_state import LiveState

_WIDTH_PX, _POINTS = 640, 15_000


class LiveRun:
    """A page at 127.0.0.1 that shows what `show` was given last."""

    def __init__(self, title: str, *, port: int = 0) -> None:
        """Begin to serve; port 0 = any free one.

        Raises:
            ConfigError: the extra web is missing, or the port is taken.
        """
        self._state = LiveState()
        self._server = LiveServer(self._state, port=port, title=title)
        self.address = self._server.address

    def show(self, frame: Frame, maps: FrameMaps) -> None:
        """Show a frame; nothing of it is encoded unless a browser asks."""
        state, at_ns, scale = self._state, frame.stamp_ns, maps.result.scale
        state.put("camera", partial(image_jpeg, maps.result.rgb, _WIDTH_PX), at_ns)
        depth_m, camera = maps.depth_m, maps.result.intrinsics
        if depth_m is None:
            state.forget(("depth", "points"))
        else:
            state.put("depth", partial(depth_npy_mm, depth_m, _WIDTH_PX), at_ns)
        if depth_m is not None and camera is not None:
            state.put("points", partial(depth_points_npy, depth_m, camera, _POINTS), at_ns)
        rows = {
            "time in the source": f"{at_ns * 1e-9:.2f} s",
            "scale source": scale.source,
            "scale state": scale.state,
            "scale deviation": f"{scale.sigma_rel:.3f}",
            "planner use": maps.result.planner_use.value,
            "without metres because": "" if depth_m is not None else scale.reason,
        }
        state.put("status", partial(status_json, {k: v for k, v in rows.items() if v}), at_ns)

    def close(self) -> None:
        """Let all browsers go and end."""
        self._server.close()
