"""What a client is told when it gets no depth."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ErrorKind:
    """One reason for no depth: its HTTP status, and the word that programs can rely on."""

    status: int
    code: str
    meaning: str


NOT_AN_IMAGE = ErrorKind(status=400, code="not_an_image", meaning="The body is no whole image.")
BAD_REQUEST = ErrorKind(status=400, code="bad_request", meaning="The request is malformed.")
NO_TOKEN = ErrorKind(status=401, code="unauthorized", meaning="The token is missing or wrong.")
FORBIDDEN = ErrorKind(
    status=403, code="forbidden", meaning="The request comes from another site's page."
)
NOT_FOUND = ErrorKind(
    status=404, code="not_found", meaning="No such address, model or result; results are not kept."
)
WRONG_METHOD = ErrorKind(status=405, code="method_not_allowed", meaning="Another method is needed.")
NOT_ACCEPTABLE = ErrorKind(
    status=406, code="not_acceptable", meaning="None of the types in Accept can be made."
)
NOT_ENDED = ErrorKind(
    status=409, code="not_ended", meaning="The job has not ended; its files are not there yet."
)
TOO_SLOW = ErrorKind(status=408, code="upload_timeout", meaning="The body did not arrive in time.")
TOO_LARGE = ErrorKind(
    status=413, code="too_large", meaning="The body has too many bytes, or the image pixels."
)
WRONG_TYPE = ErrorKind(
    status=415, code="unsupported_type", meaning="Not a kind of file that is taken here."
)
BAD_PARAMETER = ErrorKind(
    status=422, code="bad_parameter", meaning="A parameter is unknown or has no sense."
)
NO_METRES = ErrorKind(
    status=422, code="no_metres", meaning="What was asked for needs metres, and there are none."
)
UNUSABLE_IMAGE = ErrorKind(
    status=422, code="unusable_image", meaning="The network cannot take this image."
)
QUEUE_FULL = ErrorKind(
    status=429, code="queue_full", meaning="Too much waits; Retry-After says for how long."
)
FAILED = ErrorKind(
    status=500, code="internal_error", meaning="A fault of the server; it is logged."
)
NOT_READY = ErrorKind(
    status=503, code="not_ready", meaning="The model is loading, failed, or the server is ending."
)
DISK_FULL = ErrorKind(status=507, code="disk_full", meaning="There is no room for another job now.")

KINDS = (
    NOT_AN_IMAGE,
    BAD_REQUEST,
    NO_TOKEN,
    FORBIDDEN,
    NOT_FOUND,
    WRONG_METHOD,
    NOT_ACCEPTABLE,
    NOT_ENDED,
    TOO_SLOW,
    TOO_LARGE,
    WRONG_TYPE,
    BAD_PARAMETER,
    NO_METRES,
    UNUSABLE_IMAGE,
    QUEUE_FULL,
    FAILED,
    NOT_READY,
    DISK_FULL,
)


@dataclass
class ApiError(Exception):
    """A request that is answered with an error."""

    kind: ErrorKind
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.status} {self.kind.code}: {self.message}"

    def body(self) -> dict[str, dict[str, str]]:
        """Return the one form of all errors."""
        return {"error": {"code": self.kind.code, "message": self.message}}


def kind_of_status(status: int) -> ErrorKind:
    """Return the kind of an error that the HTTP framework raises by itself."""
    return next((kind for kind in KINDS if kind.status == status), BAD_REQUEST)
