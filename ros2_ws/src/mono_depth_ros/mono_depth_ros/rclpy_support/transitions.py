"""Lifecycle transitions that say what went wrong."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from mono_depth.errors import MonoDepthError

NodeT = TypeVar("NodeT")
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """Log the exception of a transition callback, which rclpy swallows in some releases.

    An expected error (`MonoDepthError`: missing weights, a bad value) becomes FAILURE: the
    node stays in the state it came from and the transition can be tried again. Any other
    becomes ERROR, which leads to `on_error`.
    """

    @functools.wraps(transition)
    def wrapper(node: Any, state: LifecycleState) -> TransitionCallbackReturn:  # noqa: ANN401
        try:
            return transition(node, state)
        except MonoDepthError as error:
            node.report_problem(f"{transition.__name__} failed: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - rclpy would hide it
            node.report_problem(f"{transition.__name__} failed: {error!r}")
            node.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    return wrapper
