"""Reads the file of a job straight to the disk, never more than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from mono_depth.web.api_error import BAD_REQUEST, TOO_LARGE, TOO_SLOW, ApiError
from mono_depth.web.framework import Request, python_multipart
from mono_depth.web.jobs.content import HEAD_BYTES, ending_of
from mono_depth.web.jobs.job_limits import JobLimits

FILE_FIELD = "file"
_WRITE_BYTES = 1 << 20
_MOST_FIELDS = 32
_MOST_TEXT = 1000  # bytes of a field, or of the head of a part

Fields = list[tuple[str, str]]


async def read_job_upload(
    request: Request, target: Path, limits: JobLimits, has_room: Callable[[int], None]
) -> tuple[str, Fields]:
    """Write the file of a request to `target`; return its ending and the fields of the form.

    Args:
        request: multipart with the field `file`, or the file itself as body.
        target: a new file.
        limits: of a job.
        has_room: is told how many bytes there are, and raises where there are too many.

    Raises:
        ApiError: the body is too large, too slow, malformed or of another type.
    """
    told = request.headers.get("content-length", "")
    if told.isdecimal() and (len(told) > 15 or int(told) > limits.upload_bytes):
        raise _too_large(limits)
    sink = _Sink(target, has_room)
    kind = request.headers.get("content-type", "")
    try:
        reader = _Form(kind, sink) if kind.lower().startswith("multipart/form-data") else sink
        await asyncio.wait_for(_pass_on(request, reader, sink, limits), limits.upload_s)
        await asyncio.to_thread(sink.flush)
    except asyncio.TimeoutError:
        raise ApiError(TOO_SLOW, f"no whole file within {limits.upload_s:g} s") from None
    finally:
        sink.close()
    fields: Fields = []
    if isinstance(reader, _Form):
        if not reader.is_whole:
            raise ApiError(BAD_REQUEST, f"the form has no whole file {FILE_FIELD!r}")
        fields = reader.fields
    return ending_of(sink.head), fields


class _Sink:
    """The file, written in large pieces."""

    def __init__(self, target: Path, has_room: Callable[[int], None]) -> None:
        self._file = target.open("xb")
        self._has_room = has_room
        self._waiting: list[bytes] = []
        self.unwritten = self.size = 0
        self.head = b""

    def write(self, data: bytes) -> None:
        """Take a piece; what begins as nothing that is taken ends the upload."""
        if len(self.head) < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - len(self.head)]
            if len(self.head) == HEAD_BYTES:
                ending_of(self.head)
        self._waiting.append(data)
        self.unwritten += len(data)
        self.size += len(data)

    def flush(self) -> None:
        """Write what was taken."""
        self._has_room(self.size)
        try:
            self._file.writelines(self._waiting)
            self._file.flush()
        finally:
            self._waiting, self.unwritten = [], 0

    def close(self) -> None:
        self._file.close()


class _Form:
    """A form with one file, as it comes in."""

    def __init__(self, content_type: str, sink: _Sink) -> None:
        _, options = python_multipart.multipart.parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise ApiError(BAD_REQUEST, "malformed form: no boundary")
        self.fields: Fields = []
        self.is_whole = False
        self._sink, self._seen = sink, 0
        self._head = self._name = self._value = b""
        self._field, self._text, self._is_file = "", b"", False
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        """Take a piece of the body.

        Raises:
            ApiError: the form is malformed.
        """
        try:
            self._parser.write(data)
        except python_multipart.exceptions.FormParserError as error:
            raise ApiError(BAD_REQUEST, f"malformed form: {error}") from None

    def _begin(self) -> None:
        self._seen += 1
        if self._seen > _MOST_FIELDS:
            raise ApiError(BAD_REQUEST, f"malformed form: more than {_MOST_FIELDS} fields")
        self._head, self._text, self._field, self._is_file = b"", b"", "", False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name = self._grown(self._name, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = self._grown(self._value, data[start:end])

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._head = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = python_multipart.multipart.parse_options_header(self._head)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = b"filename" in options
        if self._is_file and (self._field != FILE_FIELD or self.is_whole):
            raise ApiError(BAD_REQUEST, f"unexpected file {self._field[:40]!r}")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._sink.write(data[start:end])
        else:
            self._text = self._grown(self._text, data[start:end])

    def _end(self) -> None:
        if self._is_file:
            self.is_whole = True
        else:
            self.fields.append((self._field, self._text.decode("utf-8", "replace")))

    def _grown(self, before: bytes, more: bytes) -> bytes:
        if len(before) + len(more) > _MOST_TEXT:
            raise ApiError(BAD_REQUEST, f"malformed form: more than {_MOST_TEXT} bytes of text")
        return before + more


async def _pass_on(request: Request, reader: _Form | _Sink, sink: _Sink, limits: JobLimits) -> None:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.upload_bytes:
            raise _too_large(limits)
        reader.write(chunk)
        if sink.unwritten >= _WRITE_BYTES:
            await asyncio.to_thread(sink.flush)


def _too_large(limits: JobLimits) -> ApiError:
    return ApiError(TOO_LARGE, f"the body has more than {limits.upload_bytes} bytes")
