"""What a command does whose output nobody reads any more, as behind `| head`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_STATUS = 141  # 128 + SIGPIPE, as a shell reports programs that the signal ends


@contextmanager
def quiet_where_closed() -> Iterator[None]:
    """End the process without a word where its output was closed.

    Raises:
        SystemExit: it was; with `EXIT_STATUS`.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # else Python does it when it ends, and says that it cannot
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
        sys.exit(EXIT_STATUS)
