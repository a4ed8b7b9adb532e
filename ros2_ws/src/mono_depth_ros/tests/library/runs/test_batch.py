"""Many inputs: a bad one is named, a dead worker is replaced, a kill changes no byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

import dying_workers
from dying_workers import DeadlyItems
from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.recordings.frames.open import OpenOptions
from mono_depth.runs.batch.batch import batch
from mono_depth.runs.batch.items import find_items
from mono_depth.runs.batch.job_table import Job, JobTable, State
from mono_depth.runs.batch.local_crew import LocalCrew
from mono_depth.runs.batch.worker import BatchJob, Outcome, Worker
from mono_depth.runs.options import RunOptions

SETTINGS = {"of": "a test"}


class CrewOfOne:
    """Workers of this very process, so that a test need not start others."""

    def __init__(self, job: BatchJob, kind: type = Worker) -> None:
        self._make = lambda: kind(job)
        self._members: dict[int, object] = {}
        self._ready: list[tuple[int, Outcome]] = []
        self.hired = 0

    def hire(self) -> int:
        self.hired += 1
        self._members[self.hired] = self._make()
        return self.hired

    def give(self, worker: int, item) -> None:
        self._ready.append((worker, self._members[worker].work(item)))

    def wait(self) -> tuple[int, Outcome]:
        return self._ready.pop(0)

    def dismiss(self) -> None:
        self._members.clear()


class DiesOnDeadlyItems(Worker):
    """Seems to die with each item of that name, and once with others."""

    seen: ClassVar[set[str]] = set()

    def work(self, item) -> Outcome:
        is_first = item.name not in self.seen
        self.seen.add(item.name)
        if "deadly" in item.name or ("once" in item.name and is_first):
            return Outcome(reason="the worker was ended by SIGKILL", has_died=True)
        return super().work(item)


def job_for(tiny_models: Path, out: Path, **options) -> BatchJob:
    config = PipelineConfig(
        model="tiny_metric",
        registry=str(tiny_models),
        engine="onnxruntime",
        precision="fp32",
        threads=1,
        device="cpu",
    )
    return BatchJob(
        out=str(out),
        config=config,
        open_options=OpenOptions(),
        video_options=RunOptions(outputs=("npy",)),
        photo_options=RunOptions(outputs=("npy", "mp4")),
        **options,
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two folders of photos, a video, a broken video, and a file that is no input."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("garden", "house"):
        (folder / name).mkdir()
        for index in range(2):
            cv2.imwrite(str(folder / name / f"{index}.png"), _picture(60 + 30 * index))
    (folder / "house" / "1.png").write_bytes(b"broken")
    video = cv2.VideoWriter(
        str(folder / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24)
    )
    for index in range(3):
        video.write(_picture(60 + 20 * index))
    video.release()
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not an input")
    return folder


def _picture(grey: int) -> np.ndarray:
    rows, columns = np.mgrid[:24, :32]
    return np.repeat((grey + 20 * ((rows // 4 + columns // 4) % 2))[..., None], 3, 2).astype("u1")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "jobs.jsonl"
    }


def test_items_are_whole_videos_and_folders(sources, tmp_path):
    found = find_items([str(sources)], tmp_path)

    root = sources.name
    assert [item.name for item in found.items] == [
        f"{root}__{name}" for name in ("broken.mp4", "drive.avi", "garden", "house")
    ]
    assert list(found.skipped.values()) == ["neither an image, nor a video, nor a bag"]
    with pytest.raises(ConfigError, match="no image, video or bag in"):
        find_items([str(sources / "notes.txt")], tmp_path)


def test_two_inputs_of_one_name_get_folders_of_their_own(sources, tmp_path):
    twice = [str(sources / "garden"), str(sources / "garden")]

    assert [item.name for item in find_items(twice, tmp_path).items] == ["garden", "garden_2"]


@pytest.mark.slow
def test_a_bad_item_is_named_and_never_stops_the_rest(sources, tiny_models, tmp_path):
    job = job_for(tiny_models, tmp_path)
    found = find_items([str(sources)], tmp_path)

    account = batch(found, job, SETTINGS, lambda: CrewOfOne(job), workers=1)

    root = sources.name
    assert account.text().startswith("found 5 items = done 3 + failed 1 + skipped 1")
    assert "is not a video that OpenCV can read" in account.failed[f"{root}__broken.mp4"]
    assert account.notes == [f"{root}__house: 1 frames failed"]
    assert len(list((tmp_path / f"{root}__drive.avi" / "npy").iterdir())) == 3
    again = batch(found, job, SETTINGS, lambda: pytest.fail("nothing is left"), workers=1)
    assert (again.done, again.reused, again.failed) == (3, 3, account.failed)


def test_a_worker_that_dies_is_replaced_and_the_item_tried_once_more(tiny_models, tmp_path):
    sources = tmp_path / "in"
    for name in ("a_deadly", "b_once", "c_well"):
        (sources / name).mkdir(parents=True)
        cv2.imwrite(str(sources / name / "0.png"), _picture(60))
    job = job_for(tiny_models, tmp_path / "out")
    crew = CrewOfOne(job, DiesOnDeadlyItems)

    account = batch(
        find_items([str(sources)], tmp_path / "out"), job, SETTINGS, lambda: crew, workers=1
    )

    assert account.done == 2
    assert account.failed == {"in__a_deadly": "the worker was ended by SIGKILL, 2 times"}
    assert crew.hired == 4


def test_other_settings_do_not_go_on_with_a_batch(sources, tiny_models, tmp_path):
    job = job_for(tiny_models, tmp_path)
    found = find_items([str(sources / "garden")], tmp_path)
    batch(found, job, SETTINGS, lambda: CrewOfOne(job), workers=1)

    with pytest.raises(ConfigError, match='of: "a test", now "another"'):
        batch(found, job, {"of": "another"}, lambda: CrewOfOne(job), workers=1)


def test_a_line_of_the_table_that_a_kill_cut_off_does_not_count(tmp_path):
    file = tmp_path / "jobs.jsonl"
    table = JobTable(file)
    table.set("a", Job(state=State.DONE, account={"found": 1}))
    table.set("b", Job(state=State.RUNNING))
    file.write_text(file.read_text()[:-9])

    read = JobTable(file)

    assert read["a"] == Job(state=State.DONE, account={"found": 1})
    assert read["b"].state is State.WAITING
    read.set("b", Job(state=State.FAILED, reason="worn out"))
    assert JobTable(file)["b"].reason == "worn out"


@pytest.mark.acceptance
def test_processes_that_are_killed_are_replaced(tiny_models, tmp_path):
    sources = tmp_path / "in"
    for name in ("a_deadly", "b", "c"):
        (sources / name).mkdir(parents=True)
        cv2.imwrite(str(sources / name / "0.png"), _picture(60))
    job = job_for(tiny_models, tmp_path / "out")
    found = find_items([str(sources)], tmp_path / "out")

    account = batch(found, job, SETTINGS, lambda: LocalCrew(job, DeadlyItems), workers=2)

    assert account.done == 2
    assert "ended by SIGKILL, perhaps for lack of memory" in account.failed["in__a_deadly"]


@pytest.mark.acceptance
def test_ray_has_the_same_faults_and_the_same_account(tiny_models, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the package ray starts the actors")
    helpers = str(Path(dying_workers.__file__).parent)  # the actors, too, must find it
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from mono_depth.runs.batch.ray_crew import RayCrew

    sources = tmp_path / "in"
    for name in ("a_deadly", "b", "c"):
        (sources / name).mkdir(parents=True)
        cv2.imwrite(str(sources / name / "0.png"), _picture(60))
    (sources / "c" / "1.png").write_bytes(b"broken")
    job = job_for(tiny_models, tmp_path / "out")
    found = find_items([str(sources)], tmp_path / "out")

    account = batch(found, job, SETTINGS, lambda: RayCrew(job, DeadlyItems), workers=1)

    assert account.done == 2
    assert "the worker died" in account.failed["in__a_deadly"]
    assert account.notes == ["in__c: 1 frames failed"]


@pytest.mark.acceptance
def test_a_batch_that_is_killed_ends_as_if_nothing_had_happened(tiny_models, tmp_path):
    command = [sys.executable, "-m", "mono_depth.commands.main", "batch"]
    inputs = [f"synthetic:room/robot/{seed}/64x48" for seed in (1, 2)]
    options = ["--model", "tiny_metric", "--registry", str(tiny_models), "--threads", "1"]
    options += ["--frames", "12", "--save", "png,npy,mcap", "--workers", "2"]

    def start(out: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, *inputs, str(tmp_path / out), *options])

    assert start("at_once").wait() == 0
    killed = start("killed")
    while len(list((tmp_path / "killed").rglob("depth/*.json"))) < 3:
        assert killed.poll() is None
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    time.sleep(1.5)  # its workers see that it is gone
    assert not (tmp_path / "killed" / "account.json").exists()
    assert start("killed").wait() == 0

    shutil.rmtree(tmp_path / "killed" / ".partial", ignore_errors=True)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "at_once")
