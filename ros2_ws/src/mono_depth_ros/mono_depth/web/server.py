"""Runs the server until it is told to end."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.web.app import create_app
from mono_depth.web.counted import Counted
from mono_depth.web.estimator import Estimator
from mono_depth.web.framework import uvicorn
from mono_depth.web.guard import LOOPBACK, Guard
from mono_depth.web.limits import ServerLimits
from mono_depth.web.service import DepthService

_IDLE_S = 10  # a connection without a request is closed after this
_HEADER_BYTES = 16 << 10


def serve(
    config: PipelineConfig,
    limits: ServerLimits,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    on_start: Callable[[str, Any], None] | None = None,
) -> None:
    """Serve page and API until the process is interrupted, or `should_exit` of the server is set.

    Args:
        config: of the pipeline.
        limits: of what clients may send.
        host: address to listen at; one that is not of this machine alone needs a token.
        port: 0 = any free one.
        token: that clients must show, "" = none.
        on_start: told the address once the socket listens, and the server.

    Raises:
        ConfigError: no token for an address of the network, or it cannot be listened at.
        ModelError: the configured model is not in the registry.
    """
    if host not in LOOPBACK and not token:
        raise ConfigError(f"{host} can be reached from other machines: a token is needed")
    service = DepthService(Estimator(config, loaded_models=limits.loaded_models), limits)
    app = Guard(Counted(create_app(service), service.metrics), token=token)
    with _listening(host, port) as listener:
        server = uvicorn.Server(
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
        name = f"[{host}]" if ":" in host else host
        if on_start is not None:
            on_start(f"http://{name}:{listener.getsockname()[1]}", server)
        server.run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket at an address.

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
