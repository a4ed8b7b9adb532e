"""Points of the camera's motion as points in space."""

import numpy as np

from mono_depth.data import Intrinsics, MotionPoints
from mono_depth.outputs.landmarks import landmark_rows

CAMERA = Intrinsics(width=64, height=48, fx=50.0, fy=40.0, cx=31.5, cy=23.5)


def test_a_landmark_lies_on_the_ray_of_its_pixel_with_its_deviation_in_metres():
    points = MotionPoints(
        pixels=np.array([[31.5, 23.5], [41.5, 3.5]]),
        depth_m=np.array([2.0, 4.0]),
        sigma_rel=np.array([0.05, 0.02]),
        views=np.array([3, 4]),
        age_s=np.zeros(2),
    )
    rows = landmark_rows(points, CAMERA)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.0, 0.0, 2.0, 0.1], [0.8, -2.0, 4.0, 0.08]], atol=1e-6)


def test_no_points_are_no_rows():
    assert landmark_rows(MotionPoints.none("the first view"), CAMERA).shape == (0, 4)
