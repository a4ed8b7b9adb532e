"""The measurement of networks: what it counts, and that it says where figures come from."""

import json
from dataclasses import replace

import pytest
import torch
import yaml

from mono_depth.bench.network_bench import (
    REFERENCE,
    Task,
    bench_models,
    measure,
    models_table,
    read_plan,
)
from mono_depth.commands.main import main
from mono_depth.engines import choice
from mono_depth.engines.protocol import Plan
from mono_depth.errors import ConfigError, ModelError
from mono_depth.models.checks.pseudo_random import SHA256
from mono_depth.models.random_model import random_model
from mono_depth.models.store.registry import read_registry, with_short_side

QUICK = Task(plans=(REFERENCE,), seconds=0.05, threads=1)


@pytest.mark.slow
def test_parameters_multiply_adds_and_times_are_those_of_the_network():
    found = measure("midas_v21_small", 128, Task(plans=(REFERENCE,), seconds=0.05, threads=1))

    assert (found["weights"], found["network_input"]) == ("random", "1x3x96x128")
    assert found["parameters_m"] == pytest.approx(21.3, abs=0.1)
    # 3.44 GMAC at 256x192, and convolutions grow with the area
    assert found["gmacs"] == pytest.approx(3.44 * (96 * 128) / (256 * 192), abs=0.05)
    assert found["weights_mb"] == pytest.approx(4 * found["parameters_m"], rel=0.01)
    (engine,) = found["engines"]
    assert (engine["engine"], engine["precision"]) == ("torch", "fp32")
    assert 0 < engine["ms_p10"] <= engine["ms"] <= engine["ms_p90"]
    assert engine["calls"] >= 3
    assert 0 <= found["torch_memory_mib"] <= found["all_engines_memory_mib"]


@pytest.mark.slow
def test_weights_that_are_here_are_used_unless_random_ones_are_asked_for():
    real = measure("nano", 0, QUICK)
    random = measure("nano", 0, Task(plans=(REFERENCE,), seconds=0.05, threads=1, weights="random"))

    assert (real["weights"], random["weights"]) == ("real", "random")
    assert real["network_input"] == random["network_input"]


@pytest.mark.slow
def test_an_engine_that_cannot_be_had_says_why():
    plans = (REFERENCE, Plan(engine="onnxruntime", precision="bf16"))

    found = measure("nano", 0, Task(plans=plans, seconds=0.05, threads=1))

    assert [item.get("calls", 0) >= 3 for item in found["engines"]] == [True, False]
    assert "has no bf16 on a CPU" in found["engines"][1]["problem"]


