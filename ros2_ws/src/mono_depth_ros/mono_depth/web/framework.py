"""What comes with the extra `web`. Every module that needs it imports it from here."""

from __future__ import annotations

from mono_depth.errors import ConfigError

try:
    import python_multipart
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from h11 import LocalProtocolError
    from starlette.datastructures import Headers, UploadFile
    from starlette.exceptions import HTTPException
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect
    from starlette.responses import (
        FileResponse,
        JSONResponse,
        PlainTextResponse,
        Response,
        StreamingResponse,
    )
except ModuleNotFoundError as error:
    raise ConfigError(f"the server needs {error.name}: pip install 'mono_depth_ros[web]'") from None

__all__ = [
    "ClientDisconnect",
    "FastAPI",
    "FileResponse",
    "HTTPException",
    "Headers",
    "JSONResponse",
    "LocalProtocolError",
    "MultiPartException",
    "MultiPartParser",
    "PlainTextResponse",
    "Request",
    "RequestValidationError",
    "Response",
    "StreamingResponse",
    "UploadFile",
    "python_multipart",
    "uvicorn",
]
