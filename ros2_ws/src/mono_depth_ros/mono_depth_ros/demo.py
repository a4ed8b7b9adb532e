"""Runs camera, depth node and recorder as processes of their own, and shows what came out.

Needs no camera, display, GPU, downloaded weights or ROS installation.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from mono_depth.system.closed_pipe import quiet_where_closed
from mono_depth.system.resources import share_dir
from mono_depth_ros.processes.children import Child, Children
from mono_depth_ros.processes.domain import free_domain, local_environment
from mono_depth_ros.processes.monitor import Monitor
from mono_depth_ros.recorder.summary_table import describe, list_files

_IMAGE, _INFO = "/camera/image_raw", "/camera/camera_info"
_ASSUMED_FOV_DEG = 65.0  # usual for webcams and phones; wrong by 10 deg, x and y are off by 20 %
_OPTICAL_IN_LINK = "0 0 0 -1.5707963 0 -1.5707963"  # x y z roll pitch yaw, REP 103
_START_TIMEOUT_S = 180.0  # a large model on a slow disk
_SILENCE_TIMEOUT_S = 60.0
_FILES = {
    "film.mp4": "camera, depth and cloud as a video",
    "best.png": "one image of it",
    "cloud.ply": "its point cloud, for MeshLab, CloudCompare or Blender",
    "summary.json": "all measurements",
    "latest.png": "what the live view showed last",
    "logs": "what the processes printed",
}


class DemoError(Exception):
    """The demo cannot go on; the message is for the user."""


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """What every step of the demo works with."""

    options: argparse.Namespace
    env: dict[str, str]
    children: Children
    monitor: Monitor

    def start(self, name: str, module: str, *arguments: str, log: bool = True) -> Child:
        return self.children.add(
            Child(
                name,
                ["-m", f"mono_depth_ros.{module}", "--ros-args", *arguments],
                env=self.env,
                log=self.options.output / "logs" / f"{name}.log" if log else None,
                tell=lambda line: tqdm.write(f"  [{name}] {line}"),
            )
        )

    def wait_for(self, condition: Callable[[], bool], timeout_s: Callable[[], float]) -> bool:
        """Wait until `condition`; return False when `timeout_s` is over.

        Raises:
            DemoError: a process ended or the node reports an error.
        """
        while not condition():
            fallen = self.children.fallen()
            if fallen is not None:
                raise DemoError(_obituary(fallen))
            if self.monitor.error:
                raise DemoError(f"the depth node reports: {self.monitor.error}")
            if timeout_s() < 0.0:
                return False
            time.sleep(0.05)
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if depth arrived, 1 if not, 130 after Ctrl-C."""
    options = _parse(argv)
    signal.signal(signal.SIGTERM, _on_terminate)
    try:
        (options.output / "logs").mkdir(parents=True, exist_ok=True)
        return _run(options)
    except (DemoError, OSError) as error:
        _say(f"\ndemo: {error}")
        return 1
    except KeyboardInterrupt:
        _say("\ndemo: interrupted")
        return 130


def _run(options: argparse.Namespace) -> int:
    for name in _FILES:  # of a run before; never to be taken for results of this one
        if name != "logs":
            (options.output / name).unlink(missing_ok=True)
    profile = str(share_dir() / "config" / "fastdds_large_messages.xml")
    with free_domain() as domain:
        local = {
            **local_environment(domain),
            "FASTRTPS_DEFAULT_PROFILES_FILE": profile,  # up to Jazzy
            "FASTDDS_DEFAULT_PROFILES_FILE": profile,  # from Kilted on
        }
        os.environ.update(local)  # for the monitor in this process
        monitor = Monitor(domain)
        try:
            with Children() as children:
                stage = _Stage(
                    options=options, env=dict(os.environ), children=children, monitor=monitor
                )
                _record(stage, domain)
        finally:
            monitor.close()
    return _report(options)


def _record(stage: _Stage, domain: int) -> None:
    options = stage.options
    _say(f"ROS domain {domain}, results in {options.output}/")
    node = _start_depth_node(stage)
    recorder = stage.start("recorder", "recorder.node", *_recorder_arguments(options), log=False)
    now_s = time.monotonic()
    if not stage.wait_for(
        lambda: stage.monitor.is_active, lambda: now_s + _START_TIMEOUT_S - time.monotonic()
    ):
        raise DemoError(f"the depth node was not ready after {_START_TIMEOUT_S:.0f} s")
    module, arguments = _camera_arguments(options)
    camera = stage.start("camera", module, *arguments)
    if not stage.wait_for(
        lambda: stage.monitor.published > 0,
        lambda: camera.last_line_s + _SILENCE_TIMEOUT_S - time.monotonic(),
    ):
        raise DemoError(f"no depth after {_SILENCE_TIMEOUT_S:.0f} s; see {options.output}/logs")
    _say(f"  recording {options.seconds:g} s, live view: {options.output / 'latest.png'}")
    try:
        _watch(stage, camera)
    except KeyboardInterrupt:
        _say("  stopping early, Ctrl-C again to give up the results")
    camera.interrupt()
    _wait_until_quiet(stage.monitor)
    recorder.interrupt()
    _say("  writing the video")
    if recorder.wait(timeout_s=600.0) != 0:
        raise DemoError("the recorder failed, see above")
    node.interrupt()
    status = node.wait(timeout_s=20.0)
    if status != 0:
        raise DemoError(_obituary(node) if status is not None else "the depth node does not end")


