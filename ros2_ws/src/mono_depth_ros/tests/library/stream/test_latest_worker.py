"""The worker with one place to wait."""

from __future__ import annotations

import logging
import threading

import pytest

from mono_depth.stream.latest_worker import LatestWorker

PATIENCE_S = 10.0


class Desk:
    """A worker whose work is held up until `go_on` is called."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.dropped: list[int] = []
        self._started, self._free = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = LatestWorker(self._handle, on_drop=self.dropped.append)

    def _handle(self, item: int) -> None:
        self._started.release()
        assert self._free.acquire(timeout=PATIENCE_S)
        if item < 0:
            raise ValueError(f"item {item} is broken")
        self.handled.append(item)

    def wait_until_busy(self) -> None:
        assert self._started.acquire(timeout=PATIENCE_S)

    def go_on(self) -> None:
        self._free.release()


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    for _ in range(10):
        desk.go_on()
    desk.worker.stop()


def test_the_newest_item_replaces_the_one_that_waits(desk):
    desk.worker.submit(1)
    desk.wait_until_busy()
    for item in (2, 3, 4, 5):
        desk.worker.submit(item)

    assert desk.dropped == [2, 3, 4]
    desk.go_on()
    desk.wait_until_busy()
    desk.go_on()
    desk.worker.stop()
    assert (desk.handled, desk.dropped) == ([1, 5], [2, 3, 4])


def test_an_exception_is_logged_and_the_next_item_is_handled(desk, caplog):
    with caplog.at_level(logging.ERROR):
        desk.worker.submit(-1)
        desk.wait_until_busy()
        desk.worker.submit(2)
        desk.go_on()
        desk.wait_until_busy()
        desk.go_on()
        desk.worker.stop()

    assert desk.handled == [2]
    assert desk.dropped == []
    assert "the worker could not handle an item" in caplog.text
    assert "ValueError: item -1 is broken" in caplog.text


def test_stop_finishes_the_item_in_work_and_drops_the_one_that_waits(desk):
    desk.worker.submit(1)
    desk.wait_until_busy()
    desk.worker.submit(2)
    desk.go_on()
    desk.go_on()

    stopper = threading.Thread(target=desk.worker.stop)
    stopper.start()
    stopper.join(PATIENCE_S)

    assert not stopper.is_alive()
    assert sorted(desk.handled + desk.dropped) == [1, 2]
    assert desk.handled[0] == 1


def test_an_item_after_stop_is_dropped(desk):
    desk.worker.stop()

    desk.worker.submit(7)

    assert (desk.handled, desk.dropped) == ([], [7])


def test_stop_may_be_called_twice(desk):
    desk.worker.stop()
    desk.worker.stop()


def test_no_item_is_lost_or_handled_twice_under_load():
    handled: list[int] = []
    dropped: list[int] = []
    worker = LatestWorker(handled.append, on_drop=dropped.append)
    threads = [
        threading.Thread(target=lambda n=n: [worker.submit(n * 1000 + i) for i in range(1000)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    worker.stop()

    assert sorted(handled + dropped) == list(range(4000))


def test_a_handled_item_is_not_kept_alive():
    class Frame:
        pass

    import weakref

    done = threading.Event()
    worker = LatestWorker(lambda _: None, on_drop=lambda _: None)
    frame = Frame()
    gone = weakref.ref(frame, lambda _: done.set())
    worker.submit(frame)
    del frame

    assert done.wait(PATIENCE_S), gone()
    worker.stop()
