"""A server as users start it, in a thread of the tests, and a client that knows only HTTP."""

from __future__ import annotations

import http.client
import io
import json
import queue
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from mono_depth.config import PipelineConfig

BOUNDARY = "7dbe60"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    address: str

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        link = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=300)
        try:
            link.request(method, path, body, dict(headers or {}))
            answer = link.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            link.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post_image(self, path: str, image: bytes, **headers: str) -> Answer:
        return self.ask("POST", path, image, {"Content-Type": "image/png", **headers})

    def post_form(self, path: str, image: bytes | None, **fields: str) -> Answer:
        return self.ask("POST", path, form_of(image, fields), FORM)


FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form_of(image: bytes | None, fields: Mapping[str, str], filename: str = "room.png") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if image is not None:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"'
        )
        parts.append(f"{head}\r\nContent-Type: image/png\r\n\r\n".encode() + image + b"\r\n")
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def png_of(rgb: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


@contextmanager
def running(config: PipelineConfig, token: str = "", **limits: Any) -> Iterator[Client]:
    """Run a server until the block ends."""
    for name in ("fastapi", "uvicorn", "python_multipart", "plotly"):
        pytest.importorskip(name, reason=f"the extra web brings {name}")
    from mono_depth.web.limits import ServerLimits
    from mono_depth.web.server import serve

    started: queue.Queue[tuple[str, Any]] = queue.Queue()
    thread = threading.Thread(
        target=serve,
        args=(config, ServerLimits(**limits)),
        kwargs={"token": token, "on_start": lambda *told: started.put(told)},
    )
    thread.start()
    address, server = started.get(timeout=60)
    try:
        yield Client(address)
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()


def wait_until_ready(client: Client) -> None:
    for _ in range(600):
        if client.get("/readyz").status == 200:
            return
        time.sleep(0.1)
    pytest.fail(f"the server is never ready: {client.get('/readyz').body!r}")


def npy(body: bytes) -> np.ndarray:
    return np.load(io.BytesIO(body), allow_pickle=False)


def image(body: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)


def ply(body: bytes) -> np.ndarray:
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    return np.frombuffer(body.partition(b"end_header\n")[2], vertex)


def glb(body: bytes) -> np.ndarray:
    (size,) = struct.unpack_from("<I", body, 12)
    count = json.loads(body[20 : 20 + size])["accessors"][0]["count"]
    return np.frombuffer(body, "<f4", 3 * count, 28 + size).reshape(-1, 3)


def resident(client: Client) -> float:
    """Return the memory of the server [bytes]."""
    lines = client.get("/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith("mono_depth_resident")).split()[1])
