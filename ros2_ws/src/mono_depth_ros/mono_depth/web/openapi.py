"""What the OpenAPI document says about bodies, levers, answers and errors."""

from __future__ import annotations

from typing import Any

from mono_depth.web.api_error import KINDS, ErrorKind
from mono_depth.web.depth_request import LEVERS
from mono_depth.web.founding_form import RESOLUTION
from mono_depth.web.result_files import BY_MEDIA_TYPE, FILES
from mono_depth.web.uploads import IMAGE_FIELD

_BINARY = {"type": "string", "format": "binary"}
_ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}


def depth_operation() -> dict[str, Any]:
    """Describe `POST /v1/depth`."""
    form = {**_form_properties(), IMAGE_FIELD: _BINARY}
    media = {kind: {"schema": _BINARY} for kind in ("image/jpeg", "image/png", "image/webp")}
    return {
        "parameters": [
            {"name": name, "in": "query", "schema": lever.schema, "description": lever.description}
            for name, lever in LEVERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {**_multipart(form), **media, "image/tiff": {"schema": _BINARY}},
        },
    }


def predict_operation() -> dict[str, Any]:
    """Describe `POST /predict`."""
    resolution = {
        "type": "string",
        "example": "640x480",
        "description": "Size of the depth image that is answered; left out: that of the image.",
    }
    form = {IMAGE_FIELD: _BINARY, RESOLUTION: resolution, **_form_properties()}
    return {"requestBody": {"required": True, "content": _multipart(form)}}


def depth_answers() -> dict[int | str, dict[str, Any]]:
    """Describe the answers of `POST /v1/depth`: JSON, or the file that Accept asks for."""
    files = {
        media: {"schema": _BINARY, "description": FILES[name].description}
        for media, name in BY_MEDIA_TYPE.items()
        if "*" not in media
    }
    answer = {"description": "Depth, by Accept.", "content": {"application/json": {}, **files}}
    return {200: answer, **errors(*(kind for kind in KINDS if kind.status not in (404,)))}


def errors(*kinds: ErrorKind) -> dict[int | str, dict[str, Any]]:
    """Describe errors, which all have one body."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        text = f"`{kind.code}`: {kind.meaning}"
        if kind.status in found:
            text = f"{found[kind.status]['description']} {text}"
        found[kind.status] = {
            "description": text,
            "content": {"application/json": {"schema": _ERROR_SCHEMA}},
        }
    return found


def _form_properties() -> dict[str, Any]:
    return {
        name: {**lever.schema, "description": lever.description} for name, lever in LEVERS.items()
    }


def _multipart(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [IMAGE_FIELD]}
    return {"multipart/form-data": {"schema": schema}}
