"""The commands around the built-in network, on two frames of a scene that no training draws."""

from __future__ import annotations

import json

import pytest

from mono_depth.commands import average_weights
from mono_depth.commands.figures import nano_hints_table, nano_table, nano_trust
from mono_depth.evaluation.nano import hints_table, table, trust
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.nano.weights import read_record, save_weights


@pytest.fixture
def two_frames(monkeypatch):
    """Every table is of two frames only, and the row prior of one scene."""
    frames, learn_prior = list(table.unseen_scenes(1)), table.synthetic_prior
    for module in (table, hints_table):
        monkeypatch.setattr(module, "synthetic_sets", lambda: {"unseen scenes": frames})
    monkeypatch.setattr(table, "synthetic_prior", lambda: learn_prior(1))
    monkeypatch.setattr(trust, "unseen_scenes", lambda: frames)


@pytest.mark.slow
def test_the_table_compares_networks_with_what_they_have_to_beat(two_frames, tmp_path, capsys):
    nano_table.main(["--json", str(tmp_path / "rows.json")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| unseen scenes (2)", predictor] for predictor in ("constant", "row prior", "nano")
    ]
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["predictor"] for row in rows] == ["constant", "row prior", "nano"]
    assert rows[2]["aligned"]["abs_rel"] < rows[0]["aligned"]["abs_rel"]


@pytest.mark.slow
def test_of_several_networks_the_mean_is_told(two_frames, tmp_path, capsys):
    files = [tmp_path / "s1.safetensors", tmp_path / "s2.safetensors"]
    for file in files:
        save_weights(NanoNet(), file, {})
    nano_table.main(["--weights", *map(str, files)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[4:]] == [
        "nano s1",
        "nano s2",
        "mean of 2 nanos",
    ]


@pytest.mark.slow
def test_the_table_of_hints_has_the_rules_alone_beside_each_answer(two_frames, capsys):
    nano_hints_table.main([])
    lines = capsys.readouterr().out.splitlines()
    told = [line.split(" | ")[1] for line in lines[2:]]
    assert told[:2] == ["image", "image, height, gravity"]
    assert "image, 300 points" in told
    assert all(line.startswith("| unseen scenes (2) | ") for line in lines[2:])
    points = lines[2 + told.index("image, 300 points")].split(" | ")
    assert float(points[2]) < float(lines[2].split(" | ")[2])  # points help
    assert "-" not in points


@pytest.mark.slow
def test_the_table_of_trust_is_of_another_lens_and_of_confidence(two_frames, capsys):
    nano_trust.main([])
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert line.startswith("| unseen scenes (2) | nano | ")


@pytest.mark.slow
def test_the_mean_of_runs_is_written_with_the_records_of_all(tmp_path):
    files = [tmp_path / "s1.safetensors", tmp_path / "s2.safetensors"]
    for seed, file in enumerate(files):
        save_weights(NanoNet(), file, {"seed": seed, "start_sha256": "a" * 64})
    average_weights.main([str(tmp_path / "mean.safetensors"), *map(str, files)])
    records = read_record(tmp_path / "mean.safetensors")["average_of"]
    assert [record["seed"] for record in records] == [0, 1]
