"""Take the depth node through all its states again and again, and tell what each round keeps.

Run by `test_lifecycle.py` in a process of its own: in one that ran hundreds of tests before, the
memory of this test is lost among what the allocator keeps of the others.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import threading
from pathlib import Path

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from mono_depth_ros.depth_node.node import DepthNode

DEADLINE_S = 20.0


class Rounds:
    """The node, a camera that never rests, and a lifecycle manager, on one executor."""

    def __init__(self, registry: str) -> None:
        chosen = {"model": "tiny_metric", "registry": registry, "device": "cpu", "threads": 1}
        overrides = [Parameter(name, value=value) for name, value in chosen.items()]
        self.node = DepthNode(parameter_overrides=overrides)
        self._manager = Node("manager")
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self._manager):
            self._executor.add_node(node)
        self._client = self._manager.create_client(ChangeState, "/mono_depth/change_state")
        self._images = self._manager.create_publisher(Image, "image", 5)
        self._manager.create_subscription(Image, "/mono_depth/relative/image", lambda _: None, 5)
        self._stop = threading.Event()
        self._camera = threading.Thread(target=self._video)
        self._camera.start()
        gc.freeze()  # the modules imported so far need not be searched in every round

    def _video(self) -> None:
        image = np.full((6, 8, 3), 100, np.uint8)
        image[:, 4:] = 175
        message = Image(height=6, width=8, encoding="rgb8", step=24, data=image.tobytes())
        message.header.frame_id = "camera"
        while not self._stop.wait(0.005):
            message.header.stamp = self._manager.get_clock().now().to_msg()
            self._images.publish(message)

    def play(self) -> float:
        """Go up to active and down again. Return the memory in use after it [MB]."""
        for transition in ("configure", "activate"):
            self._change_state(transition)
        while not self.node.stats.published:
            self._executor.spin_once(timeout_sec=0.1)
        for transition in ("deactivate", "cleanup"):
            self._change_state(transition)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, what is left is in use
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _change_state(self, name: str) -> None:
        request = ChangeState.Request()
        request.transition.id = getattr(Transition, f"TRANSITION_{name.upper()}")
        if not self._client.wait_for_service(DEADLINE_S):
            raise SystemExit("no service change_state")
        future = self._client.call_async(request)
        self._executor.spin_until_future_complete(future, DEADLINE_S)
        if not future.done() or not future.result().success:
            raise SystemExit(f"{name} failed")

    def left_over(self) -> list[str]:
        """Return the subscriptions and publishers that a node without a stream must not have."""
        inputs = [item.topic_name for item in self.node.subscriptions]
        outputs = [item.topic_name for item in self.node.publishers]
        return [*inputs, *(name for name in outputs if name.startswith("/mono_depth/depth"))]

    def close(self) -> None:
        """End the camera and both nodes."""
        self._stop.set()
        self._camera.join()
        self._executor.shutdown()
        for node in (self.node, self._manager):
            node.destroy_node()


def main() -> None:
    """Print what was measured as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--leaking-rounds", type=int, default=20, help="played after the others")
    parser.add_argument("--leak-mb", type=float, default=0.2, help="kept by each of them")
    options = parser.parse_args()
    rclpy.init()
    rounds = Rounds(options.registry)
    try:
        memory_mb = [rounds.play() for _ in range(options.rounds)]
        left_over, kept, leaking_mb = rounds.left_over(), [], []
        for _ in range(options.leaking_rounds):
            kept.append(np.ones(round(options.leak_mb * 1e6), np.uint8))
            leaking_mb.append(rounds.play())
    finally:
        rounds.close()
        rclpy.try_shutdown()
    print(json.dumps({"mb": memory_mb, "leaking_mb": leaking_mb, "left_over": left_over}))


if __name__ == "__main__":
    main()
