"""What the temporal filter and the metric scale promise, measured on small recordings."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.commands.acceptance import main
from mono_depth.config import PipelineConfig, ScaleConfig
from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.evaluation.promises.acceptance import AcceptanceCase, measure, standard_cases
from mono_depth.evaluation.promises.bounds import BoundRow, missed, table
from mono_depth.evaluation.promises.cost import cost_rows
from mono_depth.evaluation.promises.cuts import cut_rows
from mono_depth.evaluation.promises.scale_proof import CASES, focal_rows, ground_rows, points_rows
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame

WIDTH, HEIGHT = 64, 48
ROOM, OFFICE = "synthetic:room/robot/1/160x120", "synthetic:office/robot/2/160x120"


def row(where, value, *, measure="flow: flicker x", number=2, limit=0.55):
    return BoundRow(number=number, measure=measure, where=where, value=value, limit=limit)


def test_a_line_of_the_table_is_one_measure_on_every_recording():
    rows = [row("desk", 0.2), row("room", 0.6), row("desk", -1.5, number=1, limit=2.0)]
    assert table(rows).splitlines() == [
        "| row | measure | at most | desk | room | met |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 | flow: flicker x | 2 | -1.5 | - | 1 of 1 |",
        "| 2 | flow: flicker x | 0.55 | 0.2 | **0.6** | 1 of 2 |",
    ]


def test_what_could_not_be_measured_is_neither_met_nor_missed():
    assert row("desk", math.nan).is_met is None
    assert missed([row("desk", math.nan), row("room", 0.56), row("hall", 0.55)]) == [
        row("room", 0.56)
    ]


class Warped:
    """A network that gives 0.4 times the depth of the frame that it is told, bent by a wave."""

    name, kind, device, weights_sha256 = "warped", OutputKind.METRIC, torch.device("cpu"), ""
    scale_sigma_rel = 0.5

    def __init__(self, depths_m):
        wave = 1.0 + 0.05 * np.sin(np.arange(WIDTH) / 5.0)
        self._values = [torch.from_numpy((0.4 * d * wave).astype(np.float32)) for d in depths_m]

    def infer(self, rgb, intrinsics):
        return Prediction(values=self._values[int(rgb[0, 0, 0])], kind=self.kind)


@pytest.fixture(scope="module")
def slope():
    """A floor that rises from 1 m at the bottom to 5 m, seen by a camera that stands still."""
    depth_m = np.linspace(5.0, 1.0, HEIGHT)[:, None] * np.ones((1, WIDTH))
    camera = Intrinsics(width=WIDTH, height=HEIGHT, fx=60.0, fy=60.0, cx=31.5, cy=23.5)

    def load(index):
        return SequenceFrame(
            rgb=np.full((HEIGHT, WIDTH, 3), index, np.uint8),
            depth_m=depth_m.astype(np.float32),
            intrinsics=camera,
            stamp_ns=index * 100_000_000,
        )

    return FrameSequence(name="slope", indices=range(20), load=load), Warped([depth_m] * 20)


@pytest.mark.slow
def test_points_bring_a_network_near_its_best_scale_and_wrong_points_are_refused(slope):
    rows = {row.measure: row for row in points_rows(*slope)}
    assert len(rows) == 2 * len(CASES) + 1
    fifty = rows["50 points, 30 % wrong: AbsRel / best"]
    assert 0.99 < fifty.value < 1.1
    assert rows["50 points, all wrong: frames with metres"].value == 0.0
    assert all(row.number == 5 and row.where == "slope" for row in rows.values())


def test_the_best_scale_is_the_one_that_was_hidden(slope):
    """A wave of 5 % leaves a mean error of 5 % * 2 / pi whatever the scale."""
    from mono_depth.evaluation.promises.scale_proof import _thin

    sequence, model = slope
    assert _thin(sequence[0], model).best == pytest.approx(0.05 * 2.0 / math.pi, rel=0.1)


@pytest.mark.slow
def test_the_ground_under_a_synthetic_robot_tells_its_scale():
    level, up, down = ground_rows(["warehouse", "street"], seeds=1)
    assert level.where == "2 robots"
    assert level.is_met
    assert up.is_met
    assert down.is_met
    assert up.value != down.value


@pytest.mark.slow
def test_a_network_that_does_not_see_the_zoom_is_wrong_by_all_of_it(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models))
    sequence = open_sequence(ROOM).thinned(most=2)
    (found,) = focal_rows(sequence, build_pipeline(config).model)
    assert found.value == pytest.approx(100.0 * math.log(1.5), abs=8.0)
    assert not found.is_met


@pytest.mark.slow
def test_a_cut_is_noticed_and_a_recording_that_goes_on_is_not_one(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), threads=1)
    model = build_pipeline(config).model
    room, office = (open_sequence(source) for source in (ROOM, OFFICE))
    (cut,) = cut_rows([room, office], model, config, ["pose"])
    assert (cut.value, cut.where) == (0.0, "2 cuts")
    (same,) = cut_rows([room, replace(room, name="again")], model, config, ["pose"])
    assert same.value == 2.0


@pytest.mark.slow
def test_the_filter_costs_more_than_none(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), threads=1)
    config = replace(config, scale=ScaleConfig(source="model"))
    pose, none = cost_rows(open_sequence(ROOM).thinned(most=6), config, ["pose", "none"])
    assert none.value < pose.value
    assert (pose.measure, pose.number) == ("pose: filter and scale [ms]", 6)


@pytest.mark.slow
def test_the_command_measures_a_recording_of_ones_own(tiny_models, tmp_path, capsys):
    out = tmp_path / "rows.json"
    arguments = ["--sequence", ROOM, "--model", "tiny_metric", "--registry", str(tiny_models)]
    arguments += ["--frames", "26", "--rows", "1", "4", "5", "--threads", "1", "--json", str(out)]
    assert main(arguments) == 0
    report = json.loads(out.read_text())
    assert {row["number"] for row in report["rows"]} == {1, 4, 5}
    assert report["hardware"]["cores"] >= 1
    assert report["versions"]["torch"] == torch.__version__
    text = capsys.readouterr().out
    assert "| 1 | pose: flicker x | 0.3 |" in text
    flicker = next(row for row in report["rows"] if row["measure"] == "pose: flicker x")
    assert flicker["is_met"] is (flicker["value"] <= 0.3)
    told = [row["is_met"] for row in report["rows"] if row["value"] is not None]
    assert f"{sum(told)} of {len(told)} met" in text


@pytest.mark.slow
def test_a_recording_without_poses_is_measured_without_odometry(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), threads=1)
    config = replace(config, scale=ScaleConfig(source="model"))
    room = open_sequence("synthetic:room/robot/1/64x48").thinned(most=4)

    def load(index):
        return replace(room.load(index), T_odom_camera=None)

    blind = replace(room, load=load)
    assert room.knows_poses()
    assert not blind.knows_poses()
    (rows, _) = measure([AcceptanceCase(sequence=blind, config=config)], {1, 2})
    assert {row.measure.split(":")[0] for row in rows} == {"flow"}


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 1
    assert "tum_fr1_rpy does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_the_standard_recordings_are_the_real_one_and_three_kinds_of_drive(shared_data, tmp_path):
    cases = standard_cases(shared_data, tmp_path, 5, 1)
    assert [case.config.model for case in cases] == ["fastdepth", "nano", "nano", "nano"]
    assert [case.sequence.name.split("/")[1:2] for case in cases[1:]] == [
        ["robot"],
        ["drone"],
        ["handheld"],
    ]
    assert build_pipeline(cases[0].config).model.kind is OutputKind.METRIC
    assert len(cases[0].sequence) == 5
    assert cases[0].sequence[1] is cases[0].sequence[1]  # read once
