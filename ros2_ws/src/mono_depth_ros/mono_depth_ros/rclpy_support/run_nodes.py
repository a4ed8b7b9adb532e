"""Runs nodes from a command line, until they finish or are interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from mono_depth.errors import MonoDepthError


class FinishingNode(Protocol):
    """A node that works in its own threads and tells when it is done."""

    finished: threading.Event
    problem: str  # why it cannot go on, empty = all is well

    def close(self) -> None:
        """Stop the threads and free everything."""


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Run what is inside until Ctrl-C or a shutdown, which end it without an error.

    To be entered before `rclpy.init`. An interrupt that comes while rclpy converts a message
    leaves it as a RuntimeError. Only the main thread gets interrupts, and may ask for them.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: object) -> NoReturn:
        del number, frame
        interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        if not interrupted.is_set():
            raise


def run_until_finished(make_node: Callable[[], Any], args: list[str] | None = None) -> None:
    """Run a node until it has finished or is interrupted.

    Raises:
        SystemExit: with status 1 and a sentence where the node cannot start or go on.
    """
    node: Any = None
    problem = ""
    try:
        with until_interrupted():
            rclpy.init(args=args)
            node = make_node()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            while rclpy.ok() and not node.finished.is_set():
                executor.spin_once(timeout_sec=0.1)
    except MonoDepthError as error:
        problem = str(error)
    finally:
        if node is not None:
            problem = problem or node.problem
            node.close()
        rclpy.try_shutdown()
    if problem:
        raise SystemExit(problem)
