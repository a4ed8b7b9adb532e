"""The whole pipeline on a device, against the same on the CPU.

The device is a pretend one (`tests/helpers/pretend_gpu.py`); with it every branch of the code for
devices runs, and what CUDA would refuse is refused. Figures of a real GPU are not among them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from mono_depth.config import CloudConfig, PipelineConfig, RefineConfig, TemporalConfig
from mono_depth.models.loading import load_model
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.open import open_sequence
from pretend_gpu import pretend_gpu

_SIZE = (320, 240)


@pytest.fixture
def gpu():
    with pretend_gpu() as found:
        yield found


@pytest.fixture(scope="module")
def walk():
    """Frames of a robot that drives through a rendered office, with poses and sensor depth."""
    sequence = open_sequence("synthetic:office/robot/1/320x240")
    samples = [sequence[index] for index in range(5)]  # the last replays what is recorded
    return [replace(item.as_camera_frame(), sensor_depth_m=item.depth_m) for item in samples]


def bare(frame):
    return replace(with_pose(frame), T_odom_camera=None)


def with_pose(frame):
    return replace(frame, sensor_depth_m=None, sparse_points_m=None)


def with_points(frame):
    depth_m, camera = frame.sensor_depth_m, frame.intrinsics
    rows, columns = (index.ravel()[::97] for index in np.mgrid[: _SIZE[1], : _SIZE[0]])
    z = depth_m[rows, columns]
    x, y = (columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z
    points_m = np.stack((x, y, z), 1)[np.isfinite(z)].astype(np.float32)
    down = np.array([0.0, 1.0, 0.0])
    return replace(
        with_pose(frame), sparse_points_m=points_m, gravity_camera=down, camera_height_m=0.4
    )


def with_mask(frame):
    is_visible = np.ones((_SIZE[1], _SIZE[0]), np.bool_)
    is_visible[:16] = False
    return replace(with_pose(frame), is_visible=is_visible)


CASES = {
    "no filter": (bare, {"temporal": TemporalConfig(mode="none")}),
    "flow": (bare, {}),
    "static": (bare, {"temporal": TemporalConfig(mode="static")}),
    "pose": (with_pose, {}),
    "pose, points, ground": (with_points, {}),
    "pose, depth of a sensor": (lambda frame: frame, {}),
    "pose, mask, edges of the image": (with_mask, {"refine": RefineConfig(mode="guided")}),
}


@cache
def nano_on(device: str):
    return load_model("nano", device=device)


def pipeline_on(device: str, **values) -> DepthPipeline:
    """Return nano as it is, without engines."""
    config = PipelineConfig(device=device, threads=1, **values)
    return DepthPipeline(nano_on(device), config)


def run(pipeline, frames, builder=None) -> list[dict[str, np.ndarray]]:
    """Return what is published of each frame, in the memory of the CPU."""
    builder, found = builder or CloudBuilder(), []
    for frame in frames:
        result = pipeline.process(frame)
        cloud = builder.build(
            result.depth_m, result.intrinsics, CloudConfig(), result.rgb_tensor
        ).points
        maps = {
            "depth_m": result.depth_m,
            "relative": result.relative,
            "confidence": result.confidence,
            "cloud": cloud[..., :3],
        }
        assert {item.device.type for item in maps.values()} == {pipeline.model.device.type}
        found.append({name: item.cpu().numpy().copy() for name, item in maps.items()})
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_device_gives_what_the_cpu_gives(gpu, walk, case):
    prepare, values = CASES[case]
    frames = [prepare(frame) for frame in walk]
    expected = run(pipeline_on("cpu", **values), frames)
    check(run(pipeline_on("cuda", **values), frames), expected)
    assert sum(gpu.kernels.values()) > 100


# What the host waits for in a frame beside its outputs, depth and cloud. Each is a download that
# the next step on the CPU needs: the range of the network's output, samples of it and of the
# metres, its grid with and without hints, and what it says at sparse points; then samples and
# small maps of the filter, and for flow and odometry its memory. Where an image may show sky, as a
# white wall does, the metres of the network are one more.
_WAITS = {"no filter": 1, "static": 2, "flow": 3, "pose": 4, "pose, mask, edges of the image": 4}
_MOST_WAITS = 7
_SKY = 1


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_frame_waits_for_downloads_and_for_nothing_else(gpu, walk, case):
    prepare, values = CASES[case]
    pipeline, builder = pipeline_on("cuda", **values), CloudBuilder()
    for frame in map(prepare, walk):
        gpu.reset()
        result = pipeline.process(frame)
        cloud = builder.build(
            result.depth_m, result.intrinsics, CloudConfig(), result.rgb_tensor
        ).points
        outputs = [result.depth_m.cpu(), cloud.cpu()]
        assert result.stage_ms["infer"] > 0.0

    assert all(what.startswith("download ") for what in gpu.stalls), gpu.stalls
    assert sum(gpu.stalls.values()) <= _WAITS.get(case, _MOST_WAITS) + _SKY + len(outputs)
    given = (frame.rgb, frame.sensor_depth_m, frame.is_visible)
    small = 300_000  # the map of sparse points, the grey image of the filter, what comes nearer
    assert gpu.bytes_up <= sum(item.nbytes for item in given if item is not None) + small
    published = sum(item.numel() * item.element_size() for item in outputs)
    of_network = 4 * 160 * 224  # its metres, for the sky
    assert gpu.bytes_down <= published + 7 * _SIZE[0] * _SIZE[1] + of_network


@pytest.mark.slow
def test_a_mask_that_stays_is_uploaded_once(gpu, walk):
    pipeline = pipeline_on("cuda", temporal=TemporalConfig(mode="none"))
    masked = with_mask(walk[0])
    results = [pipeline.process(masked), pipeline.process(masked)]
    assert results[0].is_visible is results[1].is_visible
    other = np.ones((_SIZE[1], _SIZE[0]), np.bool_)
    assert pipeline.process(replace(masked, is_visible=other)).is_visible.cpu().all()


# Of a frame whose regions are recorded, with depth, inverse depth, confidence and cloud.
_MOST_LAUNCHES = {"pose": 150, "pose, points, ground": 185}


@pytest.mark.slow
@pytest.mark.parametrize("case", _MOST_LAUNCHES)
def test_engines_of_a_device_give_what_the_cpu_gives_in_few_launches(gpu, walk, tmp_path, case):
    prepare, values = CASES[case]
    frames = [prepare(frame) for frame in walk]
    config = PipelineConfig(
        model="nano", device="cuda", engine="torch", precision="fp32", weights_dir=str(tmp_path)
    )
    pipeline, builder = build_pipeline(replace(config, threads=1, **values)), CloudBuilder()
    found = run(pipeline, frames[:-1], builder)
    gpu.reset()
    found += run(pipeline, frames[-1:], builder)
    assert sum(gpu.kernels.values()) <= _MOST_LAUNCHES[case], gpu.kernels
    check(found, run(pipeline_on("cpu", **values), frames))
    for report in pipeline.engine_reports():
        assert (report.detail, report.refused) == ("CUDA graph", ())


def check(found, expected) -> None:
    """Compare what `run` gave: rounding apart the same, and of the same pixels."""
    for actual, true in zip(found, expected, strict=True):
        for name, values_then in true.items():
            known, known_there = np.isfinite(values_then), np.isfinite(actual[name])
            assert np.mean(known != known_there) < 3e-3, name
            both = known & known_there
            error = np.abs(actual[name] - values_then)[both]
            assert np.median(error) < 2e-3 * np.median(np.abs(values_then[both])), name


def test_tensors_of_two_devices_do_not_meet(gpu):
    there = torch.ones(3, device="cuda")
    with pytest.raises(RuntimeError, match="on the same device"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu"):
        there.numpy()
    assert (there + there).cpu().tolist() == [2.0, 2.0, 2.0]
    assert sum(gpu.downloads.values()) == 1


def test_nothing_waits_within_a_capture(gpu):
    values = torch.ones(3, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with (
        pytest.raises(RuntimeError, match="not permitted when stream is capturing"),
        torch.cuda.graph(graph),
    ):
        (values + 1.0).cpu()
    assert not gpu.is_capturing


def test_a_graph_computes_anew_in_the_same_memory(gpu):
    values = torch.ones(3, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = values * 2.0 + 1.0
    values.fill_(5.0)
    before = gpu.launched
    graph.replay()
    assert made.cpu().tolist() == [11.0, 11.0, 11.0]
    assert gpu.launched == before + 1
