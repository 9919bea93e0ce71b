"""A thread for periodic duties: they come again whatever they raise, and a request to stop is carried out at once."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from steve._engine.upkeep.periodic import Duty, Periodic
from tests.conftest import until

Start = Callable[..., Periodic]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(duty, ..., on_stop=...)`: running; ended after the test."""
    started: list[tuple[Periodic, threading.Thread]] = []

    def start(*duties: Duty, on_stop: Callable[[], None] = lambda: None) -> Periodic:
        periodic = Periodic(duties=duties, on_stop=on_stop)
        thread = threading.Thread(target=periodic.run)
        thread.start()
        started.append((periodic, thread))
        return periodic

    yield start
    for periodic, thread in started:
        periodic.end()
        thread.join(60)
        assert not thread.is_alive()


def test_each_duty_comes_again_at_its_own_interval(start: Start) -> None:
    often: list[float] = []
    seldom: list[float] = []
    began = time.monotonic()
    start(
        Duty("often", 0.02, lambda: often.append(time.monotonic())),
        Duty("seldom", 0.4, lambda: seldom.append(time.monotonic())),
    )
    until(lambda: len(seldom) >= 2 and len(often) > len(seldom))
    assert seldom[0] - began >= 0.4
    assert seldom[1] - began >= 0.8  # from the beginning: a thread may be held up between a duty's turn and its work


def test_a_duty_that_raises_is_logged_and_comes_again_and_hinders_no_other(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []
    others: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise RuntimeError("no")

    start(Duty("the failing one", 0.01, fail), Duty("another", 0.01, lambda: others.append(1)))
    until(lambda: len(tries) >= 3 and len(others) >= 3)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert records[0].message == "the duty 'the failing one' failed; its turn will come again"
    assert records[0].exc_info


def test_a_request_to_stop_is_carried_out_at_once_as_often_as_it_is_made(start: Start) -> None:
    """The next duty is due in an hour."""
    stops: list[int] = []
    periodic = start(Duty("far away", 3600, lambda: None), on_stop=lambda: stops.append(1))
    periodic.ask_to_stop()
    until(lambda: len(stops) == 1)
    periodic.ask_to_stop()
    until(lambda: len(stops) == 2)


def test_a_stop_that_raises_is_logged_and_may_be_asked_for_again(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    stops: list[int] = []

    def fail_at_first() -> None:
        stops.append(1)
        if len(stops) == 1:
            raise RuntimeError("no")

    periodic = start(Duty("far away", 3600, lambda: None), on_stop=fail_at_first)
    periodic.ask_to_stop()
    periodic.ask_to_stop()
    until(lambda: len(stops) == 2)
    assert "RuntimeError: no" in caplog.text


def test_duties_go_on_after_a_request_to_stop_until_the_end(start: Start) -> None:
    """A last handler may run for long: what is owed meanwhile is still done."""
    done: list[int] = []
    periodic = start(Duty("often", 0.01, lambda: done.append(1)))
    periodic.ask_to_stop()
    before = len(done)
    until(lambda: len(done) >= before + 3)


def test_after_the_end_nothing_is_done() -> None:
    done: list[int] = []
    periodic = Periodic(duties=[Duty("often", 0.01, lambda: done.append(1))])
    periodic.end()
    periodic.run()  # returns
    assert done == []


def test_requests_are_heard_however_fast_duties_come(start: Start) -> None:
    """A duty that takes longer than its interval is due again at once, for ever."""
    stops: list[int] = []
    slow = threading.Event()
    periodic = start(Duty("slow", 0.001, lambda: slow.wait(0.01)), on_stop=lambda: stops.append(1))
    periodic.ask_to_stop()
    until(lambda: stops)
