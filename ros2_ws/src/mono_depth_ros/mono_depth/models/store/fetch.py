"""One file over HTTP: resumed where it is still the same file, refused where it is something else.

Source: RFC 9110, sections 13.1.5 (If-Range), 14 (ranges), 10.2.3 (Retry-After); the headers of the
hub (X-Linked-Etag, X-Error-Message, X-Error-Code): huggingface_hub `file_download.py`, `_http.py`.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import logging
import os
import re
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from mono_depth.errors import ModelError
from mono_depth.models.store.weights_file import MAX_BYTES

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20
_BUSY = (408, 429, 500, 502, 503, 504)
_ATTEMPTS, _WAIT_S, _LONGEST_WAIT_S = 4, 1.0, 60.0
_NETWORK_ERRORS = (
    urllib.error.URLError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    http.client.HTTPException,
)
_SHA256_ETAG = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """What is known of the file that a part is of; it lies beside the part."""

    url: str
    validator: str  # its strong ETag, or when it was changed; "" = the server tells neither
    total: int  # bytes


def fetch(url: str, part: IO[bytes], label: str, *, token: str = "", is_pinned: bool) -> str:
    """Append to `part` what it lacks of `url`.

    Args:
        url: http or https.
        part: a file that may have the beginning; empty where another file lies at `url` now.
        label: shown while it comes.
        token: of the user, "" = none; it goes to the host of `url` only.
        is_pinned: the whole file will be checked by its hash, so a part may be continued even
            where nobody tells that it is of the same file.

    Returns:
        The SHA-256 that the hub states for the file, "" where it states none.

    Raises:
        ModelError: the server has no such file, another one, or cannot be reached.
    """
    _check_address(url)
    redirects = _Redirects(url, token)
    opener = urllib.request.build_opener(redirects)
    for attempt in range(_ATTEMPTS):
        try:
            _fetch_once(url, part, label, opener, token, is_pinned=is_pinned)
        except urllib.error.HTTPError as error:
            wait_s = _wait_s(error.headers, attempt)
            if error.code not in _BUSY or attempt == _ATTEMPTS - 1 or wait_s > _LONGEST_WAIT_S:
                raise ModelError(_answer(url, error)) from error
            _LOG.warning("%s answers %d: trying again in %.0f s", url, error.code, wait_s)
            time.sleep(wait_s)
        except _NETWORK_ERRORS as error:
            raise ModelError(_unreachable(url, part, error)) from error
        else:
            break
    return redirects.sha256


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("https", "http") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        is_address = False
    if is_address and not re.search(r"[\x00-\x20\x7f]", url):
        return
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint and url.startswith(endpoint.rstrip("/")):
        raise ModelError(f"HF_ENDPOINT is {endpoint!r}, expected an address such as https://HOST")
    raise ModelError(f"{url} is neither https nor http, or no address")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects with the token on the same host only, and reads what the hub tells."""

    def __init__(self, url: str, token: str) -> None:
        self._host, self._token = urlsplit(url)[:2], token
        self.sha256 = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        stated = _SHA256_ETAG.fullmatch(headers.get("X-Linked-Etag", ""))
        self.sha256 = stated[1] if stated else self.sha256
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https"):
            raise ModelError(f"{req.full_url} leads to {newurl[:200]}, expected https")
        if urlsplit(req.full_url).scheme == "https" and scheme != "https":
            raise ModelError(f"{req.full_url} leads to {newurl[:200]}, which is not encrypted")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and self._token and urlsplit(newurl)[:2] == self._host:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request


def _fetch_once(
    url: str,
    part: IO[bytes],
    label: str,
    opener: urllib.request.OpenerDirector,
    token: str,
    *,
    is_pinned: bool,
) -> None:
    have = part.seek(0, os.SEEK_END)
    origin = _read_origin(part, url)
    if have and not is_pinned and (origin is None or not origin.validator):
        have = part.truncate(0)  # nobody can tell that the server still has that file
    request = urllib.request.Request(
        url, headers={"User-Agent": "mono-depth", "Accept-Encoding": "identity"}
    )
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if have:
        request.add_header("Range", f"bytes={have}-")
        if origin is not None and origin.validator:
            request.add_header("If-Range", origin.validator)
    try:
        response = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if _size_from_range(error.headers) == have:
            return  # all of it is here already
        part.truncate(0)
        raise ModelError(f"{part.name} did not fit {url} and was emptied; pull again") from error
    with response:
        _refuse_foreign_answer(response, url)
        validator = _validator(response.headers)
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = part.truncate(0)  # another file by now, or a server that does not resume
        elif origin is not None and validator and origin.validator not in ("", validator):
            part.truncate(0)
            raise ModelError(f"{url} has another file by now, {part.name} was emptied; pull again")
        total = _expected_size(response, have, url)
        _check_room(Path(part.name), total, have)
        _write_origin(part, _Origin(url=url, validator=validator, total=total))
        _copy(response, part, total, have, label)


