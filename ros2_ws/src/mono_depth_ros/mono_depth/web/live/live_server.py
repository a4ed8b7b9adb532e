"""Serves the live page from a thread of its own."""

from __future__ import annotations

import threading

from mono_depth.web.guard import Guard
from mono_depth.web.listen import address_of, check_address, http_server, listening
from mono_depth.web.live.live_app import live_app
from mono_depth.web.live.live_state import LiveState


class LiveServer:
    """A page that shows a `LiveState`, until `close`."""

    def __init__(
        self,
        state: LiveState,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        title: str = "mono-depth",
        rate_hz: float = 20.0,
    ) -> None:
        """Begin to serve.

        Args:
            state: what is shown.
            host: address to listen at; one that is not of this machine alone needs a token.
            port: 0 = any free one.
            token: that browsers must show, "" = none.
            title: of the page.
            rate_hz: how often a browser is told what is new, at most.

        Raises:
            ConfigError: no token for an address of the network, or it cannot be listened at.
        """
        check_address(host, token)
        self._state = state
        self._listener = listening(host, port)
        address = address_of(host, self._listener)
        self.address = f"{address}/?token={token}" if token else address
        self._server = http_server(
            Guard(live_app(state, title=title, rate_hz=rate_hz), token=token)
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="live", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Let all browsers go and end."""
        self._state.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
