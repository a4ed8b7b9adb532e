"""Callbacks of any kind that fail: the executor goes on, and what failed is counted and told."""

from __future__ import annotations

import pytest
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from mono_depth.errors import FrameError
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.qos import SubscriptionEventCallbacks

pytestmark = pytest.mark.ros


def fail(*_: object) -> None:
    raise ValueError("not of this world")


async def fail_later(*_: object) -> None:
    fail()


@pytest.fixture
def node(ros):
    return ros.add(GuardedNode("guarded", context=ros.context))


@pytest.fixture
def peer(ros):
    return ros.node("peer")


def answer(ros, peer, kind, name, request):
    client = peer.create_client(kind, name)
    ros.wait_until(client.service_is_ready, what=name)
    future = client.call_async(request)
    ros.wait_until(future.done, what=f"answer of {name}")
    return future.result()


def test_a_subscription_that_fails_is_counted_and_logged_once_with_its_trace(ros, node, peer):
    lines: list[str] = []
    peer.create_subscription(Log, "/rosout", lambda log: lines.append(log.msg), 100)
    node.create_subscription(Empty, "/in", fail, 10)
    sender = peer.create_publisher(Empty, "/in", 10)
    ros.wait_until(sender.get_subscription_count)
    for _ in range(3):
        sender.publish(Empty())

    ros.wait_until(lambda: node.guard.report().failed == {"/in": 3}, what="three failures")
    ros.wait_until(lambda: lines, what="a log line")
    assert lines[0].startswith("/in failed: ValueError('not of this world')\nTraceback")
    assert len(lines) == 1


def test_a_message_that_cannot_be_used_is_counted_apart_and_needs_no_trace(ros, node, peer):
    def refuse(_: Empty) -> None:
        raise FrameError("it is empty")

    node.create_subscription(Empty, "/in", refuse, 10)
    sender = peer.create_publisher(Empty, "/in", 10)
    ros.wait_until(sender.get_subscription_count)
    sender.publish(Empty())

    ros.wait_until(lambda: node.guard.report().skipped == {"/in": 1}, what="a skipped message")
    assert node.guard.report().newest == "/in skipped: it is empty"
    assert node.guard.report().failed == {}


def test_callbacks_that_want_the_message_info_get_it(ros, node, peer):
    got: list[dict] = []
    node.create_subscription(Empty, "/in", lambda _, info: got.append(info), 10)
    sender = peer.create_publisher(Empty, "/in", 10)
    ros.wait_until(sender.get_subscription_count)
    sender.publish(Empty())

    ros.wait_until(lambda: got, what="a message")
    assert "received_timestamp" in got[0]


@pytest.mark.parametrize("callback", [fail, fail_later])
def test_a_service_that_fails_answers_that_it_did(ros, node, peer, callback):
    node.create_service(Trigger, "/do", callback)

    response = answer(ros, peer, Trigger, "/do", Trigger.Request())

    assert not response.success
    assert response.message == "ValueError: not of this world"
    assert node.guard.report().failed == {"/do": 1}


def test_a_timer_that_fails_goes_on(ros, node):
    node.create_timer(0.01, fail)

    ros.wait_until(lambda: node.guard.report().failed.get("timer fail", 0) > 3, what="the timer")


@pytest.mark.parametrize("kind", [SetParameters, SetParametersAtomically])
def test_a_parameter_callback_that_fails_refuses_the_change(ros, node, peer, kind):
    node.declare_parameter("number", 1)
    node.add_on_set_parameters_callback(fail)
    name = "set_parameters" if kind is SetParameters else "set_parameters_atomically"
    request = kind.Request(parameters=[Parameter("number", value=2).to_parameter_msg()])

    response = answer(ros, peer, kind, f"/guarded/{name}", request)

    result = response.results[0] if kind is SetParameters else response.result
    assert not result.successful
    assert result.reason == "ValueError: not of this world"
    assert node.get_parameter("number").value == 1


def test_an_event_callback_that_fails_is_counted(node):
    events = SubscriptionEventCallbacks(incompatible_qos=fail)
    node.create_subscription(Empty, "/in", lambda _: None, 10, event_callbacks=events)

    events.incompatible_qos(None)

    assert node.guard.report().failed == {"/in incompatible_qos": 1}


def test_every_service_that_rclpy_makes_for_itself_is_guarded(node):
    services = list(node.services)
    assert services
    assert all(service.callback.is_guarded for service in services)


def test_a_malformed_request_to_a_service_of_rclpy_needs_no_trace(ros, node, peer):
    wrong = Parameter("number", value=2).to_parameter_msg()
    wrong.value.type = 255
    request = SetParameters.Request(parameters=[wrong, wrong])

    response = answer(ros, peer, SetParameters, "/guarded/set_parameters", request)

    assert [item.successful for item in response.results] == [False, False]
    assert "255 is not a valid Parameter.Type" in response.results[0].reason
    assert list(node.guard.report().skipped.values()) == [1]
    assert node.guard.report().failed == {}


def test_a_node_whose_constructor_fails_is_gone_at_once(ros, peer):
    class Hasty(GuardedNode):
        @destroyed_on_error
        def __init__(self):
            super().__init__("hasty", context=ros.context)
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        Hasty()

    ros.wait_until(lambda: "hasty" not in peer.get_node_names(), what="the end of the node")
