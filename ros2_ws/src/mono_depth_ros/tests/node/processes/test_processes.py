"""Other processes: what they say is kept, what still runs is ended, and domains are not shared."""

from __future__ import annotations

import os

import pytest

from mono_depth_ros.processes.children import Child, Children
from mono_depth_ros.processes.domain import free_domain, local_environment

pytestmark = pytest.mark.ros

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"


def test_what_a_child_says_is_kept_without_the_prefix_of_ros(tmp_path):
    said = "print('[WARN] [1700000000.5] [mono_depth]: no image'); raise SystemExit(3)"
    child = Child("node", ["-c", said], env=dict(os.environ), log=tmp_path / "node.log")

    assert child.wait(30.0) == 3
    assert list(child.last_lines) == ["no image"]
    assert "[WARN]" in (tmp_path / "node.log").read_text()


def test_the_child_that_ended_is_told_and_the_others_are_ended(tmp_path):
    env = dict(os.environ)
    with Children() as children:
        lasting = children.add(Child("lasting", ["-c", SLEEP], env=env, log=tmp_path / "a.log"))
        short = children.add(Child("short", ["-c", ""], env=env, log=tmp_path / "b.log"))
        short.wait(30.0)

        assert children.fallen() is short
        assert lasting.is_running

    assert not lasting.is_running


def test_two_programs_never_share_a_domain():
    with free_domain() as one, free_domain() as other:
        assert one != other
        assert local_environment(one)["ROS_DOMAIN_ID"] == str(one)
