"""Loaders of real RGB-D frames, against small files and the real recordings."""

import json

import cv2
import numpy as np
import pytest

from mono_depth.errors import FrameError
from mono_depth.recordings.real_frames import lingbot_frames, realsense_frames


def _realsense_folder(folder, depth):
    for name in ("color", "depth"):
        (folder / name).mkdir()
    bgr = np.full((2, 3, 3), (10, 20, 30), np.uint8)
    cv2.imwrite(str(folder / "color" / "0.png"), bgr)
    cv2.imwrite(str(folder / "depth" / "0.png"), depth)
    column_major = [600.0, 0, 0, 0, 601.0, 0, 1.0, 0.5, 1]
    text = json.dumps({"width": 3, "height": 2, "intrinsic_matrix": column_major})
    (folder / "cam_params_realsense.json").write_text(text)
    return folder


def test_realsense_depth_is_metres_with_nan_for_holes_and_rgb_in_order(tmp_path):
    depth = np.array([[0, 1000, 2500], [500, 0, 65534]], np.uint16)
    (frame,) = realsense_frames(_realsense_folder(tmp_path, depth))
    np.testing.assert_array_equal(
        frame.depth_m, np.array([[np.nan, 1.0, 2.5], [0.5, np.nan, 65.534]], np.float32)
    )
    assert frame.rgb[0, 0].tolist() == [30, 20, 10]
    camera = frame.intrinsics
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (600.0, 601.0, 1.0, 0.5)


def test_an_8_bit_image_is_not_taken_for_depth(tmp_path):
    folder = _realsense_folder(tmp_path, np.zeros((2, 3), np.uint8))
    with pytest.raises(FrameError, match=r"0\.png is not a 16-bit depth image"):
        list(realsense_frames(folder))


def test_lingbot_frames_have_the_camera_of_their_text_file(shared_data):
    first, second = lingbot_frames(shared_data / "lingbot_rgbd")
    assert first.intrinsics.fx == pytest.approx(460.14, abs=0.01)
    assert first.rgb.shape == second.rgb.shape == (480, 640, 3)
    assert np.isfinite(first.depth_m).mean() > 0.5
