"""A camera of 60 Hz before a network of 200 ms: frames are dropped and counted, never get old."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mono_depth_ros.bench.main import FRESHNESS_RATE_HZ, freshness_complaints
from mono_depth_ros.bench.run import NodeRun, measure, ros_arguments

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.alone]

INFERENCE_S = 0.2
# The 99th percentile of eight seconds is the oldest frame: on a machine that has much else to do,
# one that waits for a processor is enough.
ATTEMPTS = 3
SECONDS = float(os.environ.get("MONO_DEPTH_FRESHNESS_S", "8"))


def test_a_slow_network_behind_a_fast_camera_stays_fresh_and_loses_nothing(
    tiny_models: Path, tmp_path: Path
) -> None:
    image = np.full((480, 640, 3), 201, np.uint8)  # blue: one round of work, see tiny_models
    image[..., 0] = np.repeat((50, 100, 150, 200), 160)  # red: depth that is not alike everywhere
    cv2.imwrite(str(tmp_path / "picture.png"), image[..., ::-1])
    parameters = {
        "model": "tiny_slow",
        "engine": "onnxruntime",
        "registry": tiny_models,
        "threads": 1,
        "diagnostics.period_s": 0.2,
    }
    run = NodeRun(
        source=[
            *("-m", "mono_depth_ros.bench.source", "--images", str(tmp_path)),
            *("--rate", str(FRESHNESS_RATE_HZ), "--seconds", str(SECONDS)),
        ],
        node=[
            *("-m", "mono_depth_ros.bench.slow_node", "--inference-ms", str(1e3 * INFERENCE_S)),
            *ros_arguments(parameters),
        ],
        outputs=["depth/image", "depth/camera_info"],
        expected_s=SECONDS,
        show_progress=False,
    )
    for _ in range(ATTEMPTS):
        figures = measure(run, tmp_path)
        if not freshness_complaints(figures):
            break
    assert freshness_complaints(figures) == []
    counts = figures["counts"]
    assert counts["received"] == counts["published"] + counts["dropped"] + counts["skipped"]
    assert counts["skipped"] == 0, figures["last_skip"]
    assert counts["sent"] == round(FRESHNESS_RATE_HZ * SECONDS)
    assert counts["received"] > 0.8 * counts["sent"]
    assert counts["published"] <= SECONDS / INFERENCE_S + 1
    assert counts["published"] > 0.5 * SECONDS / INFERENCE_S
    assert counts["lost_after_node"] == {"depth/image": 0, "depth/camera_info": 0}
    assert figures["stages_ms"]["infer"]["p50"] >= 1e3 * INFERENCE_S
