"""What the node says of the scale: on its latched topic, in the diagnostics and once in the log."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

pytestmark = pytest.mark.ros

GREY = np.uint8(100 + 2 * np.arange(8) + np.arange(6)[:, None])
IMAGE = np.dstack([GREY] * 3)


def test_metres_that_only_the_network_claims_are_told_calmly_and_clear_nothing(depth_bench):
    bench = depth_bench()
    bench.calibrate()
    bench.listen("depth/image")
    for _ in range(3):
        bench.process(bench.image(IMAGE))
    late: list[DiagnosticStatus] = []
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    bench.peer.create_subscription(DiagnosticStatus, "/mono_depth/scale", late.append, latched)
    bench.ros.wait_until(lambda: late, what="the latched scale")

    (scale,) = late
    values = {pair.key: pair.value for pair in scale.values}
    claim = "nothing measures the scale of the network, which is off by 50 % on record; give"
    assert (values["scale_state"], values["scale_sigma_rel"]) == ("assumed", "0.5000")
    assert values["planner_use"] == "mark"
    assert scale.level == DiagnosticStatus.WARN
    assert scale.message.startswith(f"model: assumed, {claim}")
    bench.wait_for_status(DiagnosticStatus.OK, f"running, scale assumed: {claim}")
    assert bench.stream_values()["planner_use"] == "mark"
    bench.wait_for_log(f"scale assumed: {claim}")
    assert len(bench.log_lines("scale assumed")) == 1
