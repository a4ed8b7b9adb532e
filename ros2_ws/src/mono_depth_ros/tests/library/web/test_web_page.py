"""The page as people use it, in a browser that reaches nothing but this machine.

MONO_DEPTH_SCREENSHOTS=FOLDER keeps what it showed.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web brings fastapi")

from mono_depth.config import PipelineConfig
from mono_depth.recordings.open import open_sequence
from mono_depth.web.live.live_bytes import depth_npy_mm, image_jpeg
from mono_depth.web.live.live_server import LiveServer
from mono_depth.web.live.live_state import LiveState
from web_client import glb, image, npy, ply, png_of, running, wait_until_ready

pytestmark = pytest.mark.acceptance

ROOM = "synthetic:room/handheld/1/640x480"
ARGUMENTS = [
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with running(PipelineConfig(model="nano", device="cpu", engine="torch")) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("MONO_DEPTH_SCREENSHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def room(shots: Path) -> Path:
    seen = next(iter(open_sequence(ROOM)))
    file = shots / "room.png"
    file.write_bytes(png_of(seen.rgb))
    return file


def opened(browser: Any, address: str, size: tuple[int, int]) -> tuple[Any, list[str], list[str]]:
    """Return a page, and lists that grow: of all it asks for, and of all that goes wrong."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(WAIT_MS)
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: wrong.append(f"{request.url} {request.failure}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('#model option').length > 0")
    return page, asked, wrong


def found(page: Any, file: Path) -> None:
    page.set_input_files("#file", str(file))
    page.wait_for_function("/ ms, model/.test(document.querySelector('#status').textContent)")


def moved(page: Any, slider: int) -> None:
    page.evaluate(
        "value => { const s = document.querySelector('#slider'); s.value = value; "
        "s.dispatchEvent(new Event('input')); }",
        slider,
    )


def point(page: Any, across: float, down: float) -> tuple[float, float]:
    box = page.locator("#map").bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def test_upload_hover_measure_look_around_and_take_away(browser, server, room, shots):
    page, asked, wrong = opened(browser, server.address, (1280, 900))
    found(page, room)
    moved(page, 500)
    page.mouse.move(*point(page, 0.75, 0.5))
    hover = page.inner_text("#hover")
    assert re.search(r"column \d+, row \d+: [\d.]+ m \(90 %: [\d.]+ to [\d.]+ m\)", hover), hover
    for across in (0.3, 0.7):
        page.mouse.click(*point(page, across, 0.6))
    page.wait_for_function("document.querySelector('#measured').textContent.includes('Distance')")
    page.screenshot(path=str(shots / "measure.png"))
    before = page.inner_text("#measured")

    page.fill("#known-length", "2.5")
    page.locator("#known-length").blur()
    page.wait_for_function(
        "document.querySelector('#statistics').textContent.includes('known_length')"
    )
    page.wait_for_function(
        "document.querySelector('#measured').textContent.startsWith('Distance 2.50 m')"
    )
    assert before != page.inner_text("#measured")

    page.wait_for_selector("#histogram .bars")
    page.wait_for_selector("#cloud canvas")
    page.wait_for_timeout(3000)
    page.screenshot(path=str(shots / "desktop.png"), full_page=True)
    check_downloads(page, server)

    page.select_option("#colormap", "turbo")
    page.check("#equalise")
    moved(page, 1000)
    page.screenshot(path=str(shots / "turbo.png"))
    page.check("#guided")
    page.wait_for_function("/ ms, model/.test(document.querySelector('#status').textContent)")
    page.fill("[name=fov_deg]", "500")
    page.locator("[name=fov_deg]").blur()
    page.wait_for_function("document.querySelector('#status').textContent.includes('fov_deg')")
    assert page.locator("#status.bad").count() == 1

    foreign = [url for url in asked if not url.startswith((server.address, "blob:", "data:"))]
    assert foreign == []
    assert [line for line in wrong if "422" not in line] == []
    page.close()


def check_downloads(page: Any, server: Any) -> None:
    """Follow each link as a click would, and hold what comes against depth.npy."""
    links = page.eval_on_selector_all(
        "#downloads a", "all => all.map(a => [a.dataset.file, a.getAttribute('href'), a.download])"
    )
    names = {name for name, _, _ in links}
    assert {"depth.png", "depth.json", "depth.npy", "depth.tiff", "depth.exr"} <= names
    assert {"cloud.ply", "cloud.glb", "color.png"} <= names
    assert all(download == f"room_{name}" for name, _, download in links)
    with page.expect_download() as waiting:
        page.click("#downloads a[data-file='depth.png']")
    depth_mm = image(Path(waiting.value.path()).read_bytes())
    files = {name: server.get(href).body for name, href, _ in links}
    depth_m = npy(files["depth.npy"])
    known = np.isfinite(depth_m) & (depth_m < 65.0)
    assert abs(depth_mm * 0.001 - depth_m)[known].max() <= 0.001
    np.testing.assert_array_equal(image(files["depth.tiff"]), depth_m)
    assert json.loads(files["depth.json"])["scale"]["source"] == "known_length"
    points = ply(files["cloud.ply"])["xyz"]
    np.testing.assert_allclose(glb(files["cloud.glb"]) * [1, -1, -1], points, atol=1e-3)
    assert len(points) > 0.8 * known.sum()
    assert image(files["color.png"]).shape == (480, 640, 3)


