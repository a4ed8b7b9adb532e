"""The files of a finished recording."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.data import RgbImage
from mono_depth.display.video import VideoWriter
from mono_depth.outputs.files.cloud_files import cloud_ply
from mono_depth_ros.recorder.recording import Moment, Recording
from mono_depth_ros.recorder.video import VideoComposer, cloud_points


def write_results(recording: Recording, folder: Path, *, colormap: str = "inferno") -> list[Path]:
    """Write summary.json and, where there was depth, video.mp4, best.png and cloud.ply.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
    """
    summary = folder / "summary.json"
    summary.write_text(json.dumps(recording.summary(), indent=2) + "\n")
    moments = recording.complete_moments()
    if not moments:
        return [summary]
    with_cloud = [moment for moment in moments if moment.cloud is not None]
    if len(with_cloud) > len(moments) // 2:  # a video keeps one size; a cloud may be lost
        moments = with_cloud
    best = moments[len(moments) // 2]
    files = [summary, folder / "film.mp4", folder / "best.png"]
    image = _write_video(recording, moments, best, files[1], colormap)
    cv2.imwrite(str(files[2]), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if best.cloud is not None:
        files.append(folder / "cloud.ply")
        files[-1].write_bytes(cloud_ply(*cloud_points(best.cloud)))
    return files


def _write_video(
    recording: Recording, moments: list[Moment], best: Moment, path: Path, colormap: str
) -> RgbImage:
    span_s = (moments[-1].stamp_ns - moments[0].stamp_ns) * 1e-9
    rate_hz = float(np.clip((len(moments) - 1) / span_s if span_s else 1.0, 1.0, 60.0))
    latency_ms = dict(
        zip(
            recording.channels["depth"].stamps_ns,
            recording.channels["depth"].latencies_ms,
            strict=True,
        )
    )
    facts, composer = recording.facts, VideoComposer(colormap)
    title = f"{facts.get('model', '?')} on {facts.get('device', '?')}"
    chosen: RgbImage | None = None
    with VideoWriter(path, rate_hz) as video:
        for moment in tqdm(moments, desc="  video", unit="frame", leave=False, disable=None):
            elapsed_s = (moment.stamp_ns - moments[0].stamp_ns) * 1e-9
            late_ms = latency_ms[moment.stamp_ns]
            caption = f"{title}   {rate_hz:.1f} Hz   {late_ms:.0f} ms   t = {elapsed_s:.1f} s"
            image = composer.compose(moment, caption)
            video.add(image)
            chosen = image if moment is best else chosen
    if chosen is None:
        raise ValueError("the best moment is not part of the video")
    return chosen
