"""Whatever a registry says, it is a ConfigError at once."""

from __future__ import annotations

import os
import time

import pytest

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.build import build_pipeline

ENTRY = """
models:
  mine:
    family: onnx
    kind: metric
    description: a model of my own
    licence: MIT
    commercial: true
    weights: {file: mine.onnx}
    input: {width: 64, height: 48}
"""
LAUGHS = "".join(
    f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'lol'}]\n" for n in range(10)
)
MERGES = "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" if n else "m0: &m0 {a: 1}\n"
    for n in range(9)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS + ENTRY.replace("licence: MIT", "licence: *l9"), "once its aliases are filled in"),
        (LAUGHS + ENTRY.replace("{width: 64, height: 48}", "*l9"), "once its aliases"),
        (MERGES + ENTRY, "once its aliases"),
        ("models: " + "[" * 50_000, "deep|not YAML"),
        ("x: " + "9" * 5000 + ENTRY, "is not YAML"),
        ("day: 2026-99-99" + ENTRY, "is not YAML"),
        ("? [a, {b: c}]\n: 1" + ENTRY, "is not YAML"),
        ("#" * (2 << 20) + ENTRY, "more than 1048576 bytes"),
        ("a: !!python/object/apply:os.getcwd []" + ENTRY, "is not YAML"),
        (ENTRY + "    max_depth_m: -5\n", "max_depth_m is -5, expected more than 0"),
        (ENTRY + "    max_depth_m: 0\n", "max_depth_m is 0, expected more than 0"),
        (ENTRY + "    max_depth_m: .nan\n", "max_depth_m is nan, expected more than 0"),
        (ENTRY + "    gflop: .inf\n", "gflop is inf"),
        (ENTRY + "    focal_px: -300\n", "focal_px is -300"),
        (ENTRY + "    scale_sigma_rel: .nan\n", "scale_sigma_rel is nan"),
        (ENTRY.replace("48}", "48, mean: [.nan, 0, 0]}"), r"mean \(nan, 0.0, 0.0\)"),
        (ENTRY.replace("48}", "48, std: [.inf, 1, 1]}"), r"std \(inf"),
        (ENTRY.replace("48}", "48, mean: [true, 0, 0]}"), r"mean is \[True, 0, 0\], not a list"),
        (ENTRY.replace("width: 64", "width: 1000000000"), "at most 16384"),
        (ENTRY.replace("width: 64", "width: -64"), "input of -64x48 pixels"),
        (ENTRY.replace("48}", "48, fit: crop}"), "fit 'crop' is not one of stretch, letterbox"),
        (ENTRY.replace("mine.onnx", '"a\\0b"'), "is no path of a file"),
        (ENTRY.replace("mine.onnx", "n" * 300), "is no path of a file"),
        (ENTRY.replace("mine.onnx", "a/" * 3000), "is no path of a file"),
        (ENTRY.replace("mine.onnx", "~nobody_of_that_name/a"), "is no path of a file"),
        (ENTRY.replace("{file: mine.onnx}", "{file: .., url: 'https://a/b'}"), "names no file"),
        (ENTRY.replace("{file: mine.onnx}", "{file: a, hub: ../..}"), "not ORGANISATION/REPO"),
        (ENTRY.replace("{file: mine.onnx}", "{file: [a]}"), r"file is \['a'\], expected str"),
        (ENTRY.replace("kind: metric", "kind: [a]"), r"kind \['a'\] is not one of"),
        (ENTRY.replace("commercial: true", "commercial: 1"), "commercial is 1, not true"),
        (ENTRY.replace("MIT", "[" + "lol, " * 9000 + "]"), r"licence is \['lol', .*\.\.\.\]"),
    ],
)
def test_a_registry_that_means_harm_or_nothing_is_refused_in_under_a_second(
    tmp_path, text, message
):
    path = tmp_path / "registry.yaml"
    path.write_text(text)
    before_s = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        read_registry(path)
    assert time.process_time() - before_s < 1.0
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "pipe", ".", "none.yaml", "a\0b"])
def test_a_registry_that_is_no_file_is_refused_and_nobody_waits(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot read the model registry"):
        read_registry(tmp_path / name)


@pytest.mark.parametrize("name", ["~nobody_of_that_name/w", "a\0b", "w" * 300])
def test_a_folder_of_weights_that_cannot_be_is_refused(name):
    with pytest.raises(ConfigError, match=r"weights_dir: .* is no path of a file"):
        build_pipeline(PipelineConfig(model="nano", weights_dir=name))


def test_aliases_and_a_byte_order_mark_are_allowed(tmp_path):
    path = tmp_path / "registry.yaml"
    text = "size: &size {width: 64, height: 48}" + ENTRY.replace("{width: 64, height: 48}", "*size")
    path.write_text("\ufeff" + text)
    assert read_registry(path)["mine"].input.width == 64
