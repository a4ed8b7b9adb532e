"""Weights of another kind of depth behind an entry: nothing but their output tells."""

from __future__ import annotations

import logging

import pytest
import torch

from mono_depth.data import OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.check import rank_correlation, synthetic_image
from mono_depth.models.loading import load_model
from mono_depth.models.order_check import check_order


class Says:
    """A model that gives what it was told for the built-in image."""

    name, device = "mine", torch.device("cpu")

    def __init__(self, kind, values):
        self.kind, self._values = kind, values

    def infer(self, rgb, intrinsics):
        if self._values is None:
            raise FrameError("it fails")
        return Prediction(values=self._values, kind=self.kind)


@pytest.fixture(scope="module")
def depth_m():
    return synthetic_image().depth_m.nan_to_num(nan=20.0)


def test_relative_weights_behind_a_metric_entry_are_refused(depth_m):
    with pytest.raises(ModelError, match=r"mine takes near for far .* entry says kind metric, its"):
        check_order(Says(OutputKind.METRIC, 30.0 / depth_m))


def test_metric_weights_behind_a_relative_entry_are_refused(depth_m):
    with pytest.raises(ModelError, match="entry says kind inverse_affine"):
        check_order(Says(OutputKind.INVERSE_AFFINE, depth_m))


@pytest.mark.slow
def test_a_real_network_is_far_from_the_bound_on_both_sides(depth_m):
    image = synthetic_image()
    values = load_model("nano").infer(torch.from_numpy(image.rgb), image.intrinsics).values
    assert rank_correlation(values, depth_m, OutputKind.METRIC) > 0.95
    check_order(Says(OutputKind.METRIC, values))
    with pytest.raises(ModelError, match=r"rank correlation -0\.9"):
        check_order(Says(OutputKind.INVERSE_AFFINE, values))


@pytest.mark.parametrize("kind", [OutputKind.METRIC, OutputKind.METRIC_FOCAL])
def test_a_bad_network_is_not_taken_for_another_kind(depth_m, kind):
    noise = torch.rand(depth_m.shape, generator=torch.Generator().manual_seed(1))
    for values in (depth_m, noise, torch.ones_like(depth_m), None):
        check_order(Says(kind, values))


@pytest.mark.slow
def test_a_file_is_checked_when_it_is_loaded(tmp_path, tiny_models, monkeypatch, caplog):
    from mono_depth.models import loading

    asked = []
    monkeypatch.setattr(loading, "check_order", lambda model: asked.append(model.name))
    with caplog.at_level(logging.WARNING):
        loading.load_model("tiny_metric", registry=tiny_models)
    assert asked == ["tiny_metric"]
    asked.clear()
    loading.load_model("nano")  # its hash is known
    assert asked == []


@pytest.mark.slow
def test_auto_passes_over_a_broken_download(tmp_path, tiny_models, caplog):
    import yaml

    entry = yaml.safe_load(tiny_models.read_text())["models"]["tiny_metric"]
    good = {"file": str(tiny_models.with_name("mean.onnx"))}
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"<html>log in</html>")
    registry = tmp_path / "registry.yaml"

    def write(**weights):
        models = {
            name: entry | {"weights": sources, "auto_rank": rank}
            for rank, (name, sources) in enumerate(weights.items(), 1)
        }
        registry.write_text(yaml.safe_dump({"models": models}))
        return registry

    two_sources = write(first=[{"file": str(broken)}, good])
    assert load_model("auto", registry=two_sources).name == "first"
    two_models = write(first=[{"file": str(broken)}], second=[good])
    assert load_model("auto", registry=two_models).name == "second"
    assert "model auto passes over first" in caplog.text
    assert "it is a web page" in caplog.text
    assert load_model("auto", registry=write(first=[{"file": str(broken)}])).name == "nano"
    with pytest.raises(ModelError, match="it is a web page"):
        load_model("first", registry=registry)
