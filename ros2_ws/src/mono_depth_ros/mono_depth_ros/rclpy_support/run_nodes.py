"""Runs nodes from a command line, until they finish or are interrupted."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from mono_depth.errors import MonoDepthError
from mono_depth_ros.rclpy_support.guarded import CallbackGuard

_AFTER_AN_ERROR_S = 0.01  # one that comes again and again must not take a whole core


class FinishingNode(Protocol):
    """A node that works in its own threads and tells when it is done."""

    guard: CallbackGuard
    finished: threading.Event
    problem: str  # why it cannot go on, empty = all is well

    def close(self) -> None:
        """Stop the threads and free everything."""


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """Run what is inside until Ctrl-C or a shutdown, which end it without an error.

    Tells by an event that Ctrl-C came.

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
        yield interrupted
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        if not interrupted.is_set():
            raise


def spin_guarded(
    executor: SingleThreadedExecutor,
    guard: CallbackGuard,
    is_finished: Callable[[], bool],
    *,
    timeout_s: float | None = None,
) -> None:
    """Execute callbacks until a shutdown, or until `is_finished()`, whatever goes wrong in rclpy.

    Args:
        executor: of the nodes.
        guard: told of what the guards of the callbacks could not see, as a message that cannot
            be converted.
        is_finished: asked after each callback.
        timeout_s: asked at least this often [s]; None = callbacks come often enough.
    """
    guard.quiet_when(is_finished)
    while rclpy.ok() and not is_finished():
        try:
            executor.spin_once(timeout_sec=timeout_s)
        except ExternalShutdownException:
            return
        except Exception as error:  # noqa: BLE001 - the process outlives it
            guard.tell("executor", error)
            time.sleep(_AFTER_AN_ERROR_S)


def run_until_finished(make_node: Callable[[], Any], args: list[str] | None = None) -> None:
    """Run a node until it has finished or is interrupted.

    Raises:
        SystemExit: with status 1 and a sentence where the node cannot start or go on.
    """
    node: Any = None
    problem = ""
    try:
        with until_interrupted() as interrupted:
            rclpy.init(args=args)
            node = make_node()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            spin_guarded(
                executor,
                node.guard,
                lambda: interrupted.is_set() or node.finished.is_set(),
                timeout_s=0.1,
            )
    except MonoDepthError as error:
        problem = str(error)
    finally:
        if node is not None:
            problem = problem or node.problem
            node.close()
        rclpy.try_shutdown()
    if problem:
        raise SystemExit(problem)
