"""The addresses of jobs."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path

from mono_depth.web.api_error import (
    BAD_PARAMETER,
    BAD_REQUEST,
    DISK_FULL,
    NOT_ENDED,
    NOT_FOUND,
    QUEUE_FULL,
    TOO_LARGE,
    TOO_SLOW,
    WRONG_TYPE,
    ApiError,
)
from mono_depth.web.framework import (
    ClientDisconnect,
    FastAPI,
    FileResponse,
    JSONResponse,
    Request,
    Response,
    StreamingResponse,
)
from mono_depth.web.jobs.job import Job, JobState
from mono_depth.web.jobs.job_request import JOB_LEVERS, JobRequest, read_job_request
from mono_depth.web.jobs.job_service import JobService
from mono_depth.web.jobs.job_upload import FILE_FIELD, read_job_upload
from mono_depth.web.jobs.zip_stream import zip_stream
from mono_depth.web.openapi import body_of_file, errors, query_of

_ONE = "/v1/jobs/{name}"
_ZIP_TYPE = "application/zip"
_TYPES = {".npy": "application/x-npy", ".ply": "model/ply", ".glb": "model/gltf-binary"}


class JobRoutes:
    """One method for each address."""

    def __init__(self, service: JobService) -> None:
        self._service = service

    def add_to(self, app: FastAPI) -> None:
        """Add all addresses."""
        refused = errors(NOT_FOUND, NOT_ENDED)
        app.add_api_route(
            "/v1/jobs",
            self.create,
            methods=["POST"],
            status_code=202,
            summary="Depth of a video, a bag, or a folder as ZIP",
            description="Answers at once, when the file has arrived; then ask for the state.",
            openapi_extra={
                **query_of(JOB_LEVERS),
                **body_of_file(FILE_FIELD, JOB_LEVERS, ("video/mp4", _ZIP_TYPE)),
            },
            responses=errors(
                BAD_REQUEST, BAD_PARAMETER, TOO_SLOW, TOO_LARGE, WRONG_TYPE, QUEUE_FULL, DISK_FULL
            ),
        )
        app.add_api_route(
            _ONE, self.state, summary="How far a job is, and its account", responses=refused
        )
        app.add_api_route(
            _ONE, self.remove, methods=["DELETE"], status_code=204, summary="End and forget a job"
        )
        app.add_api_route(
            f"{_ONE}/results.zip", self.all_files, summary="All results", responses=refused
        )
        app.add_api_route(f"{_ONE}/files", self.names, summary="Names of the results")
        app.add_api_route(
            f"{_ONE}/files/{{file:path}}", self.file, summary="One of them", responses=refused
        )

    async def create(self, request: Request) -> Response:
        """Take a file and let it wait."""
        service, query = self._service, list(request.query_params.multi_items())
        service.check(read_job_request(query))
        job = service.store.add(JobRequest())
        try:
            ending, form = await read_job_upload(
                request,
                job.folder / "upload",
                service.limits,
                lambda nbytes: service.store.set_size(job, nbytes),
            )
            job.request = read_job_request([*query, *form])
            service.check(job.request)
            service.store.received(job, ending)
        except ClientDisconnect:
            service.store.drop(job)
            raise ApiError(BAD_REQUEST, "the client is gone") from None
        except OSError as error:
            service.store.drop(job)
            raise ApiError(DISK_FULL, f"the file cannot be stored: {error.strerror}") from None
        except BaseException:
            service.store.drop(job)
            raise
        headers = {"Location": f"/v1/jobs/{job.name}"}
        return JSONResponse(service.as_json(job), status_code=202, headers=headers)

    def state(self, name: str) -> Response:
        """Return how far a job is."""
        return JSONResponse(self._service.as_json(self._service.store.get(name)))

    def remove(self, name: str) -> Response:
        """End a job and remove its files."""
        self._service.store.drop(self._service.store.get(name))
        return Response(status_code=204)

    def names(self, name: str) -> Response:
        """List the results."""
        files = self._ended(name).files()
        rows = [{"name": file, "bytes": path.stat().st_size} for file, path in files.items()]
        return JSONResponse({"files": rows})

    def file(self, name: str, file: str) -> Response:
        """Return one of the results; it is one that `names` lists."""
        found = self._ended(name).files().get(file)
        if found is None:
            raise ApiError(NOT_FOUND, f"no such file; /v1/jobs/{name[:40]}/files lists them")
        kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0]
        return FileResponse(found, media_type=kind or "application/octet-stream")

    async def all_files(self, name: str) -> Response:
        """Return all results as a ZIP."""
        job = self._ended(name)
        files = await asyncio.to_thread(job.files)
        headers = {"Content-Disposition": "attachment"}  # its name is that of the link
        return StreamingResponse(self._zipped(job, files), media_type=_ZIP_TYPE, headers=headers)

    def _zipped(self, job: Job, files: Mapping[str, Path]) -> Iterator[bytes]:
        with self._service.store.reading(job):
            yield from zip_stream(files)

    def _ended(self, name: str) -> Job:
        job = self._service.store.get(name)
        if not job.state.has_ended:
            waits = {"Retry-After": "1"} if job.state is JobState.RUNNING else {"Retry-After": "5"}
            raise ApiError(NOT_ENDED, f"the job is {job.state.value}", waits)
        return job