def _start_depth_node(stage: _Stage) -> Child:
    options = stage.options
    # Every second point is what the video shows; all of them would be 200 MB/s at 25 Hz.
    settings = [f"model:={options.model}", f"device:={options.device}", "cloud.stride:=2"]
    if options.source == "synthetic":  # its odom is about camera_link, and there is no /tf_static
        settings.append(f"odometry.camera_in_body:='{_OPTICAL_IN_LINK}'")
    settings += options.param  # of two values the last counts
    arguments = [f"image:={_IMAGE}", f"camera_info:={_INFO}"]
    return stage.start(
        "depth_node",
        "depth_node.node",
        *(word for remapping in arguments for word in ("-r", remapping)),
        *(word for setting in settings for word in ("-p", setting)),
    )


def _recorder_arguments(options: argparse.Namespace) -> list[str]:
    return ["-r", f"image:={_IMAGE}", "-p", f"output:='{options.output}'"]


def _camera_arguments(options: argparse.Namespace) -> tuple[str, list[str]]:
    settings = ["min_subscribers:=2"]  # depth node and recorder: both see the first image
    if options.source == "synthetic":
        module = "cameras.synthetic_camera"
        settings += [f"seed:={options.seed}", f"scene:={options.scene}"]
    else:
        module = "cameras.camera_node"
        settings += [f"source:='{options.source}'", f"horizontal_fov_deg:={options.fov_deg}"]
        if options.camera_info:
            settings.append(f"camera_info_file:='{options.camera_info}'")
    if options.rate_hz:
        settings.append(f"rate_hz:={options.rate_hz}")
    arguments = ["-r", f"image:={_IMAGE}", "-r", f"camera_info:={_INFO}", "-r", "__node:=camera"]
    return module, [*arguments, *(word for setting in settings for word in ("-p", setting))]


def _watch(stage: _Stage, camera: Child) -> None:
    """Show progress until the time is over or a recording has ended."""
    start_s, seconds, monitor = time.monotonic(), stage.options.seconds, stage.monitor
    with tqdm(
        total=seconds,
        unit="s",
        bar_format="  {bar:30} {n:.0f}/{total:.0f} s{postfix}",
        disable=None,
    ) as bar:
        while (elapsed_s := time.monotonic() - start_s) < seconds:
            fallen = stage.children.fallen()
            if fallen is camera and camera.process.returncode == 0:
                return
            if fallen is not None:
                raise DemoError(_obituary(fallen))
            values = monitor.values
            bar.n = elapsed_s
            bar.set_postfix_str(
                f"{values.get('output_fps', '?')} Hz, {values.get('latency_p50_ms', '?')} ms, "
                f"{monitor.published} frames, {values.get('dropped', '?')} dropped"
            )
            time.sleep(0.2)


def _wait_until_quiet(monitor: Monitor, timeout_s: float = 10.0) -> None:
    """Wait until the node has published its last frame and said so."""
    deadline_s = time.monotonic() + timeout_s
    seen = (-1, -1)
    while time.monotonic() < deadline_s:
        messages, published = monitor.messages, monitor.published
        if messages >= seen[0] + 2 and published == seen[1]:
            return
        if published != seen[1]:
            seen = messages, published
        time.sleep(0.1)


def _report(options: argparse.Namespace) -> int:
    summary = json.loads((options.output / "summary.json").read_text())
    _say("\n" + describe(summary) + "\n\n" + list_files(options.output, _FILES))
    if not summary["depth"]["frames"]:
        _say("\ndemo: no depth arrived")
        return 1
    return 0


def _obituary(child: Child) -> str:
    lines = "\n".join(f"    {line}" for line in child.last_lines)
    return f"{child.name} ended with status {child.process.poll()}; its last lines:\n{lines}"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo.sh", description=__doc__)
    add = parser.add_argument
    add(
        "--source",
        default="synthetic",
        metavar="WHAT",
        help="synthetic, a video, a folder of images, a bag, or /dev/videoN (default: synthetic)",
    )
    add("--seconds", type=_positive, default=20.0, metavar="N", help="length (default: 20)")
    add(
        "--model",
        default="auto",
        metavar="NAME",
        help="see `mono-depth models list` (default: auto = the best one installed)",
    )
    add("--device", default="auto", metavar="NAME", help="auto, cpu or cuda (default: auto)")
    add(
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="DIR",
        help="folder of the results (default: demo_output)",
    )
    add("--seed", type=int, default=1, metavar="N", help="of the synthetic scene (default: 1)")
    add(
        "--scene",
        default="office",
        metavar="KIND",
        help="of the synthetic camera (default: office)",
    )
    add(
        "--rate-hz",
        type=_positive,
        default=None,
        metavar="HZ",
        help="images per second (default: as recorded)",
    )
    add("--camera-info", type=Path, metavar="FILE", help="calibration (YAML) of the camera")
    add(
        "--fov-deg",
        type=_positive,
        default=_ASSUMED_FOV_DEG,
        metavar="DEG",
        help="horizontal angle of view assumed without calibration (default: %(default)g)",
    )
    add(
        "--param",
        action="append",
        default=[],
        metavar="NAME:=VALUE",
        help="parameter of the depth node, can be repeated",
    )
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _on_terminate(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(f"signal {number}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the demo is a command


if __name__ == "__main__":
    with quiet_where_closed():
        sys.exit(main())
