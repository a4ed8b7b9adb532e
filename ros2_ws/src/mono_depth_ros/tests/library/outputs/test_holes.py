"""What completion had no depth for is told apart, and shown to people."""

import numpy as np
import torch

from mono_depth.display.colormap import tint_holes
from mono_depth.outputs.holes import HoleReason, split_holes


def test_a_mirror_is_a_hole_and_the_strip_beside_a_thing_is_an_edge():
    is_hole = torch.zeros(100, 200, dtype=torch.bool)
    is_hole[20:60, 30:80] = True  # the mirror
    is_hole[10:90, 120:123] = True  # the strip, 1.5 % of the width
    is_hole[95, 5] = True  # a speckle

    codes = split_holes(is_hole)

    assert codes.dtype == torch.uint8
    assert torch.equal(codes > 0, is_hole)
    assert codes[20:60, 30:80].unique().tolist() == [HoleReason.HOLE]
    assert codes[10:90, 120:123].unique().tolist() == [HoleReason.EDGE]
    assert codes[95, 5] == HoleReason.EDGE


def test_a_hole_at_the_border_of_the_image_may_go_on_beyond_it():
    is_hole = torch.zeros(100, 200, dtype=torch.bool)
    is_hole[:, 90:93] = is_hole[:, -3:] = True

    codes = split_holes(is_hole)

    assert codes[:, 90:93].unique().tolist() == [HoleReason.EDGE]
    assert codes[:, -3:].unique().tolist() == [HoleReason.HOLE]


def test_a_blind_camera_and_one_that_sees_all():
    blind = torch.ones(6, 8, dtype=torch.bool)

    assert split_holes(blind).unique().tolist() == [HoleReason.HOLE]
    assert split_holes(~blind).unique().tolist() == [HoleReason.KNOWN]


def test_each_reason_has_its_tint_and_known_depth_none():
    rgb = np.full((240, 320, 3), (50, 100, 150), np.uint8)
    hole_reasons = np.zeros((240, 320), np.uint8)
    hole_reasons[:50, :80] = HoleReason.HOLE
    hole_reasons[:50, 80:160] = HoleReason.EDGE
    hole_reasons[:50, 160:240] = HoleReason.UNSURE
    before = rgb.copy()

    shown = tint_holes(rgb, hole_reasons)

    np.testing.assert_array_equal(rgb, before)
    known = shown[:200, 250:]
    assert (known == known[0, 0, 0]).all()  # grey
    tints = [shown[10, column].tolist() for column in (10, 90, 170)]
    grey = int(known[0, 0, 0])
    assert tints == [
        [round(0.4 * grey + 0.6 * part) for part in tint]
        for tint in ((255, 0, 200), (255, 210, 0), (0, 190, 255))
    ]


def test_the_names_of_the_tints_stand_at_the_bottom_only_where_they_occur():
    rgb = np.full((240, 320, 3), 100, np.uint8)
    hole_reasons = np.zeros((240, 320), np.uint8)
    assert (tint_holes(rgb, hole_reasons) == 100).all()

    hole_reasons[:50, :80] = HoleReason.HOLE

    legend = tint_holes(rgb, hole_reasons)[200:]
    assert (legend == (255, 0, 200)).all(axis=2).any()
    assert not (legend == (255, 210, 0)).all(axis=2).any()
