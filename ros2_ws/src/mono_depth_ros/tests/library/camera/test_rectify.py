"""Rectified pixels are where an ideal pinhole camera sees the same ray."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mono_depth.camera.rectify import Lens, LensModel, Rectifier
from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError

# TUM RGB-D freiburg1, as published.
TUM = Intrinsics(width=640, height=480, fx=517.3, fy=516.5, cx=318.6, cy=255.3)
TUM_LENS = Lens(model=LensModel.POLYNOMIAL, coefficients=(0.2624, -0.9531, -0.0054, 0.0026, 1.1633))
RATIONAL_LENS = Lens(
    model=LensModel.POLYNOMIAL, coefficients=(0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05)
)
FISHEYE_LENS = Lens(model=LensModel.FISHEYE, coefficients=(0.05, -0.02, 0.004, -0.001))
WIDER = Intrinsics(width=640, height=480, fx=430.0, fy=440.0, cx=310.0, cy=235.0)
TURNED = cv2.Rodrigues(np.array([0.02, -0.06, 0.01]))[0]


def raw_pixels_of(
    pixels: np.ndarray, rectified: Intrinsics, lens: Lens, rotation: np.ndarray
) -> np.ndarray:
    """Return where the raw camera sees the rays of (N, 2) rectified pixels."""
    rays = np.column_stack((pixels, np.ones(len(pixels)))) @ np.linalg.inv(rectified.matrix()).T
    rays = rays @ rotation  # it turns raw into rectified, so its transpose turns back
    coefficients = np.array(lens.coefficients)
    if lens.model is LensModel.FISHEYE:
        flat = (rays[:, :2] / rays[:, 2:])[:, None]
        return cv2.fisheye.distortPoints(flat, TUM.matrix(), coefficients)[:, 0]
    return cv2.projectPoints(rays, np.zeros(3), np.zeros(3), TUM.matrix(), coefficients)[0][:, 0]


@pytest.mark.parametrize("rotation", [np.eye(3), TURNED], ids=["level", "turned"])
@pytest.mark.parametrize("rectified", [TUM, WIDER], ids=["same K", "other P"])
@pytest.mark.parametrize("lens", [TUM_LENS, RATIONAL_LENS, FISHEYE_LENS], ids=str)
def test_each_pixel_comes_from_where_its_ray_hits(
    lens: Lens, rectified: Intrinsics, rotation: np.ndarray
) -> None:
    rectifier = Rectifier(
        raw=TUM, lens=lens, rectified=rectified, rotation=tuple(rotation.ravel().tolist())
    )
    columns, rows = np.meshgrid(np.arange(640, dtype=np.float32), np.arange(480, dtype=np.float32))
    from_column = rectifier.apply_to_depth(columns)
    from_row = rectifier.apply_to_depth(rows)

    pixels = np.stack(np.meshgrid(np.arange(0, 640, 13), np.arange(0, 480, 11)), -1).reshape(-1, 2)
    expected = raw_pixels_of(pixels.astype(float), rectified, lens, rotation)
    inside = ((expected > 1) & (expected < (638, 478))).all(1)
    assert inside.sum() > 1000
    u, v = pixels[inside].T
    got = np.column_stack((from_column[v, u], from_row[v, u]))
    # Nearest pixel of coordinates that are kept in steps of 1/32.
    assert np.abs(got - expected[inside]).max() <= 0.5 + 1 / 32
    assert rectifier.is_visible[v, u].all()
    outside = ((expected < -1) | (expected > (640, 480))).any(1)
    u, v = pixels[outside].T
    assert not rectifier.is_visible[v, u].any()
    assert np.isnan(from_column[v, u]).all()


def test_undistorted_points_land_on_the_rectified_image() -> None:
    raw = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(raw, (60, 400), 6, (255, 255, 255), cv2.FILLED)
    rectifier = Rectifier(raw=TUM, lens=TUM_LENS, rectified=WIDER)
    rows, columns = np.nonzero(rectifier.apply(raw)[..., 0] > 127)
    expected = cv2.undistortPoints(
        np.array([[[60.0, 400.0]]]),
        TUM.matrix(),
        np.array(TUM_LENS.coefficients),
        P=WIDER.matrix(),
    )[0, 0]
    np.testing.assert_allclose((columns.mean(), rows.mean()), expected, atol=0.3)


def test_a_real_image_is_that_of_opencv(shared_data: Path) -> None:
    image = sorted((shared_data / "tum_fr1_rpy" / "rgb").iterdir())[0]
    rgb = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
    rectified = Rectifier(raw=TUM, lens=TUM_LENS, rectified=TUM).apply(rgb)
    expected = cv2.undistort(rgb, TUM.matrix(), np.array(TUM_LENS.coefficients))
    assert rectified.dtype == np.uint8
    # A coordinate between two steps of 1/32 pixel may be rounded either way.
    assert (np.abs(rectified.astype(int) - expected) > 1).mean() < 1e-4


def test_a_lens_without_distortion_changes_nothing() -> None:
    lens = Lens(model=LensModel.POLYNOMIAL, coefficients=(0.0,) * 5)
    rectifier = Rectifier(raw=TUM, lens=lens, rectified=TUM)
    rgb = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rectifier.apply(rgb), rgb)
    assert rectifier.is_visible.all()


def test_another_image_size_is_refused() -> None:
    rectifier = Rectifier(raw=TUM, lens=TUM_LENS, rectified=TUM)
    with pytest.raises(FrameError, match="image of 320x240, this camera makes 640x480"):
        rectifier.apply(np.zeros((240, 320, 3), np.uint8))


def test_a_rectified_image_of_another_size_is_refused() -> None:
    with pytest.raises(FrameError, match="rectified image of 320x240, expected the 640x480"):
        Rectifier(raw=TUM, lens=TUM_LENS, rectified=TUM.scaled_to(320, 240))


@pytest.mark.parametrize(
    ("model", "coefficients", "text"),
    [
        (LensModel.POLYNOMIAL, (0.1, 0.2, 0.3), "3 coefficients of a polynomial lens"),
        (
            LensModel.FISHEYE,
            (0.1,) * 5,
            r"5 coefficients of a fisheye lens, expected one of \(4,\)",
        ),
        (LensModel.FISHEYE, (0.1, 0.2, 0.3, float("nan")), "are not finite"),
    ],
)
def test_an_impossible_lens_is_refused(
    model: LensModel, coefficients: tuple[float, ...], text: str
) -> None:
    with pytest.raises(FrameError, match=text):
        Lens(model=model, coefficients=coefficients)
