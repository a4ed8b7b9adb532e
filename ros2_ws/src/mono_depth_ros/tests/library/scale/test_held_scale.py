"""The scale of an earlier run: for the same output alone, never farther than what is measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScaleConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction, ScaleStatus
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.scale.held_scale import HeldScale, HeldScales, OutputForm
from mono_depth.scale.tracker import ScaleTracker

CAMERA = Intrinsics(width=64, height=48, fx=50.0, fy=50.0, cx=31.5, cy=23.5)
DEPTH_M = np.broadcast_to(np.linspace(1.0, 4.0, 64, dtype=np.float32), (48, 64))
NOW_S = 1_800_000_000.0
DAY_S = 86400.0
FORM = OutputForm(
    model="mine",
    weights_sha256="0" * 64,
    kind=OutputKind.METRIC,
    output_size=(48, 64),
    hints="",
    reference_focal=0.0,
    frame_id="camera",
    camera=OutputForm.camera_of(CAMERA),
)
RELATIVE = replace(FORM, kind=OutputKind.INVERSE_AFFINE)
HELD = HeldScale(
    form=FORM, source="sparse_points", scale=2.0, shift=0.0, sigma_rel=0.1, measured_s=NOW_S
)


def metric(factor: float = 0.5) -> Prediction:
    """A network that says half of the truth."""
    return Prediction(
        values=torch.tensor(DEPTH_M * factor), kind=OutputKind.METRIC, scale_sigma_rel=0.5
    )


def points_of(factor: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 46, 40), rng.integers(2, 62, 40)
    z = DEPTH_M[rows, columns] * factor
    x, y = (columns - CAMERA.cx) / CAMERA.fx * z, (rows - CAMERA.cy) / CAMERA.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


def frame(index: int = 0, factor: float | None = None) -> Frame:
    """A frame with points at `factor` times the truth; None = without points."""
    return Frame(
        rgb=np.zeros((48, 64, 3), np.uint8),
        stamp_ns=(1 + index) * 100_000_000,
        frame_id="camera",
        intrinsics=CAMERA,
        sparse_points_m=None if factor is None else points_of(factor, index),
    )


@pytest.mark.parametrize("form", [FORM, RELATIVE])
def test_what_is_stored_comes_back_in_the_next_run(tmp_path, form):
    held = replace(HELD, form=form, shift=0.25, sigma_rel=0.3)
    HeldScales(tmp_path / "scales").store(held)

    assert HeldScales(tmp_path / "scales").find(form, NOW_S) == held
    (file,) = (tmp_path / "scales").iterdir()
    assert file.name.startswith("mine-")


@pytest.mark.parametrize(
    "other",
    [
        {"model": "yours"},
        {"weights_sha256": "1" * 64},
        {"kind": OutputKind.METRIC_FOCAL},
        {"output_size": (96, 128)},
        {"hints": "sparse_points"},
        {"reference_focal": 0.8},
        {"frame_id": "rear_camera"},
        {"camera": OutputForm.camera_of(replace(CAMERA, fx=55.0))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_it_holds_for_no_other_output(tmp_path, other):
    scales = HeldScales(tmp_path)
    scales.store(HELD)

    assert scales.find(replace(FORM, **other), NOW_S) is None


def test_the_same_camera_in_another_resolution_is_the_same():
    assert OutputForm.camera_of(CAMERA.scaled_to(128, 96)) == OutputForm.camera_of(CAMERA)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "no held scale of version 1"),
        ({"form": {}}, "of another model or camera"),
        ({"source": "model"}, "source is 'model'"),
        ({"scale": math.nan}, "scale is nan"),
        ({"scale": "2"}, "scale is '2'"),
        ({"scale": True}, "scale is True"),
        ({"scale": -2.0}, "scale or deviation is not above 0"),
        ({"sigma_rel": 0.0}, "scale or deviation is not above 0"),
        ({"shift": None}, "shift is None"),
        ({"shift": 10**400}, "shift is 1000"),
        ({"measured_s": 1e11}, "measured_s is 1"),
    ],
)
def test_a_wrong_file_is_told_and_ignored(tmp_path, caplog, changes, reason):
    HeldScales(tmp_path).store(HELD)
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    assert HeldScales(tmp_path).find(FORM, NOW_S) is None
    assert f"the held scale {file} is ignored: " in caplog.text
    assert reason in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 60_000])
def test_a_damaged_file_is_told_once_and_replaced_by_the_next(tmp_path, caplog, content):
    HeldScales(tmp_path).store(HELD)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)

    scales = HeldScales(tmp_path)
    assert [scales.find(FORM, NOW_S) for _ in range(3)] == [None] * 3
    assert caplog.text.count("is ignored") == 1
    scales.store(HELD)
    assert HeldScales(tmp_path).find(FORM, NOW_S) == HELD


def test_a_folder_that_cannot_be_written_leaves_the_scale_of_this_run(tmp_path):
    (tmp_path / "scales").write_text("a file")
    scales = HeldScales(tmp_path / "scales")

    with pytest.raises(OSError, match="scales"):
        scales.store(HELD)
    assert scales.find(FORM, NOW_S) == HELD


@pytest.mark.slow
def test_only_so_many_files_are_kept(tmp_path):
    scales = HeldScales(tmp_path)
    for index in range(70):
        scales.store(replace(HELD, form=replace(FORM, frame_id=str(index))))

    assert len(list(tmp_path.iterdir())) == 64


@pytest.mark.parametrize(
    ("sigma", "days", "expected"),
    [(0.02, 0.0, 0.1), (0.3, 0.0, 0.3), (0.1, 5.0, 0.2), (0.1, -400.0, 0.24)],
    ids=["never surer than 10 %", "as it was", "grows by the day", "the clock was wrong"],
)
def test_its_deviation_grows(sigma, days, expected):
    aged = replace(HELD, sigma_rel=sigma).aged(NOW_S + days * DAY_S)

    assert aged.sigma_rel == pytest.approx(expected)


def test_only_what_is_trusted_and_uncontradicted_is_kept():
    valid = ScaleStatus(source="sparse_points", state="valid", scale=2.0, shift=0.0, sigma_rel=0.1)

    assert HeldScale.of(valid, FORM, NOW_S) == HELD
    assert HeldScale.of(replace(valid, state="degraded"), FORM, NOW_S) is None
    assert HeldScale.of(replace(valid, conflict="two differ"), FORM, NOW_S) is None
    assert HeldScale.of(replace(valid, source="fixed"), FORM, NOW_S) is None
    assert HeldScale.of(valid, None, NOW_S) is None


@pytest.mark.parametrize("source", ["auto", "sparse_points"])
def test_a_metric_network_begins_with_the_metres_of_the_run_before(source):
    depth_m, status = ScaleTracker().update(metric(), frame(), ScaleConfig(source=source), HELD)

    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=1e-5)
    assert (status.source, status.state, status.sigma_rel) == ("sparse_points", "held", 0.1)
    assert status.reason == ("sparse_points measured it on 2027-01-15 08:00 UTC; nothing has since")
    assert status.planner_use == "mark"


@pytest.mark.parametrize(
    ("kind", "values", "scale", "shift"),
    [
        (OutputKind.INVERSE_AFFINE, 30.0 / DEPTH_M + 7.0, 1 / 30.0, -7.0 / 30.0),
        (OutputKind.DEPTH_AFFINE, 3.0 * DEPTH_M + 5.0, 1 / 3.0, -5.0 / 3.0),
    ],
)
def test_a_relative_network_has_the_metres_that_it_lacks(kind, values, scale, shift):
    held = replace(HELD, form=replace(FORM, kind=kind), scale=scale, shift=shift)
    prediction = Prediction(values=torch.tensor(values), kind=kind)

    depth_m, status = ScaleTracker().update(prediction, frame(), ScaleConfig(), held)

    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=1e-4)
    assert (status.state, status.planner_use) == ("held", "mark")


@pytest.mark.parametrize(
    ("held", "config"),
    [
        (replace(HELD, source="odometry"), ScaleConfig(source="sparse_points")),
        (replace(HELD, sigma_rel=0.51), ScaleConfig()),
        (replace(HELD, scale=5.0), ScaleConfig()),
        (HELD, ScaleConfig(source="model")),
    ],
    ids=["another source is asked", "less sure than the network", "max_correction", "model"],
)
def test_it_is_not_used_where_it_does_not_help(held, config):
    _, status = ScaleTracker().update(metric(), frame(), config, held)

    assert status.state in ("assumed", "uninitialised")


def test_it_ends_as_soon_as_a_source_is_trusted():
    tracker, states = ScaleTracker(), []
    for index in range(6):
        _, status = tracker.update(metric(), frame(index, 1.0), ScaleConfig(), HELD)
        states.append(status.state)

    assert states[0] == "held"
    assert states[-1] == "valid"
    late = replace(frame(), stamp_ns=60 * 10**9)
    assert tracker.update(metric(), late, ScaleConfig(), HELD)[1].state == "lost"  # not held again


@pytest.mark.parametrize("source", ["auto", "sparse_points"])
def test_what_is_measured_nearer_counts_before_it_is_trusted(source):
    """The robot now stands where the network is right: the scale held is twice too far."""
    tracker, config = ScaleTracker(), ScaleConfig(source=source)
    for index in range(6):
        depth_m, status = tracker.update(metric(1.0), frame(index, 1.0), config, HELD)

        assert np.nanmax(depth_m.numpy() / DEPTH_M) < 1.05, index
        assert status.state == ("valid" if index > 1 else "converging"), index
        assert status.planner_use == ("mark_and_clear" if index > 1 else "mark"), index


def test_what_is_measured_farther_waits_until_it_is_trusted():
    tracker = ScaleTracker()
    depth_m, status = tracker.update(metric(), frame(0, 1.5), ScaleConfig(), HELD)

    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=1e-5)
    assert status.state == "held"


def test_nearer_near_by_counts_although_the_middle_agrees():
    """Held scale and shift that are right in the middle of the frame and too far near by."""
    inverse = Prediction(values=torch.tensor(1.0 / DEPTH_M), kind=OutputKind.INVERSE_AFFINE)
    middle = float(np.median(1.0 / DEPTH_M))
    held = replace(HELD, form=RELATIVE, scale=0.5, shift=0.5 * middle)

    for index in range(2):
        depth_m, status = ScaleTracker().update(inverse, frame(index, 1.0), ScaleConfig(), held)
        assert status.state == "converging"
        assert np.nanmax(depth_m.numpy()[:, :20] / DEPTH_M[:, :20]) < 1.05


def run_of(models, folder, **changes):
    config = PipelineConfig(
        model="tiny_metric",
        registry=str(models),
        weights_dir=str(folder),
        device="cpu",
        threads=1,
        temporal=TemporalConfig(mode="static"),
    )
    return build_pipeline(replace(config, **changes), is_live=True)


GREY = np.uint8(100 + 2 * np.arange(8) + np.arange(6)[:, None])  # tiny_metric says GREY / 25
TINY = Intrinsics(width=8, height=6, fx=10.0, fy=10.0, cx=3.5, cy=2.5)


def tiny_frame(index: int, factor: float | None) -> Frame:
    """What tiny_metric sees, and points at `factor` times what it says; None = no points."""
    rows, columns = np.indices((6, 8))
    z = GREY / 25.0 * (factor or 1.0)
    points = np.dstack(((columns - 3.5) / 10 * z, (rows - 2.5) / 10 * z, z)).reshape(-1, 3)
    return Frame(
        rgb=np.dstack([GREY] * 3),
        stamp_ns=(1 + index) * 100_000_000,
        frame_id="camera",
        intrinsics=TINY,
        sparse_points_m=None if factor is None else points.astype(np.float32),
    )


@pytest.mark.slow
def test_a_run_keeps_what_it_measured_and_the_next_begins_with_it(tiny_models, tmp_path):
    first = run_of(tiny_models, tmp_path)
    assert first.process(tiny_frame(0, None)).scale.state == "assumed"
    assert first.measured_scale is None
    for index in range(1, 6):
        first.process(tiny_frame(index, 2.0))
    first.held_scales.store(first.measured_scale)

    begun = run_of(tiny_models, tmp_path).process(tiny_frame(0, None))

    np.testing.assert_allclose(begun.depth_m.numpy(), GREY / 25.0 * 2.0, rtol=0.02)
    assert (begun.scale.state, begun.planner_use) == ("held", "mark")
    forgetful = run_of(tiny_models, tmp_path, scale=ScaleConfig(keep=False))
    assert forgetful.process(tiny_frame(0, None)).scale.state == "assumed"
    for index in range(1, 6):
        forgetful.process(tiny_frame(index, 2.0))
    assert forgetful.measured_scale is None


class Network:
    """A network that sees the slope, as metres or as inverse depth without unit."""

    name, device, weights_sha256 = "network", torch.device("cpu"), ""
    scale_sigma_rel = 0.5

    def __init__(self, kind):
        self.kind = kind
        inverse = kind is OutputKind.INVERSE_AFFINE
        self._values = torch.tensor(30.0 / DEPTH_M + 7.0 if inverse else DEPTH_M)

    def infer(self, rgb, intrinsics):
        return Prediction(values=self._values, kind=self.kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [OutputKind.METRIC, OutputKind.INVERSE_AFFINE])
def test_the_filter_does_not_remember_the_farther_metres_of_the_run_before(tmp_path, kind):
    config = PipelineConfig(temporal=TemporalConfig(mode="static"))
    first, second = (DepthPipeline(Network(kind), config) for _ in range(2))
    first.held_scales = second.held_scales = HeldScales(tmp_path)
    for index in range(6):
        first.process(frame(index, 1.5))
    first.held_scales.store(first.measured_scale)

    for index in range(10):
        held = second.process(frame(index))
        assert held.scale.state == "held"
        assert np.nanmedian(held.depth_m.numpy() / DEPTH_M) == pytest.approx(1.5, rel=0.05)
    for index in range(10, 16):
        result = second.process(frame(index, 1.0))
        assert np.nanmax(result.depth_m.numpy() / DEPTH_M) < 1.05, index
