"""A network that fails, hangs or is exchanged: the node goes on, or ends on purpose."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image

from mono_depth.models.families.onnx import OnnxDepth
from mono_depth.outputs.depth_result import DepthLimits
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.stream.back_off import BackOff
from mono_depth_ros.depth_node import model_swap, stream
from mono_depth_ros.exit_codes import ExitCode

pytestmark = pytest.mark.ros

IMAGE = np.full((6, 8, 3), 100, np.uint8)  # 4 m of tiny_metric, 2 m of tiny_fickle
IMAGE[:, 4:] = 175


@pytest.fixture
def bench(depth_bench, monkeypatch):
    """A node with a calibrated camera, whose first pause is 0.5 s."""
    monkeypatch.setattr(stream, "BackOff", lambda: BackOff(first_s=0.5))
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    return bench


def lose_device(*_: object) -> None:
    raise RuntimeError("CUDA error: device lost")


def spend_memory(*_: object) -> None:
    raise RuntimeError("CUDA out of memory")


def shown(bench) -> np.ndarray:
    """Return the depth of a new image, wherever it takes some time to come."""
    good = bench.image(IMAGE)
    bench.process(good)
    message = bench.output("depth/image", good)
    return np.frombuffer(message.data, np.float32).reshape(6, 8)


# Failures


def test_five_unexpected_failures_in_a_row_pause_depth_and_it_comes_back_by_itself(
    bench, monkeypatch
):
    with monkeypatch.context() as fault:
        fault.setattr(OnnxDepth, "infer", lose_device)
        for _ in range(5):
            bench.process(bench.image(IMAGE))
        problem = "paused for 0.5 s after 5 failed frames in a row, then tried again: RuntimeError("
        bench.wait_for_status(DiagnosticStatus.ERROR, problem)
        assert "device lost" in bench.wait_for_log(problem)
        assert bench.state() == "active"

    def is_back() -> bool:
        before = bench.node.stats.published
        return bench.process(bench.image(IMAGE)).published > before

    bench.ros.wait_until(is_back, what="depth after the pause")
    bench.wait_for_log("depth is found again after failed frames")
    bench.ros.wait_until(lambda: bench.stream_values()["last_error"] == "", what="no error")
    assert bench.state() == "active"
    assert bench.log_lines("frame failed: ")[0].endswith("RuntimeError: CUDA error: device lost\n")
    stats = bench.node.stats
    assert stats.received == stats.published + stats.dropped + stats.skipped


def test_frames_of_a_pause_are_skipped_with_the_reason_and_cost_no_inference(bench, monkeypatch):
    tried: list[None] = []

    def fail(*_: object) -> None:
        tried.append(None)
        lose_device()

    monkeypatch.setattr(stream, "BackOff", lambda: BackOff(first_s=60.0))
    assert bench.change_state("deactivate")
    assert bench.change_state("activate")
    bench.wait_for_inputs()
    bench.calibrate()
    monkeypatch.setattr(OnnxDepth, "infer", fail)
    for _ in range(5):
        bench.process(bench.image(IMAGE))
    count = len(tried)

    stats = [bench.process(bench.image(IMAGE)) for _ in range(3)][-1]

    assert len(tried) == count
    assert (stats.skipped, stats.published) == (8, 0)
    assert stats.last_skip.startswith("paused for 30 s after 5 failed frames in a row")


def test_four_failures_and_a_good_frame_pause_nothing(bench, monkeypatch):
    for _ in range(2):
        with monkeypatch.context() as fault:
            fault.setattr(OnnxDepth, "infer", lose_device)
            for _ in range(4):
                bench.process(bench.image(IMAGE))
        good = bench.image(IMAGE)
        bench.process(good)
        bench.output("depth/image", good)

    stats = bench.node.stats
    assert (stats.published, stats.skipped) == (2, 8)
    assert bench.log_lines("paused for") == []


def test_memory_that_an_output_lacks_makes_the_model_smaller_and_the_node_goes_on(
    bench, monkeypatch
):
    assert shown(bench)[0, 0] == pytest.approx(4.0)
    with monkeypatch.context() as fault:
        fault.setattr(DepthLimits, "apply", spend_memory)
        bench.process(bench.image(IMAGE))
    bench.wait_for_log("frame skipped: out of memory on cpu: CUDA out of memory; next: cpu")
    assert shown(bench)[0, 0] == pytest.approx(4.0)
    assert bench.node.stats.published == 2


# The end of the process

NODE = """
import sys
from mono_depth.pipeline import pipeline
from mono_depth_ros.depth_node.node import main

