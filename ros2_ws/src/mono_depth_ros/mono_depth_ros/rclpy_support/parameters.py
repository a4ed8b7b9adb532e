"""Config dataclasses as ROS parameters: names, types, descriptions and limits follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mono_depth.config import Param, flatten, params, updated
from mono_depth.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


class NodeParameters(Generic[Config]):
    """Declares every value of a config on a node and keeps `config` in step with `ros2 param`.

    Args:
        node: declares one parameter for each value.
        defaults: the config whose names, types, descriptions and limits become parameters.
        is_fixed: tells whether values that are not live may not change now.
        may_reload: tells whether those with which something is loaded anew may, all the same.
        on_change: told of the new config after every accepted change.

    Raises:
        ConfigError: what the user set at start is out of range or contradicts itself.
    """

    def __init__(
        self,
        node: Node,
        defaults: Config,
        *,
        is_fixed: Callable[[], bool],
        may_reload: Callable[[], bool] = lambda: False,
        on_change: Callable[[Config], None],
    ) -> None:
        self._table = params(defaults)
        self._is_fixed, self._may_reload, self._on_change = is_fixed, may_reload, on_change
        self.config = updated(defaults, _declare(node, defaults))
        node.add_on_set_parameters_callback(self._validate)
        if hasattr(node, "add_post_set_parameters_callback"):  # not in Humble
            node.add_post_set_parameters_callback(self._apply)
            self._applies_when_validated = False
        else:
            self._applies_when_validated = True

    def _validate(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = self._own(parameters)
        if not changes:  # rclpy declares some for each topic, too
            return SetParametersResult(successful=True)
        fixed = [name for name in changes if self._is_fixed_now(self._table[name])]
        if fixed:
            also = " or active" if all(self._table[name].reloads for name in fixed) else ""
            reason = f"{', '.join(fixed)} can change only while the node is unconfigured{also}"
            return SetParametersResult(successful=False, reason=reason)
        try:
            updated(self.config, changes)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._applies_when_validated:
            self._apply(parameters)
        return SetParametersResult(successful=True)

    def _is_fixed_now(self, param: Param) -> bool:
        if param.live or not self._is_fixed():
            return False
        return not (param.reloads and self._may_reload())

    def _apply(self, parameters: Sequence[Parameter]) -> None:
        changes = self._own(parameters)
        if changes:
            self.config = updated(self.config, changes)
            self._on_change(self.config)

    def _own(self, parameters: Sequence[Parameter]) -> dict[str, Any]:
        return {item.name: item.value for item in parameters if item.name in self._table}


def _declare(node: Node, defaults: DataclassInstance) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    table = params(defaults)
    for name, default in flatten(defaults).items():
        try:
            parameter = node.declare_parameter(name, default, descriptor(table[name], default))
        except InvalidParameterValueException as error:
            raise ConfigError(str(error)) from error
        except InvalidParameterTypeException as error:
            hint = ": write 1.0, not 1" if isinstance(default, float) else ""
            raise ConfigError(f"{error}{hint}") from error
        chosen[name] = parameter.value
    return chosen


def descriptor(param: Param, default: object) -> ParameterDescriptor:
    """Return the ROS description of one value."""
    constraints = [f"one of: {', '.join(param.choices)}"] if param.choices else []
    if param.reloads:
        constraints.append("while the node is active, the model is loaded anew with it")
    elif not param.live:
        constraints.append("fixed while the node is configured")
    message = ParameterDescriptor(
        description=param.description, additional_constraints="; ".join(constraints)
    )
    if param.minimum is None or param.maximum is None:
        return message
    if isinstance(default, float):
        limits = FloatingPointRange(from_value=param.minimum, to_value=param.maximum)
        message.floating_point_range = [limits]
    elif isinstance(default, int):
        whole = IntegerRange(from_value=int(param.minimum), to_value=int(param.maximum), step=1)
        message.integer_range = [whole]
    return message
