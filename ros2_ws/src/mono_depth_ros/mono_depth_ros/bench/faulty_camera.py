"""The synthetic camera with a fault every now and then: the robot of a soak."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration

from mono_depth_ros.bench.faults import FaultSchedule
from mono_depth_ros.cameras.synthetic_cache import StoredFrame, StoredRecording
from mono_depth_ros.cameras.synthetic_camera import SyntheticCameraNode
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished


class FaultyCamera(SyntheticCameraNode):
    """Sends what the synthetic camera sends, but for what its schedule of faults takes away."""

    schedule = FaultSchedule(period_s=60.0)
    seconds = 60.0

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        self.sent = 0
        self._start_s: float | None = None
        super().__init__(**kwargs)

    def _send(self, recording: StoredRecording, frame: StoredFrame, before: StoredFrame) -> None:
        now_s = time.monotonic()
        self._start_s = now_s if self._start_s is None else self._start_s
        time_s = now_s - self._start_s
        if time_s > self.seconds:
            self.finished.set()
            return
        if self.schedule.is_on("camera restart", time_s):
            return
        offset = Duration(seconds=self.schedule.clock_offset_s(time_s))
        stamp = (self.get_clock().now() + offset).to_msg()
        withheld = {
            name
            for name, fault in (("odom", "odometry lost"), ("sparse_points", "points lost"))
            if self.schedule.is_on(fault, time_s)
        }
        for name, message in self._messages(recording, frame, before, stamp).items():
            if name not in withheld:
                self._outputs[name].publish(message)
        self.sent += 1


def main(argv: Sequence[str] | None = None) -> None:
    """Send for a while, with a fault every period; print how many images as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--period", type=float, required=True, help="between two faults [s]")
    args, for_ros = parser.parse_known_args(argv)
    FaultyCamera.seconds = args.seconds
    FaultyCamera.schedule = FaultSchedule(period_s=args.period)
    cameras: list[FaultyCamera] = []

    def make() -> FaultyCamera:
        cameras.append(FaultyCamera())
        return cameras[0]

    run_until_finished(make, for_ros)
    json.dump({"sent": cameras[0].sent}, sys.stdout)


if __name__ == "__main__":
    main()
