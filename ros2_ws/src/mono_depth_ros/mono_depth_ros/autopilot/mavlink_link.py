"""ObstacleDistance as MAVLink 2 over UDP, by pymavlink (LGPL, not part of this package)."""

from __future__ import annotations

import socket
from typing import Any

from mono_depth.errors import ConfigError
from mono_depth.outputs.obstacle_distance import ObstacleDistance

_OBSTACLE_AVOIDANCE = 196  # MAV_COMP_ID_OBSTACLE_AVOIDANCE


class MavlinkLink:
    """Sends to one address. A receiver that is not there is no error: it may come later."""

    def __init__(self, host: str, port: int, system_id: int) -> None:
        """Open the socket; nothing is sent yet.

        Args:
            host: name or address of the autopilot, its router or its simulation.
            port: where that listens (UDP).
            system_id: MAVLink system of the vehicle that this computer is part of.

        Raises:
            ConfigError: pymavlink is not installed, or the host has no address.
        """
        try:
            from pymavlink.dialects.v20 import common
        except ImportError as error:
            raise ConfigError(
                f"MAVLink needs pymavlink ({error}): pip install 'mono_depth_ros[mavlink]'"
            ) from error
        self._words = common
        self.address = f"udp://{host}:{port}"
        self.problem = ""  # why the newest messages did not get out, "" = they did
        self._was_refused = False
        self._socket = _connected(host, port)
        self._mavlink = common.MAVLink(self, srcSystem=system_id, srcComponent=_OBSTACLE_AVOIDANCE)

    def write(self, data: Any) -> None:  # noqa: ANN401 - pymavlink calls it
        """Send the bytes of one message."""
        try:
            self._socket.send(bytes(data))
        except OSError as error:  # refused: nobody listens yet; blocked: its buffer is full
            self.problem = f"{self.address}: {error}"
            self._was_refused = True
            return
        # A refusal is told with the message after the one that was refused.
        self.problem = self.problem if self._was_refused else ""
        self._was_refused = False

    def send(self, message: ObstacleDistance) -> None:
        """Send the distances."""
        words = self._words
        self._mavlink.obstacle_distance_send(
            time_usec=message.stamp_ns // 1000,
            sensor_type=words.MAV_DISTANCE_SENSOR_UNKNOWN,
            distances=message.distances_cm.tolist(),
            increment=round(message.increment_deg),
            min_distance=message.min_cm,
            max_distance=message.max_cm,
            increment_f=message.increment_deg,
            angle_offset=message.angle_offset_deg,
            frame=words.MAV_FRAME_BODY_FRD,
        )

    def beat(self) -> None:
        """Send the heartbeat by which routers and autopilots learn where this computer is."""
        words = self._words
        self._mavlink.heartbeat_send(
            words.MAV_TYPE_ONBOARD_CONTROLLER,
            words.MAV_AUTOPILOT_INVALID,
            0,
            0,
            words.MAV_STATE_ACTIVE,
        )

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _connected(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"mavlink.host {host!r} has no address: {error}") from error
    opened.setblocking(False)
    try:
        opened.connect(address)
    except OSError as error:
        opened.close()
        raise ConfigError(f"there is no way to mavlink.host {host!r}: {error}") from error
    return opened
