"""Points of clouds in every layout; and clouds that contradict themselves."""

from __future__ import annotations

from array import array
from types import SimpleNamespace

import numpy as np
import pytest

from encoded_images import as_rosbags_has_it
from mono_depth.errors import FrameError
from mono_depth.messages.point_cloud import read_points

XYZ = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]], np.float32)
FLOAT32, FLOAT64, UINT8 = 7, 8, 2


def field(name: str, offset: int, datatype: int = FLOAT32) -> SimpleNamespace:
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=1)


def cloud(
    points: np.ndarray, height: int = 1, *, kind: str = "<f4", before: int = 0, padding: int = 0
) -> SimpleNamespace:
    """Write x, y, z of each point behind `before` bytes; rows end with padding."""
    item = np.dtype(kind).itemsize
    step = before + 3 * item
    width = len(points) // height
    rows = []
    for row in points.reshape(height, width, 3):
        rows += [b"\xaa" * before + point.astype(kind).tobytes() for point in row]
        rows += [b"\xff" * padding]
    datatype = FLOAT32 if item == 4 else FLOAT64
    return SimpleNamespace(
        height=height,
        width=width,
        fields=[field(name, before + i * item, datatype) for i, name in enumerate("xyz")],
        is_bigendian=kind.startswith(">"),
        point_step=step,
        row_step=width * step + padding,
        data=array("B", b"".join(rows)),
    )


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize(("before", "padding"), [(0, 0), (4, 6)])
@pytest.mark.parametrize("height", [1, 2])
def test_points_are_read_whatever_their_layout(
    kind: str, before: int, padding: int, height: int
) -> None:
    msg = cloud(XYZ, height, kind=kind, before=before, padding=padding)
    for given in (msg, as_rosbags_has_it(msg)):
        points = read_points(given)
        np.testing.assert_array_equal(points, XYZ)
        assert points.dtype == np.float32


def test_fields_are_found_by_name() -> None:
    msg = cloud(XYZ)
    x, y, z = msg.fields
    msg.fields = [field("intensity", 0, UINT8), z, y, x]
    np.testing.assert_array_equal(read_points(msg), XYZ)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_points_that_are_no_numbers_are_left_out(bad: float) -> None:
    points = XYZ.copy()
    points[1, 2] = bad
    np.testing.assert_array_equal(read_points(cloud(points)), XYZ[[0, 2, 3]])


def test_of_large_clouds_points_are_left_out_evenly() -> None:
    points = np.arange(3 * 50_000, dtype=np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(read_points(cloud(points)), points[::3])


@pytest.mark.parametrize("changes", [{"width": 0, "row_step": 0}, {"height": 0}])
def test_an_empty_cloud_has_no_points(changes: dict[str, int]) -> None:
    msg = SimpleNamespace(**{**vars(cloud(XYZ)), "data": array("B"), **changes})
    assert read_points(msg).shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fields": [field("x", 0), field("y", 4)]}, "the cloud has no float field z"),
        ({"fields": [field(n, 0, UINT8) for n in "xyz"]}, "the cloud has no float field x, y, z"),
        ({"width": 5}, "cloud of 5x1 points with 48 bytes, expected 60"),
        ({"height": 2}, "cloud of 4x2 points with 48 bytes, expected 96"),
        (
            {"row_step": 47, "data": array("B", bytes(47))},
            r"expected 48 \(point_step 12, row_step 47",
        ),
        ({"row_step": 64, "data": array("B", bytes(50))}, "50 bytes, expected 64"),
        ({"fields": [field(n, 10) for n in "xyz"]}, "point_step 12, its x, y and z need 14"),
        ({"point_step": 0}, "point_step 0, its x, y and z need 12"),
    ],
)
def test_a_cloud_that_contradicts_itself_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(FrameError, match=text):
        read_points(SimpleNamespace(**{**vars(cloud(XYZ)), **changes}))


def test_a_cloud_without_points_needs_no_fields():
    nothing = SimpleNamespace(width=0, height=0, fields=[], point_step=0, row_step=0, data=b"")
    assert read_points(nothing).shape == (0, 3)


@pytest.mark.parametrize("row_step", [0, 4, 47, 9999])
@pytest.mark.parametrize("height", [1, 2])
def test_where_the_data_has_no_padding_a_wrong_row_step_says_nothing(
    row_step: int, height: int
) -> None:
    msg = SimpleNamespace(**{**vars(cloud(XYZ, height)), "row_step": row_step})
    np.testing.assert_array_equal(read_points(msg), XYZ)
