"""Runs a node that finishes by itself, from a command line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from mono_depth.errors import MonoDepthError


class FinishingNode(Protocol):
    """A node that works in its own threads and tells when it is done."""

    finished: threading.Event
    problem: str  # why it cannot go on, empty = all is well

    def close(self) -> None:
        """Stop the threads and free everything."""


def run_until_finished(make_node: Callable[[], Any], args: list[str] | None = None) -> None:
    """Run a node until it has finished or is interrupted.

    Raises:
        SystemExit: with status 1 and a sentence where the node cannot start or go on.
    """
    rclpy.init(args=args)
    node: Any = None
    problem = ""
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not node.finished.is_set():
            executor.spin_once(timeout_sec=0.1)
    except MonoDepthError as error:
        problem = str(error)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if node is not None:
            problem = problem or node.problem
            node.close()
        rclpy.try_shutdown()
    if problem:
        raise SystemExit(problem)