def test_it_is_whole_at_the_width_of_a_phone(browser, server, room, shots):
    page, _, wrong = opened(browser, server.address, (390, 844))
    found(page, room)
    moved(page, 1000)
    for across in (0.3, 0.7):
        page.mouse.click(*point(page, across, 0.6))
    page.wait_for_function("document.querySelector('#measured').textContent.includes('Distance')")
    page.wait_for_selector("#cloud canvas")
    page.wait_for_timeout(3000)
    page.screenshot(path=str(shots / "phone_top.png"))
    page.screenshot(path=str(shots / "phone.png"), full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    assert wrong == []
    page.close()


@pytest.fixture(scope="module")
def drive(shots: Path) -> Path:
    """Four frames of a drive, as a video."""
    file = shots / "drive.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for _, seen in zip(range(4), open_sequence("synthetic:room/robot/1/160x120"), strict=False):
        writer.write(cv2.cvtColor(seen.rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    return file


def test_a_video_is_sent_watched_and_taken_away(browser, server, drive, shots):
    page, asked, wrong = opened(browser, server.address, (1280, 900))
    page.check("#kinds input[value=png]")
    page.check("#kinds input[value=mp4]")
    page.set_input_files("#file", str(drive))
    page.wait_for_selector("#job-files a[data-file='results.zip']")
    page.screenshot(path=str(shots / "job.png"), full_page=True)
    assert page.inner_text("#job-account") == "found 4, done 4, failed 0, skipped 0"
    assert page.locator("#job-video").is_visible()
    with page.expect_download() as waiting:
        page.click("#job-files a[data-file='results.zip']")
    assert waiting.value.suggested_filename == "drive_depth.zip"
    archive = zipfile.ZipFile(waiting.value.path())
    assert archive.testzip() is None
    assert {"account.json", "color.mp4", "depth/000003.png"} <= set(archive.namelist())
    page.reload()
    page.wait_for_selector("#job-files a[data-file='results.zip']")  # it is still there
    address = page.evaluate("JSON.parse(sessionStorage.getItem('mono-depth job')).address")
    page.click("#job-end")
    page.wait_for_function("document.querySelector('#job').hidden")
    assert server.get(address).status == 404
    assert [url for url in asked if not url.startswith((server.address, "blob:", "data:"))] == []
    assert wrong == []
    page.close()


def test_what_runs_is_shown_live_and_said_to_be_old_when_it_stops(browser, room, shots):
    rgb = cv2.cvtColor(cv2.imread(str(room)), cv2.COLOR_BGR2RGB)
    depth_m = np.linspace(1.0, 4.0, rgb[..., 0].size, dtype=np.float32).reshape(rgb.shape[:2])
    state, stop = LiveState(), threading.Event()

    def feed() -> None:
        index = 0
        while not stop.wait(0.2):
            index += 1
            state.put("camera", lambda: image_jpeg(rgb, 480), index)
            state.put("depth", lambda: depth_npy_mm(depth_m, 480), index)

    feeding = threading.Thread(target=feed)
    live = LiveServer(state, title="robot")
    feeding.start()
    try:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(WAIT_MS)
        page.goto(live.address)
        page.wait_for_function("document.querySelector('#depth').width === 320")
        page.hover("#depth")
        assert re.fullmatch(r"2\.[45]\d m", page.inner_text("#hover"))
        assert "Live. 1 looking." in page.inner_text("#status")
        page.screenshot(path=str(shots / "live_phone.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        stop.set()
        page.wait_for_function("document.querySelector('#status').textContent.includes('old')")
        assert page.locator("body.old").count() == 1
        page.close()
    finally:
        stop.set()
        feeding.join()
        live.close()


def test_the_documents_of_the_interface_are_shown_offline(browser, server, shots):
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(f"{server.address}/docs")
    page.wait_for_selector(".operation")
    page.locator(".operation summary").first.click()
    page.screenshot(path=str(shots / "docs.png"))
    assert "/v1/depth" in page.inner_text("#operations")
    page.close()


def test_an_upright_photo_stays_upright(server):
    """A JPEG that says it lies on its side is turned, and its depth with it."""
    pil = pytest.importorskip("PIL.Image", reason="Pillow writes the EXIF data")
    lying = pil.fromarray(np.zeros((40, 80, 3), np.uint8))
    exif = lying.getexif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    lying.save(stored, "JPEG", exif=exif)
    answer = server.ask("POST", "/v1/depth", stored.getvalue(), {"Content-Type": "image/jpeg"}).json
    assert (answer["width"], answer["height"]) == (40, 80)
    shown = server.get(answer["files"]["image.jpg"]).body
    assert cv2.imdecode(np.frombuffer(shown, np.uint8), 1).shape == (80, 40, 3)
