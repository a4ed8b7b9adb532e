"""The bounds of measured lengths hold the truth of rendered scenes in nine of ten cases."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth.config import PipelineConfig
from mono_depth.recordings.open import open_sequence
from mono_depth.web.api_error import ApiError
from mono_depth.web.depth_request import DepthRequest
from mono_depth.web.estimator import Estimator
from mono_depth.web.lengths import depth_at, length
from web_client import png_of

pytestmark = pytest.mark.acceptance

SCENES = [
    f"synthetic:{kind}/{seed}/320x240"
    for kind in ("room/handheld", "warehouse/robot")
    for seed in (101, 102, 103, 104, 105)
]
PAIRS = 100


def test_bounds_hold_nine_of_ten_with_and_without_a_known_length():
    estimator = Estimator(PipelineConfig(model="nano", device="cpu", engine="torch"))
    random = np.random.default_rng(0)
    held = {"assumed": [], "known": []}
    widths = []
    for name in SCENES:
        seen = next(iter(open_sequence(name)))
        data, camera = png_of(seen.rgb), seen.intrinsics

        def pair(truth_m=seen.depth_m, camera=camera):
            """Return two pixels whose depth the truth tells."""
            while True:
                ends = tuple(tuple(random.uniform((5, 5), (314, 234))) for _ in range(2))
                depths = tuple(depth_at(truth_m, end) for end in ends)
                if None not in depths and max(depths) < 15.0:
                    return ends, length(ends, depths, camera)

        plain = estimator.estimate(data, DepthRequest(focal_px=camera.fx))
        for _ in range(PAIRS // len(SCENES)):
            known, known_m = pair()
            request = DepthRequest(
                focal_px=camera.fx,
                known_length_m=known_m,
                known_from=known[0],
                known_to=known[1],
            )
            ends, true_m = pair()
            try:
                found = {"assumed": plain, "known": estimator.estimate(data, request)}
                told = {key: item.length(*ends)["length"] for key, item in found.items()}
            except ApiError:  # no depth at one of the ends
                continue
            for key, bounds in told.items():
                held[key].append(bounds["low_m"] <= true_m <= bounds["high_m"])
            widths.append(told["known"]["high_m"] / told["known"]["low_m"])
    shares = {key: float(np.mean(values)) for key, values in held.items()}
    print(shares, len(widths), f"median high / low with a known length {np.median(widths):.2f}")
    assert len(widths) > 0.9 * PAIRS
    assert min(shares.values()) >= 0.9, shares
