"""Runs the server until it is told to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mono_depth.config import PipelineConfig
from mono_depth.web.app import create_app
from mono_depth.web.counted import Counted
from mono_depth.web.guard import Guard
from mono_depth.web.limits import ServerLimits
from mono_depth.web.listen import address_of, check_address, http_server, listening
from mono_depth.web.service import DepthService


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
        ConfigError: no token for an address of the network, it cannot be listened at, or there is
            no folder for jobs.
        ModelError: the configured model is not in the registry.
    """
    check_address(host, token)
    service = DepthService(config, limits)
    app = Guard(Counted(create_app(service), service.metrics), token=token)
    with listening(host, port) as listener:
        server = http_server(app)
        service.jobs.start()
        try:
            if on_start is not None:
                on_start(address_of(host, listener), server)
            server.run(sockets=[listener])
        finally:
            service.jobs.close()
