"""The tables of models and of input sizes in the documents."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mono_depth.bench import models_table, sizes_table
from mono_depth.bench.marked_section import filled
from mono_depth.commands import models_table as models_command
from mono_depth.commands import sizes_table as sizes_command
from mono_depth.errors import ConfigError
from mono_depth.models.store.registry import PublishedScore, read_registry

REPOSITORY = Path(__file__).resolve().parents[6]
ENTRY = replace(
    read_registry()["midas_v21_small"],
    parameters_m=21.4,
    licence="MIT",
    published=PublishedScore(
        metric="AbsRel", dataset="ETH3D", value=0.1344, source="https://example.org"
    ),
)


def report(device="cpu", calls=1, **ms):
    engines = [
        {"engine": name.split("_")[0], "precision": name.split("_")[1], "ms": value}
        for name, value in ms.items()
    ]
    engines.append({"engine": "onnxruntime", "precision": "fp32", "problem": "not installed"})
    model = {
        "name": "midas_v21_small",
        "weights": "random",
        "calls_per_frame": calls,
        "engines": engines,
    }
    return {
        "device": device,
        "threads": 2,
        "image_size": [640, 480],
        "hardware": {"cpu": "a processor", "gpu": "a GPU", "load_average_1min": 0.1},
        "models": [model, {"name": "other", "problem": "no memory"}],
    }


def cells(reports):
    line = models_table.markdown([ENTRY], reports).splitlines()[2]
    return [cell.strip() for cell in line.strip("|").split("|")]


def section_of(document, name):
    """Return what lies between the two lines that mark a section of a document."""
    file = REPOSITORY / document
    if not file.is_file():
        pytest.skip("the package is not in its repository")
    found = file.read_text().partition(f"<!-- {name} -->\n")[2]
    return found.partition(f"<!-- /{name} -->")[0].strip()


@pytest.mark.parametrize(
    ("document", "section", "options"),
    [("docs/models.md", "models", []), ("README.md", "chosen models", ["--chosen"])],
)
def test_the_documents_have_the_tables_of_the_registry_and_the_measurements(
    document, section, options, capsys
):
    models_command.main(options)

    assert section_of(document, section) == capsys.readouterr().out.strip(), (
        f"run `python -m mono_depth.commands.models_table {' '.join(options)} --write {document}`"
    )


def test_the_short_table_has_eight_models_that_anyone_may_use():
    registry = read_registry()

    assert len(set(models_table.CHOSEN)) == 8
    assert all(registry[name].commercial for name in models_table.CHOSEN)


def test_the_short_table_says_what_a_model_is_and_leaves_out_what_few_ask_for():
    reports = [report(torch_fp32=118.4, openvino_bf16=24.6)]
    entry = replace(ENTRY, description="Small and fast.")

    lines = models_table.markdown([entry], reports, models_table.CHOSEN_COLUMNS).splitlines()

    assert lines[0] == "| model | what it is | gives | CPU: fastest | licence of the weights |"
    assert lines[2] == (
        "| `midas_v21_small` | Small and fast. | inverse depth, no scale "
        "| 25 ms, openvino bf16 | MIT |"
    )


def test_a_model_shows_its_licence_size_times_and_published_accuracy():
    reports = [report(torch_fp32=118.4, openvino_bf16=24.6), report("cuda", torch_fp16=1.25)]

    assert cells(reports) == [
        "`midas_v21_small`",
        "inverse depth, no scale",
        "21.4 M",
        "120 ms",
        "25 ms, openvino bf16",
        "1.2 ms, torch fp16",
        "[AbsRel 0.1344, ETH3D](https://example.org)",
        "MIT",
        "yes",
    ]


def test_what_was_not_measured_says_so():
    assert cells([])[3:6] == ["not measured"] * 3


def test_a_network_that_runs_twice_a_frame_takes_twice_the_time():
    assert cells([report(calls=2, torch_fp32=20.0)])[3] == "40 ms"


def test_the_machine_is_named_below_and_how_many_weights_were_random():
    last = models_table.markdown([ENTRY], [report(torch_fp32=1.0)]).splitlines()[-1]

    assert "on a processor, 2 CPU threads" in last
    assert "1 of 2 with random weights" in last


def test_a_table_goes_between_the_markers_of_a_file(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- models -->\nold\n<!-- /models -->\nafter\n")
    (tmp_path / "models.json").write_text(json.dumps(report(torch_fp32=7.0)))

    models_command.main(["--write", str(readme), "--reports", str(tmp_path)])

    lines = readme.read_text().splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        "before",
        "<!-- models -->",
        "<!-- /models -->",
        "after",
    )
    assert "old" not in lines
    assert any("`midas_v21_small`" in line and "7 ms" in line for line in lines)


def test_a_file_without_markers_is_refused():
    with pytest.raises(ConfigError, match="no lines <!-- models -->"):
        filled("nothing", "models", "table")


@pytest.mark.parametrize(
    "published", ["0.1", {"metric": "AbsRel"}, {"metric": "AbsRel", "value": 0.1, "else": 1}]
)
def test_a_published_score_without_its_source_is_refused(tmp_path, published):
    file = tmp_path / "registry.yaml"
    file.write_text(json.dumps({"models": {"nano": {"published": published}}}))

    with pytest.raises(ConfigError, match="not a mapping of metric, dataset, value, source"):
        read_registry(file)


def test_published_scores_name_an_address():
    scores = [entry.published for entry in read_registry().values() if entry.published]

    assert len(scores) >= 10
    assert all(score.source.startswith("https://") and score.value > 0 for score in scores)


def test_sizes_stand_beside_the_older_figures():
    older = {"cores": 4, "ms": {"256": 380, "512": 760}, "source": "elsewhere."}
    model = {
        "network_input": "1x3x256x256",
        "engines": [
            {"engine": "torch", "precision": "fp32", "ms": 61.4},
            {"engine": "openvino", "precision": "bf16", "ms": 20.2},
        ],
    }
    machine = {"cpu": "a processor", "load_average_1min": 0.1}

    lines = sizes_table.markdown(
        {"models": [model], "hardware": machine, "threads": 2}, older
    ).splitlines()

    assert lines[0] == "| input | older node, 4 cores | torch fp32 | fastest engine |"
    assert lines[2] == "| 256x256 | 380 ms | 61 ms | 20 ms, openvino bf16 |"
    assert lines[3] == "| 512x512 | 760 ms | not measured | not measured |"
    assert lines[-1] == (
        "Measured here: a processor, 2 threads, load 0.1 when it began. "
        "The older figures: elsewhere."
    )


def test_the_table_of_sizes_in_the_docs_is_the_one_that_is_printed(capsys):
    sizes_command.main([])

    assert section_of("docs/benchmarks.md", "sizes") == capsys.readouterr().out.strip()
