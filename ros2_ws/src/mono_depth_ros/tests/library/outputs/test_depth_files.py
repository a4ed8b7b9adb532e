"""Depth that was written is read again by programs that are not ours."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mono_depth.outputs.files.depth_float import depth_exr, depth_npy, depth_tiff
from mono_depth.outputs.files.depth_png import as_millimetres, depth_png
from mono_depth.outputs.files.whole_file import write_whole

READ_EXR = "import cv2, numpy, sys; numpy.save(sys.argv[2], cv2.imread(sys.argv[1], -1))"


@pytest.fixture
def depth_m():
    """35 rows and 21 columns: odd sizes, the last block of an EXR is not full, and smooth."""
    rows, columns = np.mgrid[0:35, 0:21]
    depth_m = (0.7 + 0.05 * rows + 0.01 * columns**1.5).astype(np.float32)
    depth_m[3, 4] = np.nan
    return depth_m


def test_png_is_within_half_a_millimetre_and_says_unknown_and_beyond(depth_m):
    depth_m[0, 0], depth_m[0, 1], depth_m[0, 2] = np.inf, 65.5344, 65.5346

    stored = cv2.imdecode(np.frombuffer(depth_png(depth_m), np.uint8), cv2.IMREAD_UNCHANGED)

    assert (stored.dtype, stored.shape) == (np.uint16, (35, 21))
    assert stored[3, 4] == 0
    assert stored[0, :3].tolist() == [65535, 65534, 65535]
    distance = (stored > 0) & (stored < 65535)
    assert np.count_nonzero(~distance) == 3
    assert abs(stored * 0.001 - depth_m)[distance].max() <= 0.00051


@pytest.mark.parametrize("value", [0.0, -1.0, -math.inf, math.nan])
def test_what_is_no_depth_is_unknown_in_millimetres(value):
    assert as_millimetres(np.full((1, 1), value, np.float32)).tolist() == [[0]]


def test_npy_and_tiff_hold_each_value_as_it_is(depth_m):
    depth_m[5, 5] = np.inf
    tiff = np.frombuffer(depth_tiff(depth_m), np.uint8)
    for stored in (
        np.load(io.BytesIO(depth_npy(depth_m)), allow_pickle=False),
        cv2.imdecode(tiff, cv2.IMREAD_UNCHANGED),
    ):
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, depth_m)


@pytest.mark.slow
@pytest.mark.parametrize("is_noise", [False, True], ids=["compressed", "stored"])
def test_opencv_reads_the_exr_value_for_value(depth_m, tmp_path, is_noise):
    if is_noise:  # which no compression makes smaller
        noise = np.random.default_rng(0).integers(0, 256, 35 * 21 * 4, np.uint8)
        depth_m = np.where(np.isfinite(noise.view("<f4")), noise.view("<f4"), 1.0).reshape(35, 21)
    file, read = tmp_path / "depth.exr", tmp_path / "read.npy"
    file.write_bytes(depth_exr(depth_m))

    subprocess.run(
        [sys.executable, "-c", READ_EXR, file, read],
        env={**os.environ, "OPENCV_IO_ENABLE_OPENEXR": "1"},
        check=True,
    )

    np.testing.assert_array_equal(np.load(read), depth_m)


def test_a_file_is_replaced_whole_and_leaves_no_part(tmp_path):
    file = tmp_path / "depth.png"
    file.write_bytes(b"old")
    write_whole(file, b"new")

    assert file.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["depth.png"]


def test_a_file_that_cannot_be_replaced_leaves_what_was_there(tmp_path):
    (tmp_path / "depth.png" / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match=r"depth\.png"):
        write_whole(tmp_path / "depth.png", b"new")

    assert [entry.name for entry in tmp_path.iterdir()] == ["depth.png"]
