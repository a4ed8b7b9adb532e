"""Lifecycle requests that do not fit the state are refused, and the node stays as it is.

rclpy up to 7.1 lets them end the process (ros2/rclpy#1209), rclcpp answers `success=False`.
"""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState

from mono_depth_ros.rclpy_support.guarded import GuardedNode, refusal


def refuse_unfit_requests(node: GuardedNode) -> None:
    """Put a check before the service `change_state` of a lifecycle node.

    It asks the node's other services what fits, so it needs no names of rclpy's own.
    """
    services = {service.srv_type: service for service in node.services}
    if not {ChangeState, GetAvailableTransitions, GetState} <= services.keys():
        return  # a node without the services of a lifecycle has none to protect
    change, offered, state = (
        services[kind].callback for kind in (ChangeState, GetAvailableTransitions, GetState)
    )

    def on_change_state(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        now = state(GetState.Request(), GetState.Response()).current_state
        answer = offered(GetAvailableTransitions.Request(), GetAvailableTransitions.Response())
        # Two services have this type; the other one tells the transitions of all states.
        fitting = [
            item.transition
            for item in answer.available_transitions
            if item.start_state.id == now.id
        ]
        asked = request.transition
        if any(_is_asked(transition, asked) for transition in fitting):
            return change(request, response)
        possible = ", ".join(f"{transition.label} ({transition.id})" for transition in fitting)
        wanted = asked.label or asked.id
        node.get_logger().warning(
            f"transition {wanted!r} refused: the node is {now.label} and stays so; "
            f"possible: {possible or 'none'}"
        )
        response.success = False
        return response

    services[ChangeState].callback = node.guard.wrap("change_state", on_change_state, refusal)


def _is_asked(offered: Any, asked: Any) -> bool:  # noqa: ANN401 - lifecycle_msgs is untyped
    # As rclpy and rclcpp do: a label, where there is one, counts more than the number.
    if asked.label:
        return bool(offered.label == asked.label)
    return bool(offered.id == asked.id)
