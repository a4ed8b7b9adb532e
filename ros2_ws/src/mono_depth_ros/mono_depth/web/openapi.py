"""What the OpenAPI document says about bodies, levers, answers and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mono_depth.web.api_error import KINDS, ErrorKind
from mono_depth.web.depth_request import LEVERS, Lever
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
    media = ("image/jpeg", "image/png", "image/webp", "image/tiff")
    return {**query_of(LEVERS), **body_of_file(IMAGE_FIELD, LEVERS, media)}


def query_of(levers: Mapping[str, Lever]) -> dict[str, Any]:
    """Describe levers as fields of the query."""
    return {
        "parameters": [
            {"name": name, "in": "query", "schema": lever.schema, "description": lever.description}
            for name, lever in levers.items()
        ]
    }


def body_of_file(field: str, levers: Mapping[str, Lever], media: tuple[str, ...]) -> dict[str, Any]:
    """Describe a body: a form with a file and levers, or the file itself."""
    form = {**_properties(levers), field: _BINARY}
    raw = {kind: {"schema": _BINARY} for kind in media}
    return {"requestBody": {"required": True, "content": {**_multipart(form, field), **raw}}}


def predict_operation() -> dict[str, Any]:
    """Describe `POST /predict`."""
    resolution = {
        "type": "string",
        "example": "640x480",
        "description": "Size of the depth image that is answered; left out: that of the image.",
    }
    form = {IMAGE_FIELD: _BINARY, RESOLUTION: resolution, **_properties(LEVERS)}
    return {"requestBody": {"required": True, "content": _multipart(form, IMAGE_FIELD)}}


def depth_answers() -> dict[int | str, dict[str, Any]]:
    """Describe the answers of `POST /v1/depth`: JSON, or the file that Accept asks for."""
    files = {
        media: {"schema": _BINARY, "description": FILES[name].description}
        for media, name in BY_MEDIA_TYPE.items()
        if "*" not in media
    }
    answer = {"description": "Depth, by Accept.", "content": {"application/json": {}, **files}}
    return {200: answer, **errors(*(kind for kind in KINDS if kind.status not in (404, 409, 507)))}


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


def _properties(levers: Mapping[str, Lever]) -> dict[str, Any]:
    return {
        name: {**lever.schema, "description": lever.description} for name, lever in levers.items()
    }


def _multipart(properties: dict[str, Any], required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": [required]}
    return {"multipart/form-data": {"schema": schema}}
