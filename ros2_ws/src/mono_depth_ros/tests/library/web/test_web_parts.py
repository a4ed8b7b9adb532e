"""The parts of the server that need no HTTP."""

from __future__ import annotations

import struct
import threading

import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics, OutputKind, ScaleStatus
from mono_depth.outputs.depth_result import DepthLimits, DepthResult
from mono_depth.web.api_error import ApiError
from mono_depth.web.depth_queue import DepthQueue
from mono_depth.web.depth_request import LEVERS, DepthRequest
from mono_depth.web.depth_statistics import depth_statistics
from mono_depth.web.exif import focal_px
from mono_depth.web.lengths import (
    Deviations,
    depth_at,
    depth_interval,
    length_interval,
    length_sigma,
    pixel_sigma,
)
from mono_depth.web.one_image_scale import scaled_by_ground
from mono_depth.web.result_files import equalised

CAMERA = Intrinsics.of_view(160, 120, 60.0)


def deviations(*, scale: float = 0.0, focal: float = 0.0, pixel: float = 0.05) -> Deviations:
    return Deviations(scale=scale, focal=focal, pixel=np.full((1, 1), pixel, np.float32))


def seen(depth_m: np.ndarray) -> DepthResult:
    """A result whose network says `depth_m` at the size of the image."""
    rgb = np.zeros((*depth_m.shape, 3), np.uint8)
    values = torch.from_numpy(depth_m.astype(np.float32))
    return DepthResult(
        stamp_ns=1,
        frame_id="camera",
        rgb=rgb,
        rgb_tensor=torch.from_numpy(rgb),
        intrinsics=CAMERA,
        scale=ScaleStatus(source="model", state="assumed", scale=1.0, sigma_rel=0.5),
        limits=DepthLimits(min_m=0.05, max_m=50.0, beyond=np.inf),
        kind=OutputKind.METRIC,
        network_depth_m=values,
        network_relative=1.0 / values,
        network_confidence=None,
    )


def test_every_lever_can_be_read():
    assert set(LEVERS) == set(DepthRequest.__dataclass_fields__)


def test_a_place_is_free_again_when_its_work_is_done_or_was_never_given():
    queue = DepthQueue(waiting=1)
    goes_on = threading.Event()
    try:
        with queue.place() as place:
            running = place.run(goes_on.wait)
        with pytest.raises(ValueError, match="upload failed"), queue.place():
            raise ValueError("upload failed")
        with queue.place() as place:
            waiting = place.run(lambda: 3)
        with pytest.raises(ApiError, match="429 queue_full") as refused:
            queue.place()
        assert int(refused.value.headers["Retry-After"]) >= 1
        goes_on.set()
        assert (running.result(10), waiting.result(10)) == (True, 3)
        assert queue.place() is not None
    finally:
        queue.close()


