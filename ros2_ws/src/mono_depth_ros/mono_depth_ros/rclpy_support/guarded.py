"""Nodes whose callbacks never end the process: what goes wrong is counted, logged and told."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rcl_interfaces.msg import SetParametersResult
from rclpy.logging import get_logger
from rclpy.node import Node

from mono_depth.errors import MonoDepthError
from mono_depth_ros.rclpy_support.throttle import Throttle

_LOG_PERIOD_S = 5.0

Callback = Callable[..., Any]
Answer = Callable[[Exception, tuple[Any, ...]], Any]  # from the error and the callback's arguments


def destroyed_on_error(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor of a node that destroys it when it fails.

    Else the node lives on in the graph until Python happens to collect it, and takes the log topic
    of the next node of its name with it.
    """

    @functools.wraps(init)
    def guarded(node: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - any constructor
        try:
            init(node, *args, **kwargs)
        except BaseException:
            node.destroy_node()
            raise

    return guarded


@dataclass(frozen=True, kw_only=True)
class GuardReport:
    """What callbacks could not deal with up to one moment, by input."""

    skipped: Mapping[str, int] = field(default_factory=dict)  # messages that cannot be used
    failed: Mapping[str, int] = field(default_factory=dict)  # errors that nobody expected
    newest: str = ""  # what happened last

    @property
    def total(self) -> int:
        """How often something went wrong."""
        return sum(self.skipped.values()) + sum(self.failed.values())


class CallbackGuard:
    """Keeps exceptions of callbacks from the executor, whose thread they would end.

    An expected error is a message that cannot be used: a `MonoDepthError`, or what rclpy's own
    services make of a malformed request. One line says why. Any other is logged with its trace.
    All are logged once in a while and counted always.
    """

    def __init__(self, logger_name: str) -> None:
        """Begin with nothing counted; lines go to the logger of a node."""
        self._logger = get_logger(logger_name)
        self._is_quiet: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._throttle = Throttle(_LOG_PERIOD_S)
        self._skipped: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._newest = ""

    def attach(self, node: Node) -> None:
        """Log as a node does; once its context is shut down every call fails, which is no news."""
        self._logger = node.get_logger()
        self.quiet_when(lambda: not node.context.ok())

    def quiet_when(self, is_quiet: Callable[[], bool]) -> None:
        """Let errors pass in silence while `is_quiet()`: the process ends, and they come of it."""
        self._is_quiet.append(is_quiet)

    def wrap(self, name: str, callback: Callback, answer: Answer | None = None) -> Callback:
        """Return `callback` guarded; `answer` makes what it returns after an error."""
        if getattr(callback, "is_guarded", False):
            return callback
        guarded: Any
        if inspect.iscoroutinefunction(callback):

            @functools.wraps(callback)
            async def guarded(*args: Any) -> Any:  # noqa: ANN401
                try:
                    return await callback(*args)
                except Exception as error:  # noqa: BLE001 - the node outlives it
                    return self._on_error(name, error, args, answer)
        else:

            @functools.wraps(callback)
            def guarded(*args: Any) -> Any:  # noqa: ANN401
                try:
                    return callback(*args)
                except Exception as error:  # noqa: BLE001 - the node outlives it
                    return self._on_error(name, error, args, answer)

        guarded.is_guarded = True
        return cast("Callback", guarded)

    def report(self) -> GuardReport:
        """Return what went wrong so far."""
        with self._lock:
            return GuardReport(
                skipped=dict(self._skipped), failed=dict(self._failed), newest=self._newest
            )

    def tell(self, name: str, error: Exception) -> None:
        """Count an error of `name`, and log it once in a while. Called where it was caught."""
        if any(is_quiet() for is_quiet in self._is_quiet):
            return
        is_expected = isinstance(error, MonoDepthError) or _is_of_rclpy_alone(error)
        told = str(error) if isinstance(error, MonoDepthError) else repr(error)
        line = f"{name} {'skipped' if is_expected else 'failed'}: {told}"
        with self._lock:
            counts = self._skipped if is_expected else self._failed
            counts[name] = counts.get(name, 0) + 1
            self._newest = line
            is_due = self._throttle.is_due(line)
        if is_due and is_expected:
            self._logger.warning(line)
        elif is_due:
            trace = "".join(traceback.format_exception(error))
            self._logger.error(f"{line}\n{trace}")

    def _on_error(
        self, name: str, error: Exception, args: tuple[Any, ...], answer: Answer | None
    ) -> Any:  # noqa: ANN401
        self.tell(name, error)
        return None if answer is None else answer(error, args)


class GuardedNode(Node):
    """A node all of whose callbacks are guarded, those that rclpy makes for itself too.

    As a base class it stands before other kinds of nodes, such as `LifecycleNode`.
    """

    def __init__(self, node_name: str, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        self.guard = CallbackGuard(node_name)  # before: rclpy makes services in its constructor
        super().__init__(node_name, **kwargs)
        self.guard.attach(self)
        for service in self.services:
            service.callback = self.guard.wrap(service.srv_name, service.callback, refusal)

    def create_subscription(
        self,
        msg_type: type,
        topic: str,
        callback: Callback,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Subscribe with a guarded callback, and guarded callbacks of events."""
        self._guard_events(topic, kwargs)
        guarded = self.guard.wrap(topic, callback)
        return super().create_subscription(msg_type, topic, guarded, *args, **kwargs)

    def create_publisher(self, msg_type: type, topic: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Create a publisher with guarded callbacks of events."""
        self._guard_events(topic, kwargs)
        return super().create_publisher(msg_type, topic, *args, **kwargs)

    def create_service(
        self,
        srv_type: type,
        srv_name: str,
        callback: Callback,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer a service that answers in any case."""
        guarded = self.guard.wrap(srv_name, callback, refusal)
        return super().create_service(srv_type, srv_name, guarded, *args, **kwargs)

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callback,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Create a timer with a guarded callback."""
        name = getattr(callback, "__name__", "").strip("_") or "timer"
        guarded = self.guard.wrap(f"timer {name}", callback)
        return super().create_timer(timer_period_sec, guarded, *args, **kwargs)

    def _guard_events(self, topic: str, kwargs: dict[str, Any]) -> None:
        events = kwargs.get("event_callbacks")
        for kind, callback in vars(events).items() if events is not None else ():
            if callable(callback):
                setattr(events, kind, self.guard.wrap(f"{topic} {kind}", callback))


def _is_of_rclpy_alone(error: Exception) -> bool:
    """Tell whether a callback of rclpy itself raised it, before any code of a node had a say."""
    modules = [
        str(frame.f_globals.get("__name__", "")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") != __name__
    ]
    return modules[:1] == ["rclpy"] and {*modules} <= {"rclpy", *sys.stdlib_module_names}


def refusal(error: Exception, args: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """Return the answer of a service that says no: whoever asked does not wait for ever."""
    request, given = args
    response = type(given)()
    if hasattr(response, "message"):
        response.message = f"{type(error).__name__}: {error}"
    if hasattr(response, "results") and hasattr(request, "parameters"):
        response.results = [_refused_parameters(error, ()) for _ in request.parameters]
    elif hasattr(response, "result") and isinstance(response.result, SetParametersResult):
        response.result = _refused_parameters(error, ())
    return response


def _refused_parameters(error: Exception, _: tuple[Any, ...]) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=f"{type(error).__name__}: {error}")
