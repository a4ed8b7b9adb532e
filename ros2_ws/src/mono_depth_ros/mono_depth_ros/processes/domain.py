"""Find a ROS domain that nobody on this machine uses."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Domains above 101 reach into Linux' ephemeral ports.
# Source: docs.ros.org "The ROS_DOMAIN_ID".
_DOMAINS = range(1, 102)


@contextmanager
def free_domain() -> Iterator[int]:
    """Claim a ROS domain id for as long as the context lasts.

    Processes that use this function never share a domain; one whose discovery port is
    bound, by any ROS program of this machine, is passed over.

    Raises:
        RuntimeError: all domains are in use.
    """
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        path = Path(tempfile.gettempdir()) / f"ros_domain_{domain}.lock"
        try:
            lock = path.open("a")
        except OSError:  # another user's lock
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_silent(domain):
                yield domain
                return
    raise RuntimeError(f"ROS domains {_DOMAINS[0]} to {_DOMAINS[-1]} are all in use")


def local_environment(domain: int) -> dict[str, str]:
    """Return the variables that keep a ROS process in `domain` of this machine."""
    return {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",  # since Iron
    }


def _is_silent(domain: int) -> bool:
    # Discovery ports of participant 0. Source: RTPS 2.2, 9.6.1.1.
    base = 7400 + 250 * domain
    for port in (base, base + 10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
