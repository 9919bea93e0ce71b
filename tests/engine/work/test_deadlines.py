"""The thread that watches deadlines: started by the first one, it looks when it was told to, and outlives what it calls."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from steve._engine.work.deadlines import SWEEP_LEAST, Deadlines
from tests.conftest import until


class One:
    """Something that is watched."""

    def __init__(self, look: Callable[[float], float | None] = lambda now: None) -> None:
        self.at = 0.0
        self.is_over = False
        self.looked: list[float] = []
        self._look = look

    def look(self, now: float) -> float | None:
        self.looked.append(now)
        return self._look(now)


class Threads:
    def __init__(self) -> None:
        self.started: list[threading.Thread] = []
        self.is_refusing = False

    def start(self, run: Callable[[], None]) -> None:
        if self.is_refusing:
            raise RuntimeError("can't start new thread")
        self.started.append(threading.Thread(target=run, daemon=True))
        self.started[-1].start()


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def deadlines(threads: Threads) -> Iterator[Deadlines]:
    deadlines = Deadlines(start=threads.start)
    yield deadlines
    deadlines.end()
    for thread in threads.started:
        thread.join(60)
        assert not thread.is_alive()


def test_the_first_deadline_starts_the_thread_and_the_next_ones_use_it(deadlines: Deadlines, threads: Threads) -> None:
    assert threads.started == []
    ones = [One() for _ in range(10)]
    for one in ones:
        deadlines.watch(one, time.monotonic() + 0.01)
    until(lambda: all(one.looked for one in ones))
    assert len(threads.started) == 1


def test_nothing_is_looked_at_before_its_time_and_an_earlier_one_is_not_held_up(deadlines: Deadlines) -> None:
    late, early = One(), One()
    deadlines.watch(late, time.monotonic() + 3600)
    at = time.monotonic() + 0.05
    deadlines.watch(early, at)
    until(lambda: early.looked)
    assert early.looked[0] >= at
    assert late.looked == []


def test_it_is_looked_at_again_when_it_says_so(deadlines: Deadlines) -> None:
    times = iter([0.001, 0.002])
    one = One(lambda now: now + step if (step := next(times, None)) else None)
    deadlines.watch(one, 0.0)
    until(lambda: len(one.looked) == 3)


def test_the_last_time_that_was_said_counts(deadlines: Deadlines) -> None:
    one, later = One(), One()
    deadlines.watch(one, time.monotonic() + 0.05)
    deadlines.watch(one, time.monotonic() + 3600)
    deadlines.watch(later, time.monotonic() + 0.1)
    until(lambda: later.looked)
    assert one.looked == []
    deadlines.watch(one, 0.0)
    until(lambda: one.looked)


def test_what_is_over_is_not_looked_at(deadlines: Deadlines) -> None:
    over, other = One(), One()
    deadlines.watch(over, time.monotonic() + 0.05)
    over.is_over = True
    deadlines.over()
    deadlines.watch(other, time.monotonic() + 0.1)
    until(lambda: other.looked)
    assert over.looked == []


def test_the_entries_of_what_is_over_are_removed(deadlines: Deadlines) -> None:
    """Otherwise a day's jobs with a long timeout would stay in memory for as long."""
    for _ in range(20 * SWEEP_LEAST):
        one = One()
        deadlines.watch(one, time.monotonic() + 3600)
        one.is_over = True
        deadlines.over()
    assert len(deadlines._entries) <= 2 * SWEEP_LEAST


def test_an_error_holds_up_no_other_deadline(deadlines: Deadlines, threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    def fail(now: float) -> float | None:
        raise SystemExit("a defect")

    broken, sound = One(fail), One()
    deadlines.watch(broken, 0.0)
    deadlines.watch(sound, time.monotonic() + 0.02)
    until(lambda: broken.looked and sound.looked)
    assert len(threads.started) == 1
    until(lambda: len(broken.looked) == 2)
    assert "a deadline could not be kept" in caplog.text


def test_if_no_thread_can_be_started_the_next_deadline_tries_again(
    deadlines: Deadlines, threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    threads.is_refusing = True
    one, other = One(), One()
    deadlines.watch(one, 0.0)
    assert "the system starts no thread" in caplog.text
    threads.is_refusing = False
    deadlines.watch(other, 0.0)
    until(lambda: one.looked and other.looked)
