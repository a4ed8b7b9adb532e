"""One server for the tests of a module, as users start it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mono_depth.config import PipelineConfig
from web_client import Client, png_of, running, wait_until_ready


@pytest.fixture(scope="module")
def client(tiny_models: Path) -> Iterator[Client]:
    """A server whose network says mean(R, G, B) / 25 metres."""
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")
    with running(config, max_bytes=1 << 20, max_pixels=1 << 20, upload_s=2.0) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture
def grey() -> Callable[[int], bytes]:
    """Return a function that makes a PNG of 48x32 pixels, of `level` and of 100 on its right."""

    def make(level: int = 50) -> bytes:
        rgb = np.full((32, 48, 3), level, np.uint8)
        rgb[:, 24:] = 100
        return png_of(rgb)

    return make