@pytest.mark.slow
def test_an_engine_that_fails_in_its_own_way_costs_its_row_and_no_other(monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("advice\nCUDA out of memory")

    monkeypatch.setattr(choice, "check", lambda *_: None)
    monkeypatch.setattr(choice, "build", full)
    plans = (REFERENCE, Plan(engine="torch", precision="bf16"))
    found = measure("nano", 0, Task(plans=plans, seconds=0.05, threads=1))
    assert [item.get("problem") for item in found["engines"]] == [None, "CUDA out of memory"]


@pytest.fixture
def alike(tmp_path):
    """Registry with `one` and `again`, two sets of weights for one small network."""
    entry = {
        "family": "midas",
        "variant": "small",
        "kind": "inverse_affine",
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": True,
        "weights": {"file": "absent.pt"},
        "input": {"width": 64, "height": 64, "rule": "upper_bound", "multiple_of": 32},
    }
    registry = tmp_path / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": {"one": entry, "again": entry}}))
    return registry


@pytest.mark.slow
def test_a_network_is_measured_once_and_the_report_says_on_what(alike, tmp_path, capsys):
    out = tmp_path / "models.json"
    options = ["--registry", str(alike), "--engines", "torch/fp32", "--seconds", "0.05"]

    assert main(["bench", "models", "one", "again", *options, "--json", str(out)]) == 0

    report = json.loads(out.read_text())
    first, second = report["models"]
    assert second == {**first, "name": "again", "same_as": "one"}
    assert report["image_size"] == [640, 480]
    assert report["threads"] >= 1
    assert report["hardware"]["cpu"]
    assert report["versions"]["torch"] == torch.__version__
    table = capsys.readouterr().err
    assert "torch fp32" in table
    assert "64x64" in table


@pytest.fixture
def earlier(alike, tmp_path):
    """A report that knows `one` alone, with an engine and the figure 7 ms."""
    task = Task(plans=(REFERENCE,), seconds=0.05, threads=1, registry=alike)
    report = bench_models(["one"], task)
    report["models"][0]["engines"][0]["ms"] = 7.0
    return report, task


@pytest.mark.acceptance
def test_a_report_is_completed_with_what_it_lacks(earlier):
    report, task = earlier
    saved = []

    full = bench_models(["midas_v21_small"], task, sides=[64], earlier=report, keep=saved.append)

    assert [model["name"] for model in full["models"]] == ["one", "midas_v21_small"]
    assert full["models"][0] == report["models"][0]
    assert saved == [full]  # what was there is in what is saved


@pytest.mark.acceptance
def test_an_entry_that_lacks_an_engine_is_measured_again_if_it_is_asked_for(earlier):
    report, task = earlier
    more = replace(task, plans=(REFERENCE, Plan(engine="torch", precision="bf16")))

    kept, again = bench_models(["again"], more, earlier=report)["models"]
    (measured,) = bench_models(["one"], more, earlier=report)["models"]

    assert kept == report["models"][0]
    for model in (again, measured):
        assert [item["precision"] for item in model["engines"]] == ["fp32", "bf16"]
        assert model["engines"][0]["ms"] != 7.0


@pytest.mark.acceptance
def test_figures_of_unlike_runs_are_not_put_into_one_report(tmp_path, capsys):
    out = tmp_path / "models.json"
    options = ["--engines", "torch/fp32", "--seconds", "0.05", "--json", str(out)]
    main(["bench", "models", "nano", *options, "--threads", "1"])
    before = out.read_text()

    assert main(["bench", "models", "nano", *options, "--threads", "2", "--resume"]) != 0

    assert "threads 1, this run 2" in capsys.readouterr().err
    assert out.read_text() == before


@pytest.mark.acceptance
def test_a_report_is_saved_after_each_model(tiny_models):
    task = Task(plans=(REFERENCE,), seconds=0.05, threads=1, registry=tiny_models)
    saved = []

    bench_models(
        ["nano", "tiny_absent"], task, keep=lambda report: saved.append(len(report["models"]))
    )

    assert saved == [1, 2]


@pytest.mark.slow
def test_a_model_that_cannot_be_measured_does_not_stop_the_others(tiny_models):
    task = Task(plans=(REFERENCE,), seconds=0.05, threads=1, registry=tiny_models)

    report = bench_models(["tiny_absent"], task)

    assert "cannot be made up" in report["models"][0]["problem"]
    assert "cannot be made up" in models_table(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moge2_small", "depth_anything_v1_small"])
def test_random_weights_make_a_model_that_runs(name):
    entry = with_short_side(read_registry()[name], 42)
    model = random_model(entry, torch.device("cpu"))

    prediction = model.infer(torch.full((48, 64, 3), 90, dtype=torch.uint8), None)

    assert model.weights_sha256 == SHA256
    assert prediction.kind is entry.kind
    assert min(prediction.values.shape) >= 42


def test_a_plan_that_is_none_is_refused():
    assert read_plan("openvino/bf16") == Plan(engine="openvino", precision="bf16")
    with pytest.raises(ConfigError, match="'openvino' is not ENGINE/PRECISION, such as"):
        read_plan("openvino")


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="no model 'nanno' in the registry"):
        bench_models(["nanno"], QUICK)
