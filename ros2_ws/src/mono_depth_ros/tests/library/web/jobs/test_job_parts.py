"""Parts of the jobs that need no server."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra web brings fastapi")

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.web.api_error import ApiError
from mono_depth.web.jobs.content import known_ending
from mono_depth.web.jobs.job import Job, JobState
from mono_depth.web.jobs.job_limits import JobLimits
from mono_depth.web.jobs.job_request import JobRequest
from mono_depth.web.jobs.job_store import JobStore
from mono_depth.web.jobs.unpack import unpack
from mono_depth.web.jobs.zip_stream import zip_stream
from mono_depth.web.limits import ServerLimits
from mono_depth.web.server import serve

PNG = b"\x89PNG\r\n\x1a\n"
MP4 = b"\0\0\0\x18ftypisom" + bytes(500)


def zipped(folder: Path, *files: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    archive = folder / "upload.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files:
            opened.writestr(name, content)
    return archive


def unpacked(archive: Path, most_files: int = 9, most_bytes: int = 1 << 20) -> Path | None:
    return unpack(
        archive,
        archive.parent / "unpacked",
        most_files=most_files,
        most_bytes=most_bytes,
        go_on=lambda _: True,
    )


def link(name: str) -> zipfile.ZipInfo:
    about = zipfile.ZipInfo(name)
    about.external_attr = 0o120777 << 16
    return about


def test_a_zip_is_one_folder_of_images_a_video_or_a_bag(tmp_path):
    cases = (
        ([("0.png", PNG), ("notes.txt", b"x")], "unpacked"),
        ([("walk/rgb/1.1.png", PNG), ("walk/depth/1.1.png", PNG), ("walk/rgb.txt", b"x")], "rgb"),
        ([("drive.MP4", MP4)], "drive.MP4"),
        ([("bag/bag_0.mcap", b"\x89MCAP0\r\n"), ("bag/metadata.yaml", b"files: /etc")], "bag"),
    )
    for index, (files, name) in enumerate(cases):
        folder = tmp_path / str(index)
        folder.mkdir()
        found = unpacked(zipped(folder, *files))
        assert found is not None
        assert found.name == name
        assert not [file for file in folder.rglob("*") if file.suffix in (".txt", ".yaml")]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("../0.png", PNG)], "outside of its folder"),
        ([("/etc/0.png", PNG)], "outside of its folder"),
        ([("a\\..\\..\\0.png", PNG)], "outside of its folder"),
        ([("C:/0.png", PNG)], "outside of its folder"),
        ([(link("0.png"), b"/etc/passwd")], "is a link or a device"),
        ([("a/0.png", PNG), ("b/0.png", PNG)], "holds 2 inputs"),
        ([("0.png", PNG), ("drive.mp4", MP4)], "holds 2 inputs"),
        ([("drive.mp4", b"#EXTM3U\nfile:///etc/passwd")], "is not what its name says"),
        ([("a.mcap", MP4)], "is not what its name says"),
        ([("notes.txt", b"x")], "no image, video or bag"),
        ([("0.png", bytes(2 << 20))], "more than 1048576 bytes"),
        ([(f"{i}.png", PNG) for i in range(10)], "more than 9 files"),
        ([("0.png", PNG), ("0.png/1.png", PNG)], "have one name"),
        ([("x/" * 9 + "0.png", PNG)], "is too long"),
    ],
)
def test_a_zip_writes_nothing_beside_its_folder(tmp_path, files, reason):
    with pytest.raises(ConfigError, match=reason):
        unpacked(zipped(tmp_path, *files))

    assert {item.name for item in tmp_path.iterdir()} <= {"upload.zip", "unpacked"}


def test_a_damaged_zip_is_an_error_with_a_reason(tmp_path):
    archive = zipped(tmp_path, ("0.png", PNG * 500))
    whole = archive.read_bytes()
    cases = ((whole[:-30], "cut off"), (whole.replace(PNG[:3], b"abc", 1), "damaged|no image"))
    flipped = bytearray(whole)
    flipped[45] ^= 0xFF
    for index, (content, reason) in enumerate((*cases[:1], (bytes(flipped), "damaged"))):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "upload.zip").write_bytes(content)
        with pytest.raises(ConfigError, match=reason):
            unpacked(folder / "upload.zip")


def test_unpacking_can_be_ended(tmp_path):
    archive = zipped(tmp_path, ("0.png", PNG), ("1.png", PNG))

    ended = unpack(
        archive, tmp_path / "out", most_files=9, most_bytes=999, go_on=lambda size: size < 9
    )

    assert ended is None


def test_the_content_decides_what_a_file_is():
    assert known_ending(MP4) == ".mp4"
    assert known_ending(b"\x1a\x45\xdf\xa3" + bytes(20)) == ".mkv"
    assert known_ending((b"\x47" + bytes(187)) * 3) == ".ts"
    for other in (b"", b"#EXTM3U", b"ffconcat version 1.0", b"\0\0\0\x18ftypheic", PNG, b"v=0\r\n"):
        assert known_ending(other.ljust(512, b"\n")) == "", other


@pytest.fixture
def store(tmp_path):
    made = JobStore(
        JobLimits(folder=str(tmp_path), disk_bytes=1000, reserve_bytes=0, waiting=9, kept=3)
    )
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def finished(store: JobStore, nbytes: int) -> Job:
    job = store.add(JobRequest())
    store.set_size(job, nbytes)
    store.ended(job, JobState.DONE, "", 1.0)
    return job


def is_there(store: JobStore, job: Job) -> bool:
    try:
        return store.get(job.name) is job
    except ApiError:
        assert not job.folder.exists()
        return False


def test_old_results_go_where_room_is_needed_and_never_those_that_are_read(store):
    first, second = finished(store, 400), finished(store, 300)
    with store.reading(first):
        third = finished(store, 400)
        assert [is_there(store, job) for job in (first, second, third)] == [True, False, True]
    running = store.add(JobRequest())
    with pytest.raises(ApiError, match="more than 500 bytes"):
        store.set_size(running, 501)
    store.set_size(running, 500)
    assert [is_there(store, job) for job in (first, third)] == [False, True]
    store.set_size(store.add(JobRequest()), 499)
    with pytest.raises(ApiError, match="the disk is full"):
        store.set_size(store.add(JobRequest()), 2)


def test_only_so_many_are_kept_and_for_so_long(store, monkeypatch):
    jobs = [finished(store, 1) for _ in range(4)]
    assert [is_there(store, job) for job in jobs] == [False, True, True, True]
    later_s = time.monotonic() + 3601.0
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert not any(is_there(store, job) for job in jobs)


def test_what_a_killed_server_left_is_removed_and_what_another_has_stays(store, tmp_path):
    orphan = tmp_path / "mono-depth-jobs-orphan"
    orphan.mkdir()
    (orphan / "upload").write_bytes(b"x")
    job = store.add(JobRequest())

    other = JobStore(JobLimits(folder=str(tmp_path)))

    assert not orphan.exists()
    assert job.folder.is_dir()
    other.close()
    with pytest.raises(ConfigError, match="no folder for jobs"):
        JobStore(JobLimits(folder=str(tmp_path / "absent")))


def test_a_server_without_a_folder_for_jobs_says_so_before_it_listens(tmp_path):
    limits = ServerLimits(jobs=JobLimits(folder=str(tmp_path / "absent")))
    with pytest.raises(ConfigError, match=r"no folder for jobs in .*absent: No such file"):
        serve(PipelineConfig(model="nano"), limits)


def test_a_zip_of_results_is_made_while_it_is_sent(tmp_path):
    (tmp_path / "large.npy").write_bytes(os.urandom(1 << 20))
    (tmp_path / "small.json").write_bytes(b"{}")
    files = {"depth/large.npy": tmp_path / "large.npy", "small.json": tmp_path / "small.json"}

    parts = list(zip_stream(files))

    assert len(parts) > 3
    assert max(map(len, parts)) < 1 << 19
    archive = zipfile.ZipFile(io.BytesIO(b"".join(parts)))
    assert archive.testzip() is None
    for name, file in files.items():
        assert archive.read(name) == file.read_bytes()
    assert b"".join(zip_stream(files)) == b"".join(parts)
