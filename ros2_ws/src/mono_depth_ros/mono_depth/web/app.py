"""The addresses of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from mono_depth import __version__
from mono_depth.display.colormap import COLORMAPS, color_table
from mono_depth.outputs.files.depth_float import depth_npy
from mono_depth.web.api_error import (
    BAD_PARAMETER,
    FAILED,
    NOT_FOUND,
    NOT_READY,
    ApiError,
    kind_of_status,
)
from mono_depth.web.depth_request import read_pixel, read_request
from mono_depth.web.estimate import Estimate
from mono_depth.web.founding_form import failure, success, take_resolution
from mono_depth.web.framework import (
    ClientDisconnect,
    FastAPI,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    Request,
    RequestValidationError,
    Response,
)
from mono_depth.web.jobs.job_routes import JobRoutes
from mono_depth.web.openapi import depth_answers, depth_operation, errors, predict_operation
from mono_depth.web.page_files import page_files
from mono_depth.web.result_files import (
    FILES,
    MAPS,
    WITHOUT_METRES,
    file_kind,
    negotiated,
    thinned,
)
from mono_depth.web.service import DepthService
from mono_depth.web.uploads import read_upload

_LOG = logging.getLogger(__name__)
_PREDICT = "/predict"
_LIVEZ = "/livez"
_MOST_DIGITS = 5  # of a side in pixels
_DESCRIPTION = "Metric depth of single images. Nothing of it leaves this machine."


def create_app(service: DepthService) -> FastAPI:
    """Return the application; it loads the model when it starts, and answers meanwhile."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="mono-depth",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # it would load its script from elsewhere; /docs is a page of ours
        redoc_url=None,
        lifespan=lifespan,
    )
    _Routes(service).add_to(app)
    JobRoutes(service.jobs).add_to(app)
    for kind in (ApiError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(ClientDisconnect, _say_nothing)
    return app


class _Routes:
    """One method for each address."""

    def __init__(self, service: DepthService) -> None:
        self._service = service

    def add_to(self, app: FastAPI) -> None:
        self._add_depth(app)
        self._add_results(app)
        for path, method, summary in (
            ("/v1/models", self.models, "Which networks there are"),
            ("/v1/colormaps", self.colormaps, "Tables of colours, near = last"),
            (_LIVEZ, self.livez, "The process answers"),
            ("/metrics", self.metrics, "Counters for Prometheus"),
        ):
            app.add_api_route(path, method, summary=summary)
        app.add_api_route(
            "/readyz", self.readyz, summary="Images are taken", responses=errors(NOT_READY)
        )
        for path in page_files():
            app.add_api_route(path, self.page, include_in_schema=False)

    def _add_depth(self, app: FastAPI) -> None:
        app.add_api_route(
            "/v1/depth",
            self.depth,
            methods=["POST"],
            summary="Depth of an image",
            description="Answers what Accept asks for: a file, or JSON with links to all of them.",
            openapi_extra=depth_operation(),
            responses=depth_answers(),
        )
        app.add_api_route(
            _PREDICT,
            self.predict,
            methods=["POST"],
            summary="Depth of an image, all in one answer of JSON",
            description="Errors have the same status, and `success: false` with `message`.",
            openapi_extra=predict_operation(),
        )

    def _add_results(self, app: FastAPI) -> None:
        refused = errors(NOT_FOUND, BAD_PARAMETER)
        one = "/v1/results/{name}"
        app.add_api_route(one, self.result, summary="A result that is kept", responses=refused)
        app.add_api_route(
            one, self.remove, methods=["DELETE"], status_code=204, summary="Forget a result"
        )
        app.add_api_route(
            f"{one}/length",
            self.length,
            summary="Distance between two pixels, COLUMN,ROW each, with its interval",
            responses=refused,
        )
        app.add_api_route(
            f"{one}/{{file}}",
            self.file,
            summary=f"A file of a result: {', '.join(FILES)}",
            responses=refused,
        )

    async def depth(self, request: Request) -> Response:
        """Find the depth of an image."""
        wanted = negotiated(request.headers.get("accept", ""))
        estimate, name, _ = await self._estimated(request)
        if not wanted:
            return JSONResponse(_with_links(estimate, name))
        return await asyncio.to_thread(self._file_answer, estimate, wanted, name)

    async def predict(self, request: Request) -> Response:
        """Find the depth of an image, in the founding form."""
        estimate, name, resolution = await self._estimated(request)
        return JSONResponse(await asyncio.to_thread(success, estimate, name, resolution))

    async def _estimated(self, request: Request) -> tuple[Estimate, str, tuple[int, int] | None]:
        service = self._service
        service.check_ready()
        with service.queue.place() as place:
            image, fields = await read_upload(request, service.limits)
            resolution = take_resolution(fields) if request.url.path == _PREDICT else None
            future = service.submit(place, image, read_request(fields))
            del image
        estimate = await asyncio.wrap_future(future)
        return estimate, service.results.add(estimate), resolution

    def result(self, name: str) -> Response:
        """Return all of a result that is not a map."""
        return JSONResponse(_with_links(self._service.results.get(name), name))

    def remove(self, name: str) -> Response:
        """Forget a result."""
        self._service.results.remove(name)
        return Response(status_code=204)

    def length(self, request: Request, name: str) -> Response:
        """Measure between the pixels `from` and `to`."""
        estimate = self._service.results.get(name)
        ends = []
        for end in ("from", "to"):
            try:
                ends.append(read_pixel(request.query_params.get(end, "")))
            except ValueError as error:
                raise ApiError(BAD_PARAMETER, f"{end}: {error}") from None
        return JSONResponse(estimate.length(ends[0], ends[1]))

    def file(self, request: Request, name: str, file: str) -> Response:
        """Return a file of a result; maps with max_side in fewer pixels."""
        estimate = self._service.results.get(name)
        text = request.query_params.get("max_side", "0")
        if not text.isdecimal() or len(text) > _MOST_DIGITS:
            raise ApiError(BAD_PARAMETER, f"max_side: {text[:40]!r} is not a number of pixels")
        if int(text) and file in MAPS:
            content = depth_npy(thinned(MAPS[file](estimate), int(text)))
            return _file_response(estimate, FILES[file].media_type, content, name)
        if file == "color.png":
            estimate = _in_colors(estimate, request)
        return self._file_answer(estimate, file, name)

    def _file_answer(self, estimate: Estimate, file: str, name: str) -> Response:
        kind = file_kind(file)
        with self._service.writing:
            content = kind.build(estimate)
        return _file_response(estimate, kind.media_type, content, name)

    def models(self) -> Response:
        """List the models."""
        return JSONResponse({"models": self._service.catalogue.rows()})

    def colormaps(self) -> Response:
        """Return 256 colours of each map; the first stands for no depth."""
        return JSONResponse({name: color_table(name).tolist() for name in COLORMAPS})

    async def livez(self) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self) -> Response:
        """Tell whether images are taken."""
        self._service.check_ready()
        return PlainTextResponse("ok\n")

    async def metrics(self) -> Response:
        """Return counters."""
        return PlainTextResponse(self._service.metrics_text())

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        found = page_files()[request.url.path]
        return Response(found.content, media_type=found.media_type)


