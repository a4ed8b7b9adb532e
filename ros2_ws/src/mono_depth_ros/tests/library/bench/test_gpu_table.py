"""The tables of what the acceptance script for a GPU measured."""

from __future__ import annotations

import json

import pytest

from mono_depth.bench.gpu_table import NOT_MEASURED, gpu_tables
from mono_depth.errors import ConfigError


def times(p50_ms, p99_ms):
    return {"p50_ms": p50_ms, "p99_ms": p99_ms}


FRAME = {
    "model": "nano",
    "brings": "pose",
    "infer": times(1.04, 1.3),
    "beyond_network": times(2.51, 3.2),
    "total": times(3.55, 4.4),
    "kernels": 152,
}
REPORT = {
    "device": "cuda",
    "steps": {
        "environment": {
            "verdict": "ok",
            "seconds": 3.2,
            "device_name": "NVIDIA X1",
            "versions": {"torch": "2.9"},
        },
        "parity": {"verdict": "failed", "seconds": 80.4},
        "frames": {"verdict": "measured", "seconds": 20.0, "rows": [FRAME]},
    },
}


def written(folder, report):
    file = folder / "gpu.json"
    file.write_text(json.dumps(report))
    return file


def test_what_was_measured_becomes_tables(tmp_path):
    assert gpu_tables(written(tmp_path, REPORT)).splitlines() == [
        "NVIDIA X1, torch 2.9.",
        "",
        "|step|verdict|s|",
        "|---|---|---|",
        "|environment|ok|3|",
        "|parity|failed|80|",
        "|frames|measured|20|",
        "",
        "|a frame, p50 / p99 [ms]|network|beyond it|total|kernels|",
        "|---|---|---|---|---|",
        "|`nano`, pose|1.0 / 1.3|2.5 / 3.2|3.5 / 4.4|152|",
    ]


def test_where_nothing_was_measured_it_says_so(tmp_path):
    assert gpu_tables(tmp_path / "gpu.json") == NOT_MEASURED


def test_a_run_on_the_cpu_is_no_figure_of_a_gpu(tmp_path):
    with pytest.raises(ConfigError, match="proves nothing of a GPU"):
        gpu_tables(written(tmp_path, REPORT | {"device": "cpu"}))


def test_another_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no gpu"):
        gpu_tables(written(tmp_path, ["not", "it"]))
