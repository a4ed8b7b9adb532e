"""What the installed cv_bridge converts, and what the library does by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image

from encoded_images import BAYER
from mono_depth.errors import FrameError
from mono_depth.messages.decode_image import decode_image
from mono_depth_ros.codec import cv_bridge_conversions

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("encoding", BAYER[::2])
def test_cv_bridge_and_opencv_agree_on_bayer(encoding: str) -> None:
    pytest.importorskip("cv_bridge")
    mosaic = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
    converted = cv_bridge_conversions.to_rgb(mosaic, encoding)
    if converted is None:
        assert encoding == "bayer_grbg8"  # which cv_bridge 1.13 of PyPI lacks
        return
    msg = Image(height=6, width=8, step=8, encoding=encoding)
    msg.data.frombytes(mosaic.tobytes())
    np.testing.assert_array_equal(converted, decode_image(msg))


@pytest.mark.parametrize(("encoding", "step"), [("32FC3", 24), ("8SC1", 2), ("16UC2", 8)])
def test_what_cv_bridge_cannot_show_either_is_refused(encoding: str, step: int) -> None:
    msg = Image(height=2, width=2, step=step, encoding=encoding)
    msg.data.frombytes(bytes(2 * step))
    with pytest.raises(FrameError, match=f"encoding '{encoding}' is not a camera image"):
        decode_image(msg, fallback=cv_bridge_conversions)


@pytest.mark.skipif(np.__version__ < "2", reason="a compiled cv_bridge is welcome with NumPy 1")
def test_a_compiled_cv_bridge_is_not_imported_beside_numpy_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cv_bridge"
    (package / "boost").mkdir(parents=True)
    (package / "boost" / "cv_bridge_boost.cpython-312-x86_64-linux-gnu.so").touch()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    cv_bridge_conversions._bridge.cache_clear()
    try:
        assert cv_bridge_conversions.pixel_format("32FC3") is None
    finally:
        cv_bridge_conversions._bridge.cache_clear()
