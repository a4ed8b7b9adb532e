"""Every error has its status, its code and one form; nothing a client sends names a file."""

from __future__ import annotations

import socket
import struct
import zlib
from urllib.parse import urlsplit

import pytest

from web_client import FORM, form_of, resident

PNG = {"Content-Type": "image/png"}
TRAVERSALS = (
    "/page/../app.py",
    "/page/%2e%2e/app.py",
    "/page/..%2fapp.py",
    "/page/app.js/../../limits.py",
    "//etc/passwd",
    "/v1/results/../../../etc/passwd",
    "/v1/results/..%2f..%2fetc%2fpasswd/depth.png",
    "/v1/results/%2fetc/passwd",
    "/page//etc/passwd",
)


def large_png(width: int, height: int) -> bytes:
    """Return a valid PNG of one bit a pixel: 20000x20000 of them fit into 50 kB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def requests(image: bytes):
    """Yield a name, a request, and the status and code of its answer."""
    post = ("POST", "/v1/depth")
    yield "text", (*post, b"hello", PNG), 400, "not_an_image"
    yield "nothing", (*post, b"", PNG), 400, "not_an_image"
    yield "cut off", (*post, image[:-30], PNG), 400, "not_an_image"
    yield "no file in the form", (*post, form_of(None, {"model": "x"}), FORM), 400, "bad_request"
    yield "a broken form", (*post, b"--nonsense", FORM), 400, "bad_request"
    no_boundary = {"Content-Type": "multipart/form-data"}
    yield "a form without boundary", (*post, b"x", no_boundary), 400, "bad_request"
    yield "no such address", ("GET", "/v2/depth", None, {}), 404, "not_found"
    yield "no such result", ("GET", "/v1/results/abc/depth.png", None, {}), 404, "not_found"
    yield "no such model", ("POST", "/v1/depth?model=nanoo", image, PNG), 404, "not_found"
    yield "another method", ("PUT", "/v1/depth", image, PNG), 405, "method_not_allowed"
    yield "another answer", (*post, image, {**PNG, "Accept": "text/csv"}), 406, "not_acceptable"
    yield "too many bytes", (*post, bytes((1 << 20) + 1), PNG), 413, "too_large"
    yield "too many pixels", (*post, large_png(2000, 2000), PNG), 413, "too_large"
    json_type = {"Content-Type": "application/json"}
    yield "another type", (*post, b"{}", json_type), 415, "unsupported_type"
    yield "a GIF", (*post, b"GIF89a" + bytes(40), PNG), 415, "unsupported_type"
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    yield "a HEIC", (*post, heic, PNG), 415, "unsupported_type"
    for query in (
        "fov_deg=200",
        "fov_deg=nan",
        "fov_deg=wide",
        "fov_deg=60&focal_px=500",
        "fov_deg=60&fov_deg=70",
        "colour=red",
        "refine=much",
        "equalise=1",
        "input_size=100.5",
        "known_length_m=2",
        "known_from=1,2&known_to=3,4",
        "known_length_m=2&known_from=1,2&known_to=one",
        "known_length_m=2&known_from=5,5&known_to=5,5",
        "known_length_m=2&known_from=5,5&known_to=5000,5",
    ):
        request = ("POST", f"/v1/depth?{query}", image, PNG)
        yield query, request, 422, "bad_parameter"


def test_every_error_has_its_status_and_one_form(client, grey):
    for name, request, status, code in requests(grey()):
        answer = client.ask(*request)
        assert (answer.status, list(answer.json)) == (status, ["error"]), (name, answer.body)
        assert answer.json["error"]["code"] == code, name
        assert len(answer.json["error"]["message"]) > 10, name
        assert answer.headers["content-type"] == "application/json", name


def test_the_founding_form_has_errors_of_its_own(client, grey):
    for answer, status in (
        (client.post_form("/predict", b"hello"), 400),
        (client.post_form("/predict", grey(), resolution="large"), 422),
        (client.post_form("/predict", grey(), resolution="99999x99999"), 422),
        (client.ask("POST", "/predict", b"{}", {"Content-Type": "application/json"}), 415),
        (client.get("/predict"), 405),
    ):
        assert (answer.status, answer.json["success"]) == (status, False)
        assert answer.json["message"]


def test_a_body_that_lies_about_its_length_ends_where_it_is_too_large(client):
    def chunks():
        for _ in range(40):
            yield bytes(1 << 15)

    answer = client.ask("POST", "/v1/depth", chunks(), {"Content-Type": "image/png"})

    assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")


@pytest.mark.slow
def test_a_body_that_does_not_come_is_given_up_and_gives_its_place_back(client, grey):
    host, port = urlsplit(client.address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as link:
        head = "POST /v1/depth HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        link.sendall(f"{head}Content-Length: 1000\r\n\r\nabc".encode())
        assert link.recv(64).startswith(b"HTTP/1.1 408")

    assert b"mono_depth_queue_taken 0\n" in client.get("/metrics").body
    assert client.post_image("/v1/depth", grey()).status == 200


@pytest.mark.slow
def test_an_image_of_400_million_pixels_is_refused_by_its_header(client):
    before = resident(client)
    bomb = large_png(20_000, 20_000)

    answer = client.post_image("/v1/depth", bomb)

    assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")
    assert "20000x20000" in answer.json["error"]["message"]
    assert resident(client) - before < 50e6  # decoded it would be 1.2 GB


def test_no_path_of_the_server_can_be_named(client, grey):
    for path in TRAVERSALS:
        assert client.get(path).status in (404, 405), path
    for model in ("../nano", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "auto%00"):
        answer = client.post_image(f"/v1/depth?model={model}", grey())
        assert answer.status == 404, model
        assert b"root:" not in answer.body
    body = form_of(grey(), {}, filename="../../../tmp/evil.png")
    assert client.ask("POST", "/v1/depth", body, FORM).status == 200
    second = form_of(grey(), {}).replace(b'name="image"', b'name="registry"')
    assert client.ask("POST", "/v1/depth", second, FORM).status == 400
