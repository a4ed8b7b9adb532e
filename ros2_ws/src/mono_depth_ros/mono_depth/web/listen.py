"""Where a server listens, and how HTTP is spoken there."""

from __future__ import annotations

import socket
import sys
from typing import Any

from mono_depth.errors import ConfigError
from mono_depth.web.framework import uvicorn
from mono_depth.web.guard import LOOPBACK, AsgiApp

_IDLE_S = 10  # a connection without a request is closed after this
_HEADER_BYTES = 16 << 10


def check_address(host: str, token: str) -> None:
    """Refuse an address of the network where no token guards it.

    Raises:
        ConfigError: it is one.
    """
    if host not in LOOPBACK and not token:
        raise ConfigError(f"{host} can be reached from other machines: a token is needed")


def http_server(app: AsgiApp) -> Any:  # noqa: ANN401 - of a package without types
    """Return a server of `app`; `run(sockets=[...])` serves, `should_exit` ends it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_IDLE_S,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )
    )


def listening(host: str, port: int) -> socket.socket:
    """Return a socket at an address; port 0 = any free one.

    Raises:
        ConfigError: it cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}") from None
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the address of a page."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
