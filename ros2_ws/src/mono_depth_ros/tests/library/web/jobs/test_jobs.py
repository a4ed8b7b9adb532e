"""A video is sent, its state asked for, its results taken; and all that may go wrong meanwhile."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from web_client import FORM, Client, form_of, npy, png_of

pytestmark = pytest.mark.slow

TYPE = {"Content-Type": "application/octet-stream"}
ENDED = ("done", "failed")


def sent(client: Client, body: bytes, query: str = "") -> str:
    answer = client.ask("POST", f"/v1/jobs?{query}", body, TYPE)
    assert answer.status == 202, answer.body
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    return answer.headers["location"]


def ended(client: Client, job: str) -> dict[str, Any]:
    for _ in range(3000):
        state = client.get(job).json
        if state["state"] in ENDED:
            return state
        time.sleep(0.1)
    pytest.fail(f"the job does not end: {state}")


def folder_as_zip(files: dict[str, bytes]) -> bytes:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stored.getvalue()


def test_a_video_becomes_the_files_that_run_writes(client, video):
    job = sent(client, video, "save=npy,mp4&every=2&fov_deg=70")

    state = ended(client, job)

    assert (state["state"], state["reason"]) == ("done", "")
    counts = {"found": 3, "done": 3, "failed": 0, "skipped": 0, "without_metres": 0}
    assert state["account"] == counts
    assert state["progress"]["share"] == 1.0
    assert 3500 < state["expires_in_s"] <= 3600
    names = [row["name"] for row in client.get(f"{job}/files").json["files"]]
    assert names[:2] == ["account.json", "run.json"]
    assert {"npy/000000.npy", "npy/000004.npy", "depth/000002.json", "color.mp4"} <= set(names)
    depth_m = npy(client.get(f"{job}/files/npy/000000.npy").body)
    assert depth_m.shape == (24, 32)
    assert np.median(depth_m) == pytest.approx(70 / 25, abs=0.3)
    zipped = zipfile.ZipFile(io.BytesIO(client.get(state["links"]["zip"]).body))
    assert zipped.testzip() is None
    assert sorted(zipped.namelist()) == sorted(names)
    np.testing.assert_array_equal(npy(zipped.read("npy/000000.npy")), depth_m)
    about = json.loads(zipped.read("depth/000000.json"))
    assert about["intrinsics"]["fx"] == pytest.approx(16 / np.tan(np.radians(35)), rel=0.05)
    assert client.ask("DELETE", job).status == 204
    assert client.get(job).status == 404


def test_a_folder_of_photographs_has_an_account_and_names_no_path_of_the_server(
    client, jobs_folder
):
    rows, columns = np.mgrid[:24, :32]  # an image of one grey says nothing
    stripes = 80 + 20 * ((rows // 4 + columns // 4) % 2)
    good = png_of(np.repeat(stripes[..., None], 3, 2).astype(np.uint8))
    archive = folder_as_zip(
        {
            "garden/0.png": good,
            "garden/1.png": b"broken",
            "garden/depth/0.png": good,
            "__MACOSX/garden/._0.png": good,
            "garden/notes.txt": b"x",
        }
    )
    body = form_of(archive, {"save": "png"}, "../../etc/x.zip").replace(
        b'name="image"', b'name="file"'
    )
    answer = client.ask("POST", "/v1/jobs", body, FORM)
    assert answer.status == 202, answer.body
    job = answer.headers["location"]

    state = ended(client, job)

    assert state["state"] == "done"
    assert (state["account"]["done"], state["account"]["failed"]) == (1, 1)
    assert "1.png" in state["failed"]["1"]
    everything = [client.get(job).body, client.get(state["links"]["zip"]).body]
    assert not [text for text in everything if str(jobs_folder).encode() in text]
    png = client.get(f"{job}/files/depth/0.png").body
    depth_mm = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.median(depth_mm) == pytest.approx(90 / 25 * 1000, abs=10)


def test_what_cannot_be_read_fails_and_says_why(client, jobs_folder):
    nothing = b"RIFF\0\0\0\0AVI " + bytes(1000)

    state = ended(client, sent(client, nothing))

    assert state["state"] == "failed"
    assert state["reason"].startswith("upload.avi is not a video that OpenCV can read")
    assert str(jobs_folder) not in state["reason"]


def refusals(video: bytes):
    yield "text", "/v1/jobs", b"hello", 415, "unsupported_type"
    yield (
        "a list of other files",
        "/v1/jobs",
        b"#EXTM3U\nfile:///etc/passwd\n" * 90,
        415,
        ("unsupported_type"),
    )
    yield "an image", "/v1/jobs", png_of(np.zeros((9, 9, 3), np.uint8)), 415, "unsupported_type"
    yield "too large", "/v1/jobs", bytes((4 << 20) + 1), 413, "too_large"
    yield "no such model", "/v1/jobs?model=../x", video, 404, "not_found"
    for query in ("save=exe", "every=0", "source=/etc", "out=/tmp", "kind=live", "beside=1"):
        yield query, f"/v1/jobs?{query}", video, 422, "bad_parameter"


def test_what_is_refused_takes_no_place(client, video):
    for name, path, body, status, code in refusals(video):
        answer = client.ask("POST", path, body, TYPE)
        assert (answer.status, answer.json["error"]["code"]) == (status, code), name
    for body in (b"--nonsense", form_of(video, {}), form_of(None, {"every": "2"})):
        answer = client.ask("POST", "/v1/jobs", body, FORM)
        assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request"), body[:80]
    state = ended(client, sent(client, video, "frames=1&save=png"))
    assert state["account"]["found"] == 1


def test_no_file_but_those_of_the_results_can_be_named(client, video):
    job = sent(client, video, "frames=1&save=png")
    ended(client, job)
    for name in (
        "../upload.avi",
        "..%2fupload.avi",
        "%2e%2e/%2e%2e/lock",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "depth/../../upload.avi",
        ".lock",
        "",
    ):
        assert client.get(f"{job}/files/{name}").status == 404, name
    for other in (
        "/v1/jobs/abc",
        "/v1/jobs/..%2f..",
        "/v1/jobs/abc/results.zip",
        "/v1/jobs/a/files",
    ):
        assert client.get(other).status == 404, other
    assert Path("/etc/passwd").read_bytes()[:20] not in client.get(f"{job}/files").body


def test_the_queue_is_bounded_and_jobs_can_be_ended(client, long_video, jobs_folder):
    """The last of this file: what is ended takes the warm process along."""
    before = len(folders(jobs_folder))
    first = sent(client, long_video, "save=png")
    for _ in range(3000):
        state = client.get(first).json
        if state["progress"]["frames"]:
            break
        time.sleep(0.02)
    assert (state["state"], state["progress"]["expected"]) == ("running", 400)
    assert 0.0 < state["progress"]["share"] < 1.0
    second = sent(client, long_video)
    assert client.get(second).json["jobs_before"] == 1
    early = client.get(f"{second}/results.zip")
    assert (early.status, early.json["error"]["code"]) == (409, "not_ended")

    third = client.ask("POST", "/v1/jobs", long_video, TYPE)

    assert (third.status, third.json["error"]["code"]) == (429, "queue_full")
    assert int(third.headers["retry-after"]) > 0
    for job in (second, first):
        assert client.ask("DELETE", job).status == 204
        assert client.get(job).status == 404
    for _ in range(1000):
        if len(folders(jobs_folder)) == before:
            break
        time.sleep(0.02)
    assert len(folders(jobs_folder)) == before


def folders(jobs_folder: Path) -> list[Path]:
    return [item for item in jobs_folder.glob("*/*") if item.is_dir()]
