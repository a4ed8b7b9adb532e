"""The live page gets the newest, as much of it as it has time for, and nobody waits for it."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web brings fastapi")

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.web.live.live_bytes import (
    depth_npy_mm,
    depth_points_npy,
    image_jpeg,
    points_npy,
    scan_json,
)
from mono_depth.web.live.live_server import LiveServer
from mono_depth.web.live.live_state import LiveState
from web_client import Client, image, npy


def test_bytes_are_made_only_when_asked_for_and_once_for_all():
    state, made = LiveState(), []

    def make(index: int) -> bytes:
        made.append(index)
        return b"%d" % index

    for index in range(5):
        state.put("depth", lambda index=index: make(index), index)
    assert made == []
    newest = state.newest("depth")
    assert (newest.seq, newest.stamp_ns) == (5, 4)
    assert [newest.encoded() for _ in range(3)] == [b"4"] * 3
    assert made == [4]
    assert state.newest("camera") is None


def test_what_is_wanted_is_what_somebody_looks_at():
    state = LiveState()
    assert state.wanted() == frozenset()
    with state.watching(["depth", "nonsense"]), state.watching(["depth", "scan"]):
        assert state.wanted() == {"depth", "scan"}
        assert state.viewers == 2
    assert (state.wanted(), state.viewers) == (frozenset(), 0)
    state.put("scan", lambda: b"", 1)
    state.forget(["scan"])
    assert state.newest("scan") is None


def test_depth_is_small_and_mixes_no_pixels():
    depth_m = np.linspace(0.5, 5.0, 60 * 80, dtype=np.float32).reshape(60, 80)
    depth_m[0, 0], depth_m[59, 79], depth_m[1, 1] = np.nan, np.inf, 70.0

    whole = npy(depth_npy_mm(depth_m, 80))
    small = npy(depth_npy_mm(depth_m, 40))

    assert (whole[0, 0], whole[59, 79], whole[1, 1]) == (0, 65535, 65535)
    assert whole.dtype == np.uint16
    assert small.shape == (30, 40)
    assert set(small.ravel()) <= set(whole.ravel())
    known = (whole > 0) & (whole < 65535)
    np.testing.assert_allclose(whole[known] * 0.001, depth_m[known], atol=0.00051)


def test_images_points_and_scans_fit_a_browser():
    assert image(image_jpeg(np.zeros((600, 800, 3), np.uint8), 200)).shape == (150, 200, 3)
    points = np.random.default_rng(0).uniform(0, 9, (50, 20, 3)).astype(np.float32)
    points[0, 0] = np.nan
    found = npy(points_npy(points, 100))
    assert found.shape[1] == 3
    assert 90 <= len(found) <= 100
    assert npy(points_npy(np.full((3, 3), np.nan, np.float32), 9)).shape == (0, 3)
    ranges_m = np.array([1.5, np.inf, np.nan], np.float32)
    scan = json.loads(scan_json(ranges_m, start_rad=-0.1, step_rad=0.1, most_m=8.0))
    assert scan["ranges_m"] == [1.5, None, None]
    assert scan["clear"] == [1]


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[LiveState, Client]]:
    state = LiveState()
    server = LiveServer(state, title="robot", rate_hz=50.0)
    try:
        yield state, Client(server.address)
    finally:
        server.close()


@contextmanager
def events(client: Client, query: str = "") -> Iterator[io.BufferedReader]:
    """A browser that asks to be told."""
    host, port = urlsplit(client.address).netloc.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as link,
        link.makefile("rb") as ear,
    ):
        head = f"GET /live/events{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        link.sendall(head.encode())
        yield ear


def next_event(reader: io.BufferedReader) -> dict:
    while not (line := reader.readline()).startswith(b"data: "):
        assert line, "the stream ended"
    return json.loads(line[6:])


def wait_until(predicate) -> None:
    for _ in range(500):
        if predicate():
            return
        time.sleep(0.02)
    pytest.fail("it did not become true")


def test_a_browser_is_told_what_is_new_and_fetches_it(live):
    state, client = live
    assert client.get("/live/depth").status == 204
    with events(client, "?channels=depth,scan") as reader:
        assert next_event(reader)["viewers"] == 1
        assert state.wanted() == {"depth", "scan"}
        state.put("depth", lambda: b"first", 7)
        told = next_event(reader)["channels"]["depth"]
        assert (told["seq"], told["stamp_ns"]) == (1, "7")
        answer = client.get("/live/depth")
        assert (answer.body, answer.headers["x-seq"]) == (b"first", "1")
    wait_until(lambda: not state.wanted())


def test_a_browser_that_reads_nothing_holds_nobody_up_and_gets_the_newest_later(live):
    state, client = live
    with events(client, "?channels=camera"):
        wait_until(lambda: "camera" in state.wanted())
        spent_s = []
        for index in range(400):
            start_s = time.perf_counter()
            state.put("camera", lambda: pytest.fail("nobody asked"), index)
            spent_s.append(time.perf_counter() - start_s)
        assert np.median(spent_s) < 1e-3
        with events(client, "?channels=depth") as reader:
            assert next_event(reader)["channels"]["camera"]["seq"] == 400
        state.put("camera", lambda: b"newest", 401)
        assert client.get("/live/camera").body == b"newest"
    wait_until(lambda: not state.wanted())


def test_a_fault_of_one_frame_is_an_error_and_the_next_one_is_shown(live):
    state, client = live

    def broken() -> bytes:
        raise ValueError("no image")

    state.put("camera", broken, 1)
    assert client.get("/live/camera").status == 500
    state.put("camera", lambda: b"good", 2)
    assert client.get("/live/camera").body == b"good"


def test_the_page_is_whole_without_the_charts_and_nothing_else_is_served(live):
    _, client = live
    page = client.get("/")
    assert b"/page/live.js" in page.body
    for path in ("/page/live.js", "/page/top_view.js", "/page/depth_map.js", "/page/style.css"):
        assert client.get(path).status == 200, path
    assert client.get("/live/about").json["title"] == "robot"
    for path in ("/live/secrets", "/page/../live_app.py", "/page/app.js", "/v1/depth"):
        answer = client.get(path)
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found"), path
    assert client.get("/", Host="example.org").status == 403


def test_an_address_of_the_network_needs_a_token():
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached .* a token is needed"):
        LiveServer(LiveState(), host="0.0.0.0")
    server = LiveServer(LiveState(), host="127.0.0.1", token="0123456789abcdef")
    try:
        client = Client(server.address.partition("/?")[0])
        assert client.get("/live/events").status == 401
        assert client.get("/?token=0123456789abcdef").status == 303
    finally:
        server.close()


def test_the_end_of_a_server_lets_all_browsers_go():
    state = LiveState()
    server = LiveServer(state)
    with events(Client(server.address)) as reader:
        next_event(reader)
        ending = threading.Thread(target=server.close)
        ending.start()
        reader.read()  # to its end
        ending.join(10)
        assert not ending.is_alive()


def test_points_of_a_depth_image_are_where_they_are_seen():
    camera = Intrinsics.of_view(40, 30, 60.0)
    depth_m = np.full((30, 40), 2.0, np.float32)
    depth_m[0] = np.nan

    points = npy(depth_points_npy(depth_m, camera, 5000))

    assert len(points) == 29 * 40
    np.testing.assert_allclose(points[:, 0], 2.0)
    assert points[0, 1] > 0 > points[39, 1]  # left of the image is left
    assert points[0, 2] > 0 > points[-1, 2]
    assert len(npy(depth_points_npy(depth_m, camera, 100))) <= 100
