"""Counts the answers of an application by route and status. Plain ASGI."""

from __future__ import annotations

from mono_depth.web.guard import AsgiApp, Message, Receive, Scope, Send
from mono_depth.web.metrics import Metrics

# What clients may make up is counted together.
_ROUTES = (
    "/v1/depth",
    "/predict",
    "/v1/jobs",
    "/v1/models",
    "/v1/results",
    "/livez",
    "/readyz",
    "/metrics",
)
_OTHER = "other"


class Counted:
    """Passes everything on, and notes each status."""

    def __init__(self, app: AsgiApp, metrics: Metrics) -> None:
        """Count the answers of `app` in `metrics`."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(route_of(scope["path"]), message["status"])
            await send(message)

        await self._app(scope, receive, noting if scope["type"] == "http" else send)


def route_of(path: str) -> str:
    """Return the name that a path is counted under."""
    return next(
        (route for route in _ROUTES if path == route or path.startswith(f"{route}/")), _OTHER
    )
