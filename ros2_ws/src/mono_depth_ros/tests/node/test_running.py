"""How a node that runs from a command line ends."""

import signal
import threading

import pytest

from mono_depth_ros.running import until_interrupted

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def own_handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_it_without_an_error():
    with until_interrupted():
        signal.raise_signal(signal.SIGINT)


def test_so_does_one_that_rclpy_made_another_error_of():
    with until_interrupted():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("Unable to convert call argument '0'") from None


def test_an_error_without_an_interrupt_is_one():
    with pytest.raises(RuntimeError, match="out of order"), until_interrupted():
        raise RuntimeError("out of order")


def test_it_runs_in_another_thread_too():
    done = []

    def work():
        with until_interrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
