"""Requests that wait and are alike are answered by one run of the network, each as if alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web brings fastapi")

from mono_depth.config import PipelineConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.errors import FrameError
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.pipeline.build import build_pipeline
from mono_depth.web.api_error import ApiError
from mono_depth.web.depth_request import DepthRequest
from mono_depth.web.estimator import Estimator
from mono_depth.web.limits import ServerLimits
from mono_depth.web.service import DepthService
from mono_depth.web.together import Together
from web_client import png_of

NANO = PipelineConfig(
    model="nano",
    device="cpu",
    engine="torch",
    precision="fp32",
    threads=1,
    temporal=TemporalConfig(mode="none"),
)


def image(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


def test_what_is_alike_is_gathered_in_its_order_and_never_more_than_allowed():
    done: list[list[int]] = []

    def work(asked):
        done.append(list(asked))
        return [10 * number for number in asked]

    together = Together(work, most=3)
    tasks = [together.add(key, number) for number, key in enumerate("ababaaa")]

    assert [task() for task in tasks] == [0, 10, 20, 30, 40, 50, 60]
    assert done == [[0, 2, 4], [1, 3], [5, 6]]
    assert together.add("a", 7)() == 70  # nothing is left behind, and nothing waits for others


def test_one_that_fails_fails_alone_and_work_that_fails_fails_for_all():
    def work(asked):
        if "all" in asked:
            raise OSError("gone")
        return [ValueError(item) if item == "bad" else item for item in asked]

    together = Together(work, most=9)
    good, bad = together.add(1, "good"), together.add(1, "bad")
    all_of_them = [together.add(2, item) for item in ("all", "good")]

    assert good() == "good"
    with pytest.raises(ValueError, match="bad"):
        bad()
    for task in all_of_them:
        with pytest.raises(OSError, match="gone"):
            task()


@pytest.fixture(scope="module")
def pipeline():
    built = build_pipeline(NANO)
    yield built
    built.close()


def frame(seed: int, **size: int) -> Frame:
    rgb = image(seed, **size)
    camera = Intrinsics.of_view(rgb.shape[1], rgb.shape[0], 60.0)
    return Frame(rgb=rgb, stamp_ns=seed, frame_id="camera", intrinsics=camera)


@pytest.fixture
def calls(pipeline, monkeypatch):
    """A list that grows by the number of images of each run of the network."""
    seen: list[int] = []
    (net, *_) = pipeline.model.networks
    network = net.call

    def counted(*arguments):
        seen.append(len(arguments[0]))
        return network(*arguments)

    monkeypatch.setattr(net, "call", counted)
    return seen


@pytest.mark.slow
def test_one_run_for_several_frames_finds_what_each_gets_alone(pipeline, calls):
    frames = [frame(seed) for seed in (1, 2, 3)]
    alone = []
    for item in frames:
        pipeline.reset()
        alone.append(pipeline.process(item))
    assert calls == [1, 1, 1]
    calls.clear()

    together = pipeline.process_each(frames)

    assert calls == [3]
    for one, other, item in zip(together, alone, frames, strict=True):
        assert isinstance(one, DepthResult)
        assert one.stamp_ns == item.stamp_ns
        assert one.scale == other.scale
        np.testing.assert_allclose(one.depth_m.numpy(), other.depth_m.numpy(), rtol=1e-4)
        np.testing.assert_allclose(one.own_confidence, other.own_confidence, atol=1e-4)
    assert abs(alone[0].depth_m - alone[1].depth_m).max() > 0.01


@pytest.mark.slow
def test_what_cannot_go_together_goes_one_by_one(pipeline, calls):
    black = frame(4)
    black.rgb[:] = 0
    other_size = frame(5, width=64)

    found = pipeline.process_each([frame(1), other_size, black])

    assert calls == [1, 1]  # nothing is asked about a covered lens
    assert [item.rgb.shape[1] for item in found] == [96, 64, 96]
    assert found[2].image_problem
    broken = Frame(rgb=np.zeros((1, 1, 3), np.uint8), stamp_ns=1, frame_id="camera")
    results = pipeline.process_each([frame(1), broken])
    assert isinstance(results[0], DepthResult)
    assert isinstance(results[1], (FrameError, DepthResult))
    assert pipeline.process_each([]) == []


def test_large_images_are_alike_to_none(tiny_models):
    estimator = Estimator(PipelineConfig(model="tiny_metric", registry=str(tiny_models)))
    small, large = (
        png_of(np.zeros((32, 48, 3), np.uint8)),
        png_of(np.zeros((1500, 1500, 3), np.uint8)),
    )
    request = DepthRequest()

    assert estimator.key(small, request) == estimator.key(small, request)
    assert estimator.key(large, request) != estimator.key(large, request)
    assert estimator.key(small, request) != estimator.key(small, DepthRequest(refine="guided"))


@pytest.mark.slow
def test_requests_that_wait_are_answered_together_and_a_bad_one_alone_fails():
    service = DepthService(NANO, ServerLimits(together=3, waiting=20))
    try:
        service.start().result(60)
        goes_on = threading.Event()
        service.queue.run_unqueued(goes_on.wait)
        asked = [(png_of(image(seed)), DepthRequest(fov_deg=60.0)) for seed in range(4)]
        damaged = bytearray(asked[0][0])
        damaged[60:90] = bytes(30)
        asked.insert(1, (bytes(damaged), DepthRequest()))
        asked.append((png_of(image(9, width=64)), DepthRequest()))
        futures = []
        for data, request in asked:
            with service.queue.place() as place:
                futures.append(service.submit(place, data, request))
        goes_on.set()
        good = [futures[index].result(60) for index in (0, 2, 3, 4, 5)]
        with pytest.raises(ApiError, match="400 not_an_image"):
            futures[1].result(60)

        assert "mono_depth_runs_total 3\n" in service.metrics_text()
        assert "mono_depth_image_seconds_count 5\n" in service.metrics_text()
        with service.queue.place() as place:
            alone = service.submit(place, *asked[3]).result(60)
        np.testing.assert_allclose(good[2].depth_m, alone.depth_m, rtol=1e-4)
        assert good[2].camera == alone.camera
        assert abs(good[0].depth_m - good[2].depth_m).max() > 0.01
        assert good[4].rgb.shape == (64, 64, 3)
    finally:
        service.close()
