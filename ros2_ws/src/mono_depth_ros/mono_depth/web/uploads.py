"""Reads an image and levers from a request, and never more than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from mono_depth.web.api_error import BAD_REQUEST, TOO_LARGE, TOO_SLOW, WRONG_TYPE, ApiError
from mono_depth.web.framework import Headers, MultiPartException, MultiPartParser, Request
from mono_depth.web.limits import ServerLimits

IMAGE_FIELD = "image"
_MOST_DIGITS = 12  # of a length in bytes
_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 1000
_RAW_TYPES = ("application/octet-stream", "")

Fields = list[tuple[str, str]]


async def read_upload(request: Request, limits: ServerLimits) -> tuple[bytes, Fields]:
    """Return the image of a request, and the levers of its form and its address.

    Raises:
        ApiError: the body is too large, too slow, malformed or of another type.
    """
    fields: Fields = list(request.query_params.multi_items())
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    told = request.headers.get("content-length", "")
    if told.isdecimal() and (len(told) > _MOST_DIGITS or int(told) > limits.max_bytes):
        raise _too_large(limits)
    try:
        if kind == "multipart/form-data":
            reading = _form(request.headers, _bounded(request, limits), limits)
            image, form = await asyncio.wait_for(reading, limits.upload_s)
            return image, [*fields, *form]
        if kind.startswith("image/") or kind in _RAW_TYPES:
            image = await asyncio.wait_for(_whole(_bounded(request, limits)), limits.upload_s)
            return image, fields
    except asyncio.TimeoutError:
        raise ApiError(TOO_SLOW, f"no whole body within {limits.upload_s:g} s") from None
    raise ApiError(
        WRONG_TYPE,
        f"Content-Type {kind[:60]!r}; send multipart/form-data with the field {IMAGE_FIELD!r}, "
        "or the image itself as image/jpeg, image/png, image/webp or image/tiff",
    )


async def _bounded(request: Request, limits: ServerLimits) -> AsyncGenerator[bytes, None]:
    """Yield a body that ends with an error where it becomes too large, whatever it claims."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.max_bytes:
            raise _too_large(limits)
        yield chunk


async def _whole(chunks: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def _form(
    headers: Headers, chunks: AsyncGenerator[bytes, None], limits: ServerLimits
) -> tuple[bytes, Fields]:
    parser = MultiPartParser(
        headers,
        chunks,
        max_files=1,
        max_fields=_MOST_FIELDS,
        max_part_size=_MOST_FIELD_BYTES,
    )
    parser.spool_max_size = limits.max_bytes  # nothing of an upload goes to the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "") or "no boundary"
        raise ApiError(BAD_REQUEST, f"malformed form: {reason}") from None
    image: bytes | None = None
    fields: Fields = []
    for name, value in form.multi_items():
        if not isinstance(value, str):
            if name != IMAGE_FIELD:
                raise ApiError(BAD_REQUEST, f"unexpected file {name[:40]!r}")
            image = await value.read()
            await value.close()
        elif name != IMAGE_FIELD:
            fields.append((name, value))
    if image is None:
        raise ApiError(BAD_REQUEST, f"the form has no file {IMAGE_FIELD!r}")
    return image, fields


def _too_large(limits: ServerLimits) -> ApiError:
    return ApiError(TOO_LARGE, f"the body has more than {limits.max_bytes} bytes")