def test_work_that_fails_leaves_the_worker_and_frees_its_place():
    queue = DepthQueue(waiting=0)
    try:
        for _ in range(3):
            with queue.place() as place:
                failing = place.run(lambda: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                failing.result(10)
            for _ in range(1000):
                if not queue.taken:
                    break
                threading.Event().wait(0.001)
    finally:
        queue.close()
    assert queue.taken == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_focal_length_of_a_phone_is_read(order):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(order + "IH", 8, 1) + struct.pack(order + "HHII", 0x8769, 4, 1, 26)
    folder = struct.pack(order + "IH", 0, 1) + struct.pack(order + "HHIHH", 0xA405, 3, 1, 27, 0)
    exif = b"Exif\0\0" + mark + first + folder
    jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"\xff\xda"

    assert focal_px(jpeg, 4000, 3000) == pytest.approx(27 / 43.2666 * 5000, rel=1e-4)
    for end in range(len(jpeg)):
        focal_px(jpeg[:end], 4000, 3000)  # whatever is missing, it is no error
    assert focal_px(jpeg.replace(struct.pack(order + "H", 27), b"\0\0"), 40, 30) is None
    assert focal_px(b"\x89PNG\r\n\x1a\n", 40, 30) is None


def test_the_ground_under_a_known_height_gives_the_metres():
    """A level camera 1.5 m over a floor that ends at a wall, all seen at half its distance."""
    rows = np.arange(120)[:, None] - CAMERA.cy
    floor = np.where(rows > 0.5, 1.5 * CAMERA.fy / np.maximum(rows, 0.5), np.inf)
    true_m = np.minimum(floor, 6.0) * np.ones((1, 160))

    found, refusal = scaled_by_ground(seen(0.5 * true_m), 1.5)

    assert refusal == ""
    assert (found.scale.source, found.scale.state) == ("ground_plane", "converging")
    assert found.scale.scale == pytest.approx(2.0, rel=0.02)
    assert 0.1 <= found.scale.sigma_rel < 0.2
    assert found.planner_use.value == "mark"
    np.testing.assert_allclose(found.depth_m.numpy(), true_m, rtol=0.02)


def test_a_wall_tells_no_height_and_stays_as_it_is():
    wall = seen(np.linspace(2.0, 2.1, 160 * 120).reshape(120, 160))
    found, refusal = scaled_by_ground(wall, 1.5)

    assert found is wall
    assert "ground" in refusal


def test_the_bounds_of_a_depth_grow_with_scale_and_pixel():
    sure = depth_interval(2.0, (5, 5), CAMERA, deviations(pixel=0.05))
    unsure = depth_interval(2.0, (5, 5), CAMERA, deviations(scale=0.5, pixel=0.05))

    assert sure.low_m == pytest.approx(2.0 / np.exp(1.6449 * 0.05), rel=1e-6)
    assert unsure.low_m < sure.low_m < 2.0 < sure.high_m < unsure.high_m


@pytest.mark.slow
def test_bounds_of_lengths_hold_nine_of_ten_when_errors_are_as_told():
    random, held, total = np.random.default_rng(3), 0, 300
    told = deviations(scale=0.2, pixel=0.08)
    for _ in range(total):
        ends = [tuple(random.uniform((0, 0), (159, 119))) for _ in range(2)]
        true = random.uniform(1.0, 5.0, 2)
        shared = 0.2 * random.standard_normal()
        alike = np.exp(-np.hypot(*np.subtract(*ends)) / (0.15 * 160))
        first, other = random.standard_normal(2)
        other = alike * first + np.sqrt(1 - alike**2) * other
        measured = true * np.exp(shared + 0.08 * np.array([first, other]))
        found = length_interval(tuple(ends), tuple(measured), CAMERA, told)
        truth = length_interval(tuple(ends), tuple(true), CAMERA, told).value_m
        held += found.low_m <= truth <= found.high_m
    assert 0.86 <= held / total <= 0.97


def test_a_length_across_the_view_tells_the_scale_better_than_one_into_it():
    across = length_sigma(((10, 60), (150, 60)), (2.0, 2.0), CAMERA, deviations())
    into = length_sigma(((78, 60), (82, 60)), (2.0, 2.4), CAMERA, deviations())

    assert across < 0.06 < into


def test_little_confidence_is_a_large_deviation():
    sure, unsure = pixel_sigma(np.array([0.99, 0.3], np.float32))
    assert sure < 0.1 < 0.5 < unsure
    assert pixel_sigma(None).shape == (1, 1)


def test_depth_of_a_pixel_is_that_of_its_surroundings_and_unknown_where_it_is():
    depth = np.full((5, 5), 2.0, np.float32)
    depth[2, 2], depth[0, 0] = 9.0, np.nan
    assert depth_at(depth, (2.2, 1.8)) == 2.0
    assert depth_at(depth, (0, 0)) is None
    assert depth_at(depth, (5, 0)) is None
    assert depth_at(depth, (-1, 0)) is None


def test_numbers_of_depth_leave_out_what_is_unknown_or_beyond():
    depth = np.array([[1.0, 2.0, 3.0, np.nan, np.inf]], np.float32)
    found = depth_statistics(depth)
    assert (found["min"], found["median"], found["max"], found["mean"]) == (1.0, 2.0, 3.0, 2.0)
    assert found["share_unknown"] == found["share_beyond"] == pytest.approx(0.2)
    nothing = depth_statistics(np.full((2, 2), np.nan, np.float32))
    assert (nothing["min"], nothing["histogram"], nothing["share_unknown"]) == (None, None, 1.0)


def test_equalised_colours_are_shared_out_evenly():
    depth = np.geomspace(1.0, 1000.0, 1000, dtype=np.float32)[None]
    ranks = equalised(depth)
    assert np.histogram(ranks, 4, (0, 1))[0] == pytest.approx(250, abs=5)
    assert np.isnan(equalised(np.array([[1.0, np.nan]], np.float32))[0, 1])