def _with_links(estimate: Estimate, name: str) -> dict[str, Any]:
    has_metres = estimate.depth_m is not None
    names = [file for file in FILES if has_metres or file in WITHOUT_METRES]
    links = {file: f"/v1/results/{name}/{file}" for file in names}
    return {"id": name, **estimate.as_json(), "files": links}


def _in_colors(estimate: Estimate, request: Request) -> Estimate:
    """Return the result with the colours that a request asks for; it may ask for none."""
    items = request.query_params.multi_items()
    if not items:
        return estimate
    look = read_request(items)
    shown = replace(estimate.request, colormap=look.colormap, equalise=look.equalise)
    return replace(estimate, request=shown)


def _file_response(estimate: Estimate, media_type: str, content: bytes, name: str) -> Response:
    described = estimate.description
    scale = described["scale"]
    headers = {
        "X-Result": name,
        "X-Depth-Unit": "mm" if media_type == "image/png" else "m",
        "X-Scale-Source": scale["source"],
        "X-Scale-State": scale["state"],
        "X-Scale-Sigma-Rel": "unknown" if scale["sigma_rel"] is None else f"{scale['sigma_rel']:g}",
        "X-Planner-Use": described["planner_use"],
        "X-Model": described["model"]["name"],
    }
    return Response(content, media_type=media_type, headers=headers)


class _Silence(Response):  # type: ignore[misc]
    """No answer: the client went before its request was whole, and nobody hears one."""

    async def __call__(self, *_: object) -> None:
        """Send nothing."""


async def _say_nothing(_: Request, __: Exception) -> Response:
    return _Silence()


async def _answer(request: Request, error: Exception) -> Response:
    """Answer with an error, in the form of the address."""
    if isinstance(error, ApiError):
        told = error
    elif isinstance(error, HTTPException):
        kind, headers = kind_of_status(error.status_code), dict(error.headers or {})
        told = ApiError(kind, f"{request.method}: {error.detail}. {kind.meaning}", headers)
    elif isinstance(error, RequestValidationError):
        told = ApiError(BAD_PARAMETER, str(error)[:200])
    else:
        _LOG.error("a request failed", exc_info=error)
        told = ApiError(FAILED, "a fault of the server; its log says more")
    body = failure(told) if request.url.path == _PREDICT else told.body()
    return JSONResponse(body, status_code=told.kind.status, headers=told.headers)
