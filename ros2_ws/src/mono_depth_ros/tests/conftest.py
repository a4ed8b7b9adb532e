"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

_REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session", autouse=True)
def own_weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the weights and engines of this machine's user out of the tests, and theirs of his."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONO_DEPTH_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; they are not part of the repository."""
    folder = Path(os.environ.get("MONO_DEPTH_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (set MONO_DEPTH_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def fastdepth_registry(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Registry with `fastdepth`, a network that was trained on real rooms."""
    pytest.importorskip("onnxruntime", reason="the package onnxruntime runs FastDepth")
    file = str(shared_data / "fastdepth" / "fastdepth_nyu_224.onnx")
    entry = _entry(file) | {
        "licence": "MIT",
        "input": {"width": 224, "height": 224, "rule": "fixed", "interpolation": "bilinear"},
    }
    registry = tmp_path_factory.mktemp("fastdepth") / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": {"fastdepth": entry}}))
    return registry


@pytest.fixture
def with_one_weight_more_by() -> Callable[[float], Callable[[Path], None]]:
    """Return a function that makes a change of an ONNX engine of nano in a folder.

    The change adds to one bias of the last layer: a quarter of the depths is then wrong.
    """
    onnx = pytest.importorskip("onnx", reason="the package onnx changes the file")
    from mono_depth.engines.protocol import ONNX_FILE

    def by(value: float) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            model = onnx.load(folder / ONNX_FILE)
            outputs = ([8], [12])  # four sub-pixels each of depth and spread, and of glass
            (bias,) = [item for item in model.graph.initializer if list(item.dims) in outputs]
            weights = onnx.numpy_helper.to_array(bias).copy()
            weights[0] += value
            bias.CopyFrom(onnx.numpy_helper.from_array(weights, bias.name))
            onnx.save(model, folder / ONNX_FILE)

        return change

    return by


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Registry of real ONNX networks whose output can be computed by eye; R, G, B are 0..255.

    tiny_metric, tiny_inverse, tiny_affine: mean(R, G, B) / 25 at 8x6 pixels, said to be metres,
        inverse depth, depth without scale. tiny_half: metres at 4x3 pixels.
    tiny_fickle: (R - 50) / 25 metres; NaN where G >= 200, +Inf where B >= 200; ONNX Runtime
        fails where R is 255.
    tiny_slow: as tiny_metric, after min(B) - 200 rounds of some 40 ms.
    tiny_broken: ONNX Runtime fails for every image.
    tiny_absent: as tiny_metric, but `mean.onnx` beside the registry would have to be pulled.
    tiny_forbidden: as tiny_metric, but not for commercial use.
    """
    pytest.importorskip("onnx", reason="the package onnx makes the networks of this test")
    pytest.importorskip("onnxruntime", reason="the package onnxruntime runs them")
    folder = tmp_path_factory.mktemp("models")
    for name, text in _NETWORKS.items():
        (folder / name).write_bytes(_compiled(text))
    models = {
        "tiny_metric": _entry("mean.onnx"),
        "tiny_inverse": _entry("mean.onnx", kind="inverse_affine"),
        "tiny_affine": _entry("mean.onnx", kind="depth_affine"),
        "tiny_half": _entry("mean.onnx", size=(4, 3)),
        "tiny_fickle": _entry("fickle.onnx"),
        "tiny_slow": _entry("slow.onnx"),
        "tiny_broken": _entry("broken.onnx"),
        "tiny_absent": _entry("mean.onnx", url="https://example.org/mean.onnx"),
        "tiny_forbidden": _entry("mean.onnx", commercial=False),
    }
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": models}))
    return registry


@pytest.fixture(scope="session")
def completing_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Registry with `small_lingbot`: LingBot-Depth with a small backbone and weights of a rule.

    `same_lingbot` is the same, under another name.
    """
    import torch

    from mono_depth.models.checks import pseudo_random
    from mono_depth.models.families.lingbot import LingBotConfig, LingBotNet

    golden = Path(__file__).parents[1] / "models" / "golden" / "lingbot_depth.json"
    config = json.loads(golden.read_text())["model_config"]
    with torch.device("meta"):
        shapes = LingBotNet(LingBotConfig.read(config, str(golden))).state_dict()
    weights = pseudo_random.fill(
        {name: value.shape for name, value in shapes.items()}, positive=["encoder.image_std"]
    )
    weights = {name: value.half() for name, value in weights.items()}  # half the file to read
    folder = tmp_path_factory.mktemp("completing_models")
    torch.save({"model_config": config, "model": weights}, folder / "model.pt")
    entry = _entry("model.pt", kind="completion") | {
        "family": "lingbot_depth",
        "variant": "small",
        "input": {
            "width": 112,
            "height": 84,
            "rule": "area",
            "multiple_of": 14,
            "interpolation": "antialias",
        },
    }
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": {"small_lingbot": entry, "same_lingbot": entry}}))
    return registry


def _entry(
    file: str,
    *,
    kind: str = "metric",
    size: tuple[int, int] = (8, 6),
    url: str = "",
    commercial: bool = True,
) -> dict[str, Any]:
    return {
        "family": "onnx",
        "kind": kind,
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": commercial,
        "weights": {"file": file} | ({"url": url} if url else {}),
        "input": {"width": size[0], "height": size[1], "std": [1 / 255] * 3},
    }


def _compiled(network: str) -> bytes:
    import onnx.parser

    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> {network}')
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


_NETWORKS = {
    "mean.onnx": """
        mean (float[1, 3, h, w] rgb) => (float[1, 1, h, w] depth) {
          mean = ReduceMean <axes = [1]> (rgb)
          scale = Constant <value_float = 0.04> ()
          depth = Mul (mean, scale)
        }""",
    "fickle.onnx": """
        fickle (float[1, 3, h, w] rgb) => (float[1, 1, h, w] depth) {
          sizes = Constant <value_ints = [1, 1, 1]> ()
          red, green, blue = Split <axis = 1> (rgb, sizes)
          zero = Constant <value_float = 50.0> ()
          scale = Constant <value_float = 0.04> ()
          shifted = Sub (red, zero)
          metres = Mul (shifted, scale)
          bright = Constant <value_float = 200.0> ()
          nan = Constant <value_float = nan> ()
          inf = Constant <value_float = inf> ()
          is_green = GreaterOrEqual (green, bright)
          is_blue = GreaterOrEqual (blue, bright)
          or_nan = Where (is_green, nan, metres)
          or_inf = Where (is_blue, inf, or_nan)
          full = Constant <value_float = 254.5> ()
          reddest = ReduceMax <keepdims = 0> (red)
          is_full = Greater (reddest, full)
          index = Cast <to = 7> (is_full)
          one = Constant <value_floats = [1.0]> ()
          factor = Gather (one, index)
          depth = Mul (or_inf, factor)
        }""",
    "slow.onnx": """
        slow (float[1, 3, h, w] rgb) => (float[1, 1, h, w] depth) {
          sizes = Constant <value_ints = [1, 1, 1]> ()
          red, green, blue = Split <axis = 1> (rgb, sizes)
          free = Constant <value_float = 200.0> ()
          bluest = ReduceMin <keepdims = 0> (blue)
          above = Sub (bluest, free)
          rounds = Cast <to = 7> (above)
          yes = Constant <value = bool {1}> ()
          side = Constant <value_ints = [1024, 1024]> ()
          zeros = ConstantOfShape (side)
          unity = EyeLike (zeros)
          product = Loop (rounds, yes, unity) <body =
            work (int64 i, bool goes_on, float[n, n] old) => (bool still, float[n, n] new) {
              still = Identity (goes_on)
              square = MatMul (old, old)
              new = MatMul (square, square)
            }>
          mean_of_product = ReduceMean <keepdims = 0> (product)
          tiny = Constant <value_float = 0.000001> ()
          nothing = Mul (mean_of_product, tiny)
          mean = ReduceMean <axes = [1]> (rgb)
          scale = Constant <value_float = 0.04> ()
          metres = Mul (mean, scale)
          depth = Add (metres, nothing)
        }""",
    "broken.onnx": """
        broken (float[1, 3, h, w] rgb) => (float[1, 1, h, w] depth) {
          mean = ReduceMean <axes = [1]> (rgb)
          least = ReduceMin <keepdims = 0> (mean)
          nothing = Sub (least, least)
          one = Constant <value_float = 1.0> ()
          sum = Add (nothing, one)
          index = Cast <to = 7> (sum)
          values = Constant <value_floats = [1.0]> ()
          factor = Gather (values, index)
          depth = Mul (mean, factor)
        }""",
}
