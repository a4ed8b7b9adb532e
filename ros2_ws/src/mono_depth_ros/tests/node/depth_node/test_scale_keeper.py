"""The measured scale on its way to disk: seldom, in the background, and told once if it fails."""

from __future__ import annotations

import threading
import time

import pytest

from mono_depth.config import PipelineConfig
from mono_depth.data import OutputKind
from mono_depth.pipeline.build import build_pipeline
from mono_depth.scale.held_scale import HeldScale, HeldScales, OutputForm
from mono_depth_ros.depth_node import scale_keeper
from mono_depth_ros.depth_node.scale_keeper import ScaleKeeper

FORM = OutputForm(
    model="tiny_metric",
    weights_sha256="",
    kind=OutputKind.METRIC,
    output_size=(6, 8),
    hints="",
    reference_focal=0.0,
    frame_id="camera",
    camera=(1.25, 1.667, 0.5, 0.5),
)


def measured(scale: float) -> HeldScale:
    return HeldScale(
        form=FORM,
        source="sparse_points",
        scale=scale,
        shift=0.0,
        sigma_rel=0.1,
        measured_s=time.time(),
    )


@pytest.fixture
def pipeline(tiny_models, tmp_path):
    config = PipelineConfig(
        model="tiny_metric",
        registry=str(tiny_models),
        weights_dir=str(tmp_path),
        device="cpu",
        threads=1,
    )
    return build_pipeline(config, is_live=True)


def kept(tmp_path) -> float | None:
    found = HeldScales(tmp_path / "scales").find(FORM)
    return None if found is None else found.scale


def test_the_first_measurement_is_kept_at_once_and_the_newest_at_the_end(pipeline, tmp_path):
    keeper = ScaleKeeper(pytest.fail)
    keeper.follow(pipeline)
    assert kept(tmp_path) is None
    pipeline.measured_scale = measured(2.0)
    keeper.follow(pipeline)
    while kept(tmp_path) is None:
        time.sleep(0.01)
    pipeline.measured_scale = measured(2.1)
    keeper.follow(pipeline)  # too soon
    assert kept(tmp_path) == 2.0
    keeper.finish(pipeline)
    assert kept(tmp_path) == 2.1


def test_a_disk_that_hangs_keeps_nobody_waiting(pipeline, monkeypatch):
    is_free = threading.Event()
    monkeypatch.setattr(HeldScales, "store", lambda *_: is_free.wait(20.0))
    monkeypatch.setattr(scale_keeper, "_PERIOD_S", 0.0)
    monkeypatch.setattr(scale_keeper, "_END_S", 0.05)
    keeper, begin_s = ScaleKeeper(pytest.fail), time.monotonic()
    for index in range(5):
        pipeline.measured_scale = measured(2.0 + index)
        keeper.follow(pipeline)
    keeper.finish(pipeline)
    assert time.monotonic() - begin_s < 5.0
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("scale-keeper") == 1
    is_free.set()


def test_a_disk_that_cannot_be_written_is_told_once(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(scale_keeper, "_PERIOD_S", 0.0)
    (tmp_path / "scales").write_text("a file")
    told: list[str] = []
    keeper = ScaleKeeper(told.append)
    for index in range(3):
        pipeline.measured_scale = measured(2.0 + index)
        keeper.finish(pipeline)
    (problem,) = told
    assert problem.startswith(f"the measured scale cannot be kept in {tmp_path / 'scales'}: ")
    assert problem.endswith("the next run begins without it")


def test_nothing_is_written_without_a_folder(pipeline, tmp_path):
    pipeline.measured_scale = measured(2.0)
    pipeline.held_scales = None
    ScaleKeeper(pytest.fail).finish(pipeline)
    assert list(tmp_path.iterdir()) == []
