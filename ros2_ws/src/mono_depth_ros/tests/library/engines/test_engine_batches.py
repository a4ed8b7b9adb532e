"""Engines for several images at a time: a shape like another, with what each image says alone."""

from __future__ import annotations

import pytest
import torch

from mono_depth.engines.accuracy import output_error
from mono_depth.engines.arguments import examples_like
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.engines import Engines
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.backbones.dinov2 import VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.families.depth_anything_3 import Da3Config, Da3Net, DepthAnything3
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry, with_short_side
from mono_depth.system.threads import torch_threads

CPU = torch.device("cpu")
BOTH = torch.stack([torch.from_numpy(image) for image in trial_images()])
TINY = Da3Config(
    vit=VitConfig(width=64, depth=4, heads=2),
    layers=(0, 1, 2, 3),
    features=16,
    channels=(16, 16, 16, 16),
)
ENGINES = ("torch", "onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_threads(1):
        yield


def engines_for(engine: str, folder, **options) -> Engines:
    if engine != "torch":
        pytest.importorskip(engine, reason=f"the package {engine} is not installed")
    options |= {"device": CPU, "threads": 1, "weights_folder": folder}
    return Engines(engine=engine, precision="fp32", **options)


def check(model, engines: Engines, engine: str) -> None:
    """Compare two images at a time with each alone, both run by `engine`."""
    alone = [model.infer(rgb, None) for rgb in BOTH]
    (before,) = engines.reports()
    together = model.infer_batch(BOTH, [None, None])
    (report,) = engines.reports()

    assert (report.plan.engine, report.refused) == (engine, ())
    assert report.shapes == before.shapes.replace("1x", "2x")
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-3, equal_nan=True)
    assert not torch.equal(together[0].values, together[1].values)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_nano_says_of_two_images_what_it_says_of_each(tmp_path, engine):
    engines = engines_for(engine, tmp_path)
    model = load_model("nano", engines=engines)
    engines.prepare(model)

    check(model, engines, engine)
    if engine != "torch":  # which has nothing to store
        stored = {item.key.arguments for item in EngineCache(tmp_path / "engines").stored()}
        assert stored == {("1x3x160x224", "1x2x160x224"), ("2x3x160x224", "2x2x160x224")}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_with_several_outputs_says_them_of_each_image(tmp_path, engine):
    engines = engines_for(engine, tmp_path)
    entry = with_short_side(read_registry()["depth_anything_3_mono_large"], 56)
    model = DepthAnything3(pseudo_random.filled(lambda: Da3Net(TINY)), entry, CPU, "")
    engines.fit(model, entry)
    engines.prepare(model)

    check(model, engines, engine)


@pytest.mark.slow
def test_another_number_of_images_is_served_by_torch_until_its_engine_is_ready(tmp_path):
    engines = engines_for("onnxruntime", tmp_path, is_live=True)
    model = load_model("nano", engines=engines)
    engines.prepare(model)

    model.infer_batch(BOTH, [None, None])
    meanwhile, _ = engines.reports()
    assert (meanwhile.plan.engine, meanwhile.is_building) == ("torch", True)
    model.net.call._builder._thread.join()
    model.infer_batch(BOTH, [None, None])
    after, _ = engines.reports()
    assert (after.plan.engine, after.is_building) == ("onnxruntime", False)
    engines.close()


# What such an engine is compared on.


def test_the_images_of_an_example_differ():
    images = [(torch.full((1, 3, 4, 4), value), 1.0) for value in (1.0, 2.0)]
    like = (torch.zeros(3, 3, 2, 4), 2.0)

    examples = examples_like(like, images)

    assert [tuple(item.shape) for item, _ in examples] == [(3, 3, 2, 4)] * 2
    assert [item[:, 0, 0, 0].tolist() for item, _ in examples] == [[1.0, 2.0, 1.0], [2.0, 1.0, 2.0]]
    assert [aspect for _, aspect in examples] == [2.0, 2.0]
    assert examples_like(like, []) == []


@pytest.mark.parametrize("shape", [(2, 1, 10, 101), (2, 10, 101), (2,)], ids=["map", "flat", "one"])
def test_each_image_of_a_batch_counts_for_itself(shape):
    truth = torch.linspace(1.0, 2.0, torch.Size(shape).numel()).reshape(shape)
    said = truth.clone()
    said[1] *= 1.5  # of two images the second is wrong

    assert output_error([(truth,)], [(truth.clone(),)]).median == 0.0
    assert output_error([(said,)], [(truth,)]).median > 0.4


def test_a_number_of_each_image_is_compared_with_its_size():
    truth = torch.tensor([2.0, 2.001])  # a metric scale of two images
    assert output_error([(truth * 1.01,)], [(truth,)]).median == pytest.approx(0.01, rel=1e-3)
