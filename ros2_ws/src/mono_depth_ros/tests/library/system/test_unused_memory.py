"""Memory that is free goes back to the system."""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from mono_depth.system.machine import resident_mib
from mono_depth.system.unused_memory import free_unused_memory, share_arenas

share_arenas()
pieces = [np.ones(12_000) for _ in range(2_000)]  # 96 KB each: of the heap, 183 MiB in all
last = pieces[-1]  # keeps the heap from shrinking by itself
del pieces
before = resident_mib()
free_unused_memory()
print(before - resident_mib())
"""


@pytest.mark.slow
def test_what_lies_free_between_what_is_used_goes_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert float(done.stdout) > 100.0