def lose_gpu(*_, **__):
    raise RuntimeError("CUDA error: device-side assert triggered")

if sys.argv[1] == "lost":
    pipeline.predict = lose_gpu
main(sys.argv[1:])
"""


def run_until_it_ends(ros, registry, fault: str, rgb: np.ndarray, **parameters) -> tuple[int, str]:
    """Feed images to the executable until it ends; return its status and its output."""
    peer = ros.node("peer")
    told: list[DiagnosticArray] = []
    peer.create_subscription(DiagnosticArray, "/diagnostics", told.append, 100)
    peer.create_subscription(Image, "/mono_depth/relative/image", lambda _: None, 10)
    images = peer.create_publisher(Image, "image", 5)
    chosen = {
        "model": "tiny_slow",
        "engine": "onnxruntime",
        "registry": registry,
        "threads": 1,
        "device": "cpu",
        "diagnostics.period_s": 0.1,
        **parameters,
    }
    arguments = [word for name, value in chosen.items() for word in ("-p", f"{name}:={value}")]
    process = ros.run("-c", NODE, fault, "--ros-args", *arguments)
    ros.wait_until(images.get_subscription_count, 60.0, what="the node")

    def has_ended() -> bool:
        message = Image(height=6, width=8, step=24, encoding="rgb8", data=rgb.tobytes())
        message.header.frame_id, message.header.stamp = "camera", peer.get_clock().now().to_msg()
        images.publish(message)
        return process.poll() is not None

    ros.wait_until(has_ended, 60.0, what="the end of the process")
    errors = [s.message for m in told for s in m.status if s.level == DiagnosticStatus.ERROR]
    return process.returncode, ros.output(process) + "\n".join(errors)


@pytest.mark.slow
def test_a_network_that_hangs_ends_the_process_with_a_status_of_its_own(ros, tiny_models):
    slow = IMAGE.copy()
    slow[..., 2] = 255  # some 2 s of work

    code, said = run_until_it_ends(ros, tiny_models, "none", slow, **{"watchdog.limit_s": 0.5})

    assert code == ExitCode.HUNG
    assert "watchdog.limit_s is 0.5; the process ends with status 70" in said


@pytest.mark.slow
def test_a_gpu_that_is_lost_ends_the_process_with_a_status_of_its_own(ros, tiny_models):
    code, said = run_until_it_ends(ros, tiny_models, "lost", IMAGE)

    assert code == ExitCode.GPU_LOST
    assert "this process cannot use the GPU any more: RuntimeError('CUDA error: device-side" in said
    assert "the process ends with status 71" in said


# Another model


def test_another_model_takes_over_between_two_frames_while_the_old_one_goes_on(bench, monkeypatch):
    may_load = threading.Event()
    build = model_swap.build_pipeline

    def build_when_told(*args: object, **kwargs: object) -> DepthPipeline:
        assert may_load.wait(20.0)
        return build(*args, **kwargs)

    monkeypatch.setattr(model_swap, "build_pipeline", build_when_told)
    assert shown(bench)[0, 0] == pytest.approx(4.0)

    assert bench.set_parameters(model="tiny_fickle") == ""
    assert shown(bench)[0, 0] == pytest.approx(4.0)  # of the old one, meanwhile
    may_load.set()
    bench.wait_for_log("model tiny_fickle (metric) on cpu")

    bench.ros.wait_until(lambda: shown(bench)[0, 0] == pytest.approx(2.0), what="the new model")
    stats = bench.node.stats
    assert stats.received == stats.published
    assert stats.last_reset == "model tiny_fickle took over"
    assert bench.state() == "active"
    assert bench.node.get_parameter("model").value == "tiny_fickle"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "tiny_typo"}, "tiny_typo"),
        ({"model": "tiny_absent"}, "get them with: mono-depth models pull tiny_absent"),
        ({"model": "tiny_broken"}, "ONNX Runtime failed on a 1x3x6x8 input"),
        ({"model": "tiny_forbidden"}, "allow_noncommercial"),
        ({"device": "cuda:9"}, "cuda:9"),
        ({"registry": "/nowhere/registry.yaml"}, "/nowhere/registry.yaml"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_model_that_cannot_be_loaded_leaves_the_old_one_and_its_parameters(
    bench, changes, reason
):
    (name, before) = next((name, bench.node.get_parameter(name).value) for name in changes)

    assert bench.set_parameters(**changes) == ""  # accepted at once, then loaded

    line = bench.wait_for_log("; tiny_metric goes on")
    assert reason in line
    bench.ros.wait_until(lambda: bench.node.get_parameter(name).value == before)
    bench.ros.wait_until(lambda: model_status(bench).level == DiagnosticStatus.WARN)
    assert reason in model_status(bench).message
    assert shown(bench)[0, 0] == pytest.approx(4.0)
    assert bench.state() == "active"


def model_status(bench) -> DiagnosticStatus:
    return next(s for s in bench.diagnostics[-1].status if s.name == "mono_depth: model")


def test_the_newest_of_several_wishes_counts(bench):
    for name in ("tiny_half", "tiny_broken", "tiny_affine", "tiny_fickle"):
        assert bench.set_parameters(model=name) == ""

    bench.wait_for_log("model tiny_fickle (metric) on cpu")

    bench.ros.wait_until(lambda: shown(bench)[0, 0] == pytest.approx(2.0), what="the new model")
    for name in ("tiny_half", "tiny_broken", "tiny_affine"):
        assert bench.log_lines(f"model {name} (metric) on cpu") == []
    assert bench.log_lines("goes on") == []


def test_a_wish_taken_back_while_it_loads_changes_nothing(bench):
    assert bench.set_parameters(model="tiny_fickle") == ""
    assert bench.set_parameters(model="tiny_metric") == ""

    bench.ros.wait_until(lambda: not bench.node._swap.is_under_way)
    assert shown(bench)[0, 0] == pytest.approx(4.0)
    assert bench.log_lines("goes on") == []


def test_deactivation_while_a_model_loads_keeps_the_old_one(bench, monkeypatch):
    may_load = threading.Event()
    build = model_swap.build_pipeline
    monkeypatch.setattr(
        model_swap, "build_pipeline", lambda *a, **k: may_load.wait(20.0) and build(*a, **k)
    )
    assert bench.set_parameters(model="tiny_fickle") == ""

    assert bench.change_state("deactivate")
    may_load.set()

    bench.wait_for_log("tiny_fickle not taken: the node was deactivated; tiny_metric goes on")
    assert bench.node.get_parameter("model").value == "tiny_metric"
    assert bench.change_state("activate")
    bench.wait_for_inputs()
    bench.calibrate()
    assert shown(bench)[0, 0] == pytest.approx(4.0)


def test_live_parameters_set_while_a_model_loads_hold_for_it_too(bench, monkeypatch):
    may_load = threading.Event()
    build = model_swap.build_pipeline
    monkeypatch.setattr(
        model_swap, "build_pipeline", lambda *a, **k: may_load.wait(20.0) and build(*a, **k)
    )
    assert bench.set_parameters(model="tiny_fickle") == ""
    assert bench.set_parameters(min_depth_m=3.0) == ""
    may_load.set()
    bench.wait_for_log("model tiny_fickle (metric) on cpu")

    depth_m = shown(bench)

    assert np.isnan(depth_m[0, 0])  # 2 m
    assert depth_m[0, 7] == pytest.approx(5.0)


def test_the_old_model_is_freed_after_the_swap(bench):
    old = weakref.ref(bench.node._pipeline)
    assert bench.set_parameters(model="tiny_fickle") == ""
    bench.wait_for_log("model tiny_fickle (metric) on cpu")
    shown(bench)

    def is_freed() -> bool:
        gc.collect()
        return old() is None

    bench.ros.wait_until(is_freed, what="the old pipeline")


def test_another_model_mends_a_node_whose_network_fails(bench, monkeypatch):
    monkeypatch.setattr(stream, "BackOff", lambda: BackOff(first_s=60.0))
    with monkeypatch.context() as fault:
        fault.setattr(OnnxDepth, "infer", lose_device)
        for _ in range(5):
            bench.process(bench.image(IMAGE))
    assert bench.set_parameters(model="tiny_fickle") == ""
    bench.wait_for_log("model tiny_fickle (metric) on cpu")

    assert shown(bench)[0, 0] == pytest.approx(2.0)
