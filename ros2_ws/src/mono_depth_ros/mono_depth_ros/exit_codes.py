"""How the process of the depth node ends, for whoever supervises it."""

from __future__ import annotations

import os
import sys
import time
from enum import IntEnum
from typing import NoReturn

_LAST_WORDS_S = 0.3  # the middleware sends in threads of its own


class ExitCode(IntEnum):
    """Status of the process. A supervisor starts it again after all but `OK`."""

    OK = 0  # interrupted or shut down
    FAILED = 1  # a parameter is wrong, or an error that nobody expected
    HUNG = 70  # inference did not come back within watchdog.limit_s
    GPU_LOST = 71  # the GPU can no longer be used by this process


def end_process(code: ExitCode) -> NoReturn:
    """End the process at once: threads that hang, and a GPU that is lost, are not waited for."""
    time.sleep(_LAST_WORDS_S)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
