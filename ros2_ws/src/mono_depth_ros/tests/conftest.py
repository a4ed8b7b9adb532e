"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; they are not part of the repository."""
    folder = Path(os.environ.get("MONO_DEPTH_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (set MONO_DEPTH_TEST_DATA)")
    return folder
