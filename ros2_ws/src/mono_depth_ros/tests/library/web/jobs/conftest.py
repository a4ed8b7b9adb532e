"""One server for the tests of jobs, and something to send it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from mono_depth.config import PipelineConfig
from mono_depth.web.jobs.job_limits import JobLimits
from web_client import Client, running, wait_until_ready


@pytest.fixture(scope="module")
def jobs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def client(tiny_models: Path, jobs_folder: Path) -> Iterator[Client]:
    """A server whose network says mean(R, G, B) / 25 metres."""
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")
    limits = JobLimits(folder=str(jobs_folder), waiting=1, upload_bytes=4 << 20, reserve_bytes=0)
    with running(config, jobs=limits) as client:
        wait_until_ready(client)
        yield client
    assert list(jobs_folder.iterdir()) == []  # nothing is left when a server ends


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Six frames of 32x24 pixels."""
    return video_of(tmp_path_factory.mktemp("video") / "drive.avi", 6)


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """400 frames."""
    return video_of(tmp_path_factory.mktemp("video") / "long.avi", 400)


def video_of(file: Path, frames: int) -> bytes:
    """Return a video of stripes that become brighter."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24))
    rows, columns = np.mgrid[:24, :32]
    stripes = 20 * ((rows // 4 + columns // 4) % 2)
    for index in range(frames):
        grey = 60 + 20 * (index % 6) + stripes
        writer.write(np.repeat(grey[..., None], 3, 2).astype(np.uint8))
    writer.release()
    return file.read_bytes()