def _refuse_foreign_answer(response: Any, url: str) -> None:  # noqa: ANN401
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ModelError(f"{url} comes packed with {encoding}, which was not asked for")
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise ModelError(
            f"{url} answers with a web page, not with a file: maybe the network wants a login, or "
            "the file has moved"
        )


def _validator(headers: Message) -> str:
    """Return what If-Range takes: a strong ETag, else the time of the last change."""
    etag = str(headers.get("ETag") or "")
    return etag if etag.startswith('"') else str(headers.get("Last-Modified") or "")


def _expected_size(response: Any, have: int, url: str) -> int:  # noqa: ANN401
    length = response.headers.get("Content-Length")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        total = _size_from_range(response.headers)
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if total is None or start is None or int(start[1]) != have:
            raise ModelError(f"{url} resumes at another place than byte {have}; delete the .part")
    elif length is None or not length.isascii() or not length.isdecimal():
        raise ModelError(f"{url} does not say how long the file is")
    else:
        total = int(length[:20])
    if not 0 < total <= MAX_BYTES:
        raise ModelError(f"{url} has {total} bytes, expected 1 to {MAX_BYTES}")
    return total


def _size_from_range(headers: Message) -> int | None:
    match = re.fullmatch(r"bytes .*/(\d{1,20})", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _check_room(part: Path, total: int, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total - have > free:
        raise ModelError(f"{part.parent} has room for {free} bytes, {total - have} are needed")


def _copy(response: Any, part: IO[bytes], total: int, have: int, label: str) -> None:  # noqa: ANN401
    with tqdm(
        total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024, desc=label
    ) as bar:
        while have < total and (chunk := response.read(min(_CHUNK_BYTES, total - have))):
            part.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
    part.flush()
    if have < total:
        raise ModelError(f"the connection ended after {have} of {total} bytes; pull again to go on")


def _wait_s(headers: Message, attempt: int) -> float:
    """Return how long to wait before asking again, as the server says if it does."""
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdecimal():
        return float(told[:9])
    with contextlib.suppress(TypeError, ValueError, IndexError):
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    return float(_WAIT_S * 2**attempt)


def _answer(url: str, error: urllib.error.HTTPError) -> str:
    """Return what a server answered, with its own reason and the way out."""
    told = f"{url} answers {error.code} {error.reason}"
    reason = " ".join(str(error.headers.get("X-Error-Message") or "").split())[:300]
    if reason:
        told += f": {reason}"
    code = error.headers.get("X-Error-Code", "")
    if error.code in (401, 403) or code in ("GatedRepo", "RepoNotFound"):
        page = url.partition("/resolve/")[0]
        told += (
            f". If {page} asks for it, accept its licence there, and give your token as HF_TOKEN"
        )
    return told


def _unreachable(url: str, part: IO[bytes], error: Exception) -> str:
    reason = str(getattr(error, "reason", None) or error)
    if "unknown url type: socks" in reason:
        reason += " (the proxy: set https_proxy to http://HOST:PORT, socks is not supported)"
    return (
        f"cannot download {url}: {reason}. Pull again to go on where it stopped, or copy the file "
        f"from another machine to {part.name.removesuffix('.part')}"
    )


def origin_file(part: Path) -> Path:
    """Return the file that tells what a part is of."""
    return part.with_name(f"{part.name}.origin")


def _read_origin(part: IO[bytes], url: str) -> _Origin | None:
    try:
        with origin_file(Path(part.name)).open("rb") as file:
            values = json.loads(file.read(1 << 16))
        origin = _Origin(**values)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return origin if origin.url == url and isinstance(origin.validator, str) else None


def _write_origin(part: IO[bytes], origin: _Origin) -> None:
    """Write what a part is of, not through a link that somebody put there."""
    path = origin_file(Path(part.name))
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".origin-", delete=False, encoding="utf-8"
    ) as file:
        file.write(json.dumps(asdict(origin)))
    Path(file.name).replace(path)
