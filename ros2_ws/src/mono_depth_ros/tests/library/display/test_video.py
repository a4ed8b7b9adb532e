from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from mono_depth.display.video import VideoWriter
from mono_depth.errors import MonoDepthError


def written_video(path, size=(64, 48)):
    width, height = size
    with VideoWriter(path, rate_hz=10.0) as video:
        for red in (0, 120, 240):
            rgb = np.zeros((height, width, 3), np.uint8)
            rgb[..., 0] = red
            video.add(rgb)
        return video.codec


def frames(path):
    capture = cv2.VideoCapture(str(path))
    read = []
    while True:
        ok, bgr = capture.read()
        if not ok:
            return read, capture.get(cv2.CAP_PROP_FPS)
        read.append(bgr)


def check(path):
    read, rate_hz = frames(path)
    assert rate_hz == pytest.approx(10.0)
    assert [image.shape for image in read] == [(48, 64, 3)] * 3
    assert [image[20, 20, 2] for image in read] == pytest.approx([0, 120, 240], abs=8)
    assert read[2][20, 20, 0] < 12


def test_h264_keeps_size_rate_and_colors(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    assert written_video(tmp_path / "film.mp4") == "h264"
    check(tmp_path / "film.mp4")


def test_without_imageio_ffmpeg_opencv_writes_the_video_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert written_video(tmp_path / "film.mp4") == "mp4v"
    check(tmp_path / "film.mp4")
    assert "pip install imageio-ffmpeg" in caplog.text


def test_an_odd_size_loses_its_last_row_and_column(tmp_path):
    written_video(tmp_path / "film.mp4", size=(65, 49))
    read, _ = frames(tmp_path / "film.mp4")
    assert read[0].shape == (48, 64, 3)


def test_images_of_two_sizes_are_refused(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", rate_hz=10.0) as video:
        video.add(np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(MonoDepthError, match=r"image of \(32, 48\) pixels in a video of \(64"):
            video.add(np.zeros((48, 32, 3), np.uint8))
