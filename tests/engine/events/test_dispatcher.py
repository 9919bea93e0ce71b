"""The dispatcher's thread, on events made by hand."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from steve import Job
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.events.listeners import Listeners
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.events.events import DONE, claimed, event


class Running:
    """A dispatcher, its listeners and its thread, which is not started."""

    def __init__(self, **tuning: Any) -> None:
        self.listeners = Listeners()
        self.ends: list[str] = []
        self.dispatcher = Dispatcher(
            listeners=self.listeners, on_all_told=lambda: self.ends.append("end"), tuning=Tuning(**tuning)
        )
        self.thread = threading.Thread(target=self.dispatcher.run)

    def put(self, number: int) -> None:
        """The job with this id is done."""
        self.dispatcher.put(event(DONE, claimed(number)))

    def finish(self) -> None:
        self.dispatcher.end()
        if not self.thread.is_alive() and not self.ends:
            self.thread.start()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def make_running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(**tuning: Any) -> Running:
        made.append(Running(**tuning))
        return made[-1]

    yield make
    for running in made:
        if running.thread.is_alive():
            running.finish()


@pytest.fixture
def running(make_running: Callable[..., Running]) -> Running:
    return make_running()


def test_events_are_told_in_their_order_and_the_end_after_the_last(running: Running) -> None:
    told: list[int] = []
    running.listeners.add("done", None, lambda job: told.append(job.uid.int))
    for number in range(500):
        running.put(number)
    assert running.dispatcher.waiting() == 500
    running.finish()
    assert told == list(range(500))
    assert running.ends == ["end"]
    assert running.dispatcher.waiting() == 0


@pytest.mark.parametrize("error", [Exception, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_the_dispatcher_survives_whatever_a_listener_raises(
    running: Running, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    told: list[int] = []

    def raising(job: Job) -> None:
        raise error

    running.listeners.add("done", None, raising)
    running.listeners.add("done", None, lambda job: told.append(job.uid.int))
    for number in range(10):
        running.put(number)
    running.finish()
    assert told == list(range(10))
    assert len(caplog.records) == 10
    assert (caplog.records[0].levelname, caplog.records[0].job_uid) == ("ERROR", str(UUID(int=0)))  # type: ignore[attr-defined]


def test_the_events_that_wait_are_counted_without_the_end(running: Running) -> None:
    blocked, told = threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        told.set()
        blocked.wait(60)

    running.listeners.add("done", None, slow)
    running.thread.start()
    try:
        for number in range(4):
            running.put(number)
        assert told.wait(60)
        running.dispatcher.end()
        assert running.dispatcher.waiting() == 3
    finally:
        blocked.set()


def test_slow_listeners_are_warned_of_once_each_time_the_queue_fills(
    make_running: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    running = make_running(events_most=10)
    backpressure = running.dispatcher.backpressure
    allowed = threading.Semaphore(0)
    told: list[int] = []

    def slow(job: Job) -> None:
        allowed.acquire(timeout=60)
        told.append(job.uid.int)

    def warnings() -> int:
        return sum(record.levelno == logging.WARNING for record in caplog.records)

    def fill(number: int) -> None:
        while not backpressure.engage_if_full():
            running.put(number)

    def let(number: int) -> None:
        before = len(told)
        allowed.release(number)
        until(lambda: len(told) == before + number)

    running.listeners.add("done", None, slow)
    running.thread.start()
    try:
        fill(1)
        let(2)
        until(lambda: warnings() == 1)
        let(1)
        assert backpressure.engage_if_full()
        let(4)
        until(lambda: not backpressure.engage_if_full())
        fill(2)
        let(1)
        until(lambda: warnings() == 2)
    finally:
        allowed.release(1000)
    running.finish()
    assert warnings() == 2


def test_listeners_added_and_removed_by_many_threads_lose_no_event(running: Running) -> None:
    told: list[int] = []
    running.listeners.add("done", None, lambda job: told.append(job.uid.int))
    enough = threading.Event()
    errors: list[BaseException] = []

    def churn() -> None:
        try:
            while not enough.is_set():
                running.listeners.add("done", ["a", "b"], len)()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    running.thread.start()
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            running.put(number)
        until(lambda: len(told) == 300, timeout=60)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert told == list(range(300))


def test_a_dispatcher_that_lost_the_end_marker_comes_to_its_end() -> None:
    """Something broke the thread off when it had taken the marker out of the queue."""
    ends: list[int] = []

    def broken_off_at_first() -> None:
        ends.append(1)
        if len(ends) == 1:
            raise SystemExit

    dispatcher = Dispatcher(listeners=Listeners(), on_all_told=broken_off_at_first, tuning=Tuning())
    dispatcher.end()
    with pytest.raises(SystemExit):
        dispatcher.run()
    again = threading.Thread(target=dispatcher.run, daemon=True)
    again.start()
    again.join(20)
    assert len(ends) == 2


def test_a_thread_that_asks_waits_while_too_many_events_wait_and_a_listener_never_does(
    make_running: Callable[..., Running],
) -> None:
    running = make_running(events_most=10)
    dispatcher = running.dispatcher
    allowed = threading.Semaphore(0)
    asked: list[bool] = []

    def slow(job: Job) -> None:
        asked.append(dispatcher.is_full(60))
        allowed.acquire(timeout=60)

    running.listeners.add("done", None, slow)
    assert not dispatcher.is_full()
    for number in range(20):
        running.put(number)
    running.thread.start()
    until(lambda: asked)
    assert dispatcher.is_full()
    assert dispatcher.is_full(0.01)
    waits = threading.Thread(target=lambda: asked.append(dispatcher.is_full(60)))
    waits.start()
    allowed.release(20)
    waits.join(60)
    assert not waits.is_alive()
    running.finish()
    assert asked == [False] * 21
