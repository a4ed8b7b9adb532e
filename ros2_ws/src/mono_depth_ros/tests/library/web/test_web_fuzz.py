"""Requests that are malformed in any place: an answer for each, and no fault of the server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

import cv2
import numpy as np
import pytest

from damaged_files import damaged
from mono_depth.web.depth_request import LEVERS
from web_client import FORM, Answer, Client, form_of, resident

_DEFAULT, _ACCEPTANCE = 40, 600
_MOST_BYTES = 150e6  # more of the server's memory
_ROOM = np.kron(np.arange(48, dtype=np.uint8).reshape(6, 8), np.ones((6, 6), np.uint8)) * 5
_IMAGES = [cv2.imencode(kind, _ROOM)[1].tobytes() for kind in (".png", ".jpg", ".webp", ".tiff")]
_PATHS = [
    *("/", "/v1/depth", "/predict", "/v1/models", "/v1/colormaps", "/livez", "/readyz", "/metrics"),
    *("/docs", "/openapi.json", "/v1/results/abc", "/v1/results/abc/depth.png"),
    *("/v1/results/abc/length?from=1,1&to=2,2", "/page/app.js"),
]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X" * 50]
_VALUES = [
    *(
        "",
        " ",
        "nan",
        "inf",
        "-1",
        "0",
        "1e999",
        "1e-320",
        "9" * 400,
        "٣",
        "1,2",
        "1,2,3",
        "nan,nan",
    ),
    *("true", "../../etc/passwd", "\x00", "\ud800", "'", "<b>", "nano", "guided", "a" * 3000),
]
_TYPES = [
    *("", "image/png", "image/jpeg", "image/png; x=" + "y" * 500, "application/json", "text/html"),
    *("application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary="),
    *("multipart/form-data; boundary=" + "b" * 300, "é", FORM["Content-Type"]),
]
_ACCEPT = ["", "*/*", "image/png", "application/x-npy", "a/b;q=2", "q=;;,,", "," * 2000, "*/x"]
_RAW = b"POST /v1/depth HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
_LENGTHS = [b"-1", b"0", b"99999999999999999999", b"1e3", b"3\r\nContent-Length: 4", b"\xff", b""]


def request(random_: random.Random) -> tuple[str, str, bytes | None, dict[str, str]]:
    """Return method, address, body and headers that somebody may send by mistake or on purpose."""
    path = random_.choice(_PATHS)
    if random_.random() < 0.3:
        path = quote(damaged(path.encode(), random_).decode("latin-1"), safe="/?&=%.,")
    names = [*LEVERS, "from", "to", "max_side", "resolution", "x" * 60, ""]
    fields = {random_.choice(names): random_.choice(_VALUES) for _ in range(random_.randrange(4))}
    headers = {"Content-Type": random_.choice(_TYPES), "Accept": random_.choice(_ACCEPT)}
    if random_.random() < 0.2:
        headers[random_.choice(("Cookie", "Authorization", "Range", "If-None-Match"))] = "\x80=;,\t"
    body: bytes | None = random_.choice(_IMAGES)
    if random_.random() < 0.6:
        body = damaged(body, random_)
    if random_.random() < 0.4:
        texts = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
        body = form_of(body, texts)
        body = damaged(body, random_) if random_.random() < 0.6 else body
        headers["Content-Type"] = FORM["Content-Type"]
    else:
        pairs = (f"{quote(n)}={quote(v.encode('utf-8', 'replace'))}" for n, v in fields.items())
        path += ("&" if "?" in path else "?") + "&".join(pairs)
    method = random_.choice(("POST", "POST", "POST", "GET", *_METHODS))
    return method, path, None if method in ("GET", "HEAD") else body, headers


def raw(random_: random.Random) -> bytes:
    """Return what is hardly HTTP."""
    length = random_.choice(_LENGTHS)
    whole = random_.choice(
        (
            _RAW + b"Content-Length: " + length + b"\r\n\r\nabc",
            _RAW
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + random_.choice((b"zz\r\nabc", b"-5\r\n")),
            _RAW + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            _RAW + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
            b"GET /livez HTTP/9.9\r\n\r\n",
            b"GET http://evil/ HTTP/1.1\r\nHost: evil\r\n\r\n",
            b"GET /v1/models HTTP/1.1\r\nHost: \xff\xfe\r\nOrigin: null\r\n\r\n",
        )
    )
    return damaged(whole, random_) if random_.random() < 0.5 else whole


def sent_raw(client: Client, content: bytes) -> bytes:
    host, port = urlsplit(client.address).netloc.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as link,
        contextlib.suppress(ConnectionError),
    ):
        link.sendall(content)
        link.shutdown(socket.SHUT_WR)
        return link.recv(1 << 16)
    return b""


def check(answer: Answer, told: object) -> None:
    assert answer.status < 500, (told, answer.body[:500])
    assert b"Traceback" not in answer.body, told
    assert b"root:" not in answer.body, told
    if answer.status >= 400 and answer.headers.get("content-type") == "application/json":
        content = json.loads(answer.body or b'{"error": 0}')
        assert "error" in content or content["success"] is False, (told, content)


def fuzz(client: Client, count: int, seed: int, caplog, folder: Path) -> None:
    random_ = random.Random(seed)
    client.post_image("/v1/depth", _IMAGES[0])
    before = resident(client)
    with caplog.at_level(logging.WARNING):
        for _ in range(count):
            if random_.random() < 0.25:
                content = raw(random_)
                first = sent_raw(client, content).split(b"\r\n")[0]
                assert b" 500 " not in first, content
                continue
            asked = request(random_)
            check(client.ask(*asked), asked)
    assert [
        r.getMessage() for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR
    ] == []
    assert resident(client) - before < _MOST_BYTES
    assert os.listdir(folder) == []  # noqa: PTH208 - nothing was written where it ran
    assert client.post_image("/v1/depth", _IMAGES[0]).status == 200
    assert b"mono_depth_queue_taken 0\n" in client.get("/metrics").body


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_malformed_requests_are_answered(client, caplog, elsewhere: Path):
    fuzz(client, _DEFAULT, 1, caplog, elsewhere)


@pytest.mark.acceptance
def test_hundreds_of_malformed_requests_are_answered(client, caplog, elsewhere: Path):
    fuzz(client, _ACCEPTANCE, 2, caplog, elsewhere)
