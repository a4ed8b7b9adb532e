"""How a node that runs from a command line ends.

In processes of their own: a signal would also meet what other libraries have made of this one.
"""

import subprocess
import sys
from textwrap import dedent

import pytest

pytestmark = pytest.mark.ros

HEAD = """
import signal
import threading
from mono_depth_ros.rclpy_support.run_nodes import until_interrupted
"""


def ended(work: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", HEAD + dedent(work)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60.0, check=False)


def test_an_interrupt_ends_it_without_an_error():
    process = ended("""
        with until_interrupted():
            signal.raise_signal(signal.SIGINT)
            print("went on")
        print("ended")
    """)
    assert (process.returncode, process.stdout, process.stderr) == (0, "ended\n", "")


def test_so_does_one_that_rclpy_made_another_error_of():
    process = ended("""
        with until_interrupted():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RuntimeError("Unable to convert call argument '0'") from None
        print("ended")
    """)
    assert (process.returncode, process.stdout, process.stderr) == (0, "ended\n", "")


def test_an_error_without_an_interrupt_is_one():
    process = ended("""
        with until_interrupted():
            raise RuntimeError("out of order")
    """)
    assert process.returncode == 1
    assert "RuntimeError: out of order" in process.stderr


def test_it_runs_in_another_thread_too():
    process = ended("""
        def work():
            with until_interrupted():
                print("done")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """)
    assert (process.returncode, process.stdout, process.stderr) == (0, "done\n", "")
