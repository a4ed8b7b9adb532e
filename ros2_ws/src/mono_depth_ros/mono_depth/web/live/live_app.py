"""The addresses of the page that shows what runs.

The server tells what is new (server-sent events), and the browser fetches what it has time for:
so one that is slow gets fewer frames, always the newest, and nothing queues up for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

from mono_depth.display.colormap import COLORMAPS, color_table
from mono_depth.web.api_error import NOT_FOUND, QUEUE_FULL, ApiError, kind_of_status
from mono_depth.web.framework import (
    FastAPI,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    Request,
    Response,
    StreamingResponse,
)
from mono_depth.web.live.live_state import CHANNELS, LiveState
from mono_depth.web.page_files import live_page_files

MOST_VIEWERS = 16
_TYPES = {
    "camera": "image/jpeg",
    "depth": "application/x-npy",
    "points": "application/x-npy",
    "landmarks": "application/x-npy",
    "scan": "application/json",
    "status": "application/json",
}
_BEAT_S = 1.0  # without anything new


def live_app(state: LiveState, *, title: str, rate_hz: float) -> FastAPI:
    """Return the application.

    Args:
        state: what is shown.
        title: of the page.
        rate_hz: how often a browser is told what is new, at most.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    routes = _LiveRoutes(state, title, 1.0 / rate_hz)
    for path, method in (
        ("/live/about", routes.about),
        ("/live/events", routes.events),
        ("/live/{channel}", routes.channel),
        ("/v1/colormaps", routes.colormaps),
        ("/livez", routes.livez),
    ):
        app.add_api_route(path, method)
    for path in live_page_files():
        app.add_api_route(path, routes.page)
    for kind in (ApiError, HTTPException):
        app.add_exception_handler(kind, _answer)
    return app


class _LiveRoutes:
    def __init__(self, state: LiveState, title: str, period_s: float) -> None:
        self._state, self._title, self._period_s = state, title, period_s

    async def about(self) -> Response:
        """Tell what is shown."""
        return JSONResponse({"title": self._title, "channels": list(CHANNELS)})

    async def events(self, request: Request) -> Response:
        """Tell what is new, until the browser goes."""
        if self._state.viewers >= MOST_VIEWERS:
            message = f"{MOST_VIEWERS} browsers look already"
            raise ApiError(QUEUE_FULL, message, {"Retry-After": "5"})
        asked = request.query_params.get("channels", ",".join(CHANNELS)).split(",")
        return StreamingResponse(
            self._events(asked),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _events(self, channels: Iterable[str]) -> AsyncIterator[str]:
        state, told, since_s = self._state, "", 0.0
        with state.watching(channels):
            yield "retry: 1000\n\n"
            while not state.is_closed:
                summary = state.summary()
                seqs = json.dumps([item["seq"] for item in summary["channels"].values()])
                if seqs != told or since_s >= _BEAT_S:
                    told, since_s = seqs, 0.0
                    yield f"data: {json.dumps(summary)}\n\n"
                await asyncio.sleep(self._period_s)
                since_s += self._period_s

    async def channel(self, channel: str) -> Response:
        """Return the newest of a channel."""
        if channel not in _TYPES:
            raise ApiError(NOT_FOUND, f"no such channel; there are {', '.join(CHANNELS)}")
        sample = self._state.newest(channel)
        if sample is None:
            return Response(status_code=204)
        content = await asyncio.to_thread(sample.encoded)
        headers = {
            "Cache-Control": "no-store",
            "X-Seq": str(sample.seq),
            "X-Stamp-Ns": str(sample.stamp_ns),
        }
        return Response(content, media_type=_TYPES[channel], headers=headers)

    async def colormaps(self) -> Response:
        """Return 256 colours of each map; the first stands for no depth."""
        return JSONResponse({name: color_table(name).tolist() for name in COLORMAPS})

    async def livez(self) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("ok\n")

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        found = live_page_files()[request.url.path]
        return Response(found.content, media_type=found.media_type)


async def _answer(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        status = getattr(error, "status_code", 500)
        error = ApiError(kind_of_status(status), kind_of_status(status).meaning)
    return JSONResponse(error.body(), status_code=error.kind.status, headers=error.headers)
