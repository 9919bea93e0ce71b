"""The heartbeat's thread with a socket in place of the database: when it beats, what it does when a beat fails, and how it
ends.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steve._database.failures import Misconfigured, Transient
from steve._database.statements.processes import Look
from steve._engine.liveness.heartbeat import Heartbeat, how_often
from steve._engine.upkeep.outage import Outage
from steve._model.process import Process
from steve._model.tuning import Tuning
from tests.conftest import until

NOW = 1.5e9
"""By the server's clock."""


def own(suspected_at: float | None = None, silent: float = 1.0) -> Process:
    return Process(1, "host:1", 60.0, NOW - silent, suspected_at, False)


class Ticker:
    """A heartbeat, and both its ports: `BeatPort` on a pair of sockets, and `LookPort`."""

    def __init__(self, interval: float, **tuning: Any) -> None:
        self.answer: Callable[[], Process | None] = own
        self.others: list[Process] = []
        self.mosts: list[int] = []
        self.sent: list[tuple[float, bool, bool]] = []
        self.looks: list[tuple[float, float]] = []  # connected, unbroken
        self.closed = 0
        self.doubts = 0
        self.near, self.far = socket.socketpair()
        self.is_alive = False
        self.heartbeat = Heartbeat(
            database=self, looks=self, interval=interval, descriptor=None, outage=Outage(), tuning=Tuning(**tuning)
        )
        self.thread = threading.Thread(target=self.heartbeat.run)

    # -- BeatPort -------------------------------------------------------------------------------------------------------

    def beat(self, *, beat: bool, locked: bool, most: int) -> tuple[Look, int]:
        self.sent.append((time.monotonic(), beat, locked))
        self.mosts.append(most)
        return Look(self.answer(), self.others[:most], True, NOW), self.near.fileno()

    def is_open(self) -> bool:
        return self.is_alive

    def close(self) -> None:
        self.closed += 1

    # -- LookPort -------------------------------------------------------------------------------------------------------

    def on_look(self, look: Look, *, connected: float, unbroken: float) -> None:
        self.looks.append((connected, unbroken))

    def on_doubt(self) -> None:
        self.doubts += 1

    # -- for tests ------------------------------------------------------------------------------------------------------

    @property
    def beats(self) -> list[float]:
        return [at for at, beat, _ in self.sent if beat]

    def disturb(self) -> None:
        """The socket has something to say."""
        self.far.send(b".")


MakeTicker = Callable[..., Ticker]


@pytest.fixture
def make_ticker() -> Iterator[MakeTicker]:
    """`make_ticker(interval, **tuning)`: running, and after its first beat."""
    tickers: list[Ticker] = []

    def make(interval: float = 60.0, **tuning: Any) -> Ticker:
        ticker = Ticker(interval, **tuning)
        tickers.append(ticker)
        ticker.thread.start()
        until(lambda: ticker.looks)
        return ticker

    yield make
    for ticker in tickers:
        ticker.heartbeat.end()
        ticker.thread.join(60)
        ticker.near.close()
        ticker.far.close()


def test_it_beats_at_once_and_then_in_time(make_ticker: MakeTicker) -> None:
    began = time.monotonic()
    ticker = make_ticker(0.4, look_interval=0.1)
    until(lambda: len(ticker.beats) >= 4 and len(ticker.sent) > len(ticker.beats))  # it looks more often than it beats
    sent = list(ticker.sent)
    beats = [at for at, beat, _ in sent if beat]
    # From the beginning: the thread may be held up before one of them. It beats when the next look may come too late for it.
    assert all(at - began >= number * 0.25 for number, at in enumerate(beats))
    assert sent[0][1:] == (True, False)
    assert {locked for _, _, locked in sent[1:]} == {True}
    assert ticker.looks[-1][0] > ticker.looks[1][0] > 0  # connected for longer and longer
    assert ticker.doubts == 0


def test_a_lost_connection_is_noticed_at_once_and_the_lock_taken_again(make_ticker: MakeTicker) -> None:
    """The next look would come in an hour."""
    ticker = make_ticker(7_200.0, look_interval=3_600.0)
    lost = (ticker.near, ticker.far)

    def fail_once() -> Process | None:
        ticker.near, ticker.far = socket.socketpair()
        ticker.answer = own
        raise Transient("the connection is lost")

    ticker.answer = fail_once
    ticker.far.send(b".")  # the end of the connection, as its socket shows it
    until(lambda: len(ticker.beats) == 2 and len(ticker.looks) == 2)
    for end in lost:
        end.close()
    assert ticker.closed == 1
    assert ticker.sent[-1][1:] == (True, False)
    assert ticker.looks[-1][0] == 0.0, "connected anew"


@pytest.mark.parametrize("was", [None, own(suspected_at=NOW - 1)], ids=["gone", "suspected"])
def test_a_process_that_finds_itself_taken_for_dead_beats_at_once_and_doubts(
    was: Process | None, make_ticker: MakeTicker
) -> None:
    ticker = make_ticker(look_interval=0.02)
    until(lambda: len(ticker.sent) >= 3)
    assert len(ticker.beats) == 1
    ticker.answer = lambda: was
    until(lambda: ticker.doubts)
    ticker.answer = own
    assert len(ticker.beats) >= 2


def test_a_process_that_was_silent_for_its_lease_doubts(make_ticker: MakeTicker) -> None:
    ticker = make_ticker(0.1)
    ticker.answer = lambda: own(silent=60.0)
    until(lambda: ticker.doubts)


def test_after_a_pause_it_counts_its_unbroken_heartbeats_anew(make_ticker: MakeTicker) -> None:
    """A beat that stands still is like a process that was stopped: it knows nothing of the others meanwhile."""
    ticker = make_ticker(0.3, look_interval=0.1)
    until(lambda: ticker.looks[-1][1] > 0.5, timeout=30)

    def stand_still() -> Process:
        ticker.answer = own
        until(lambda: time.monotonic() - ticker.sent[-1][0] > 1.0)
        return own()

    ticker.answer = stand_still
    until(lambda: ticker.answer is own)
    until(lambda: any(unbroken == 0.0 for _, unbroken in ticker.looks[1:]))
    assert ticker.looks[-1][0] > 0.5, "over the same connection"
    assert ticker.closed == 0


def test_a_beat_that_cannot_be_written_keeps_a_session_that_is_alive(make_ticker: MakeTicker) -> None:
    """A right that is missing for a moment: without the session's lock the others would take this process for dead."""
    ticker = make_ticker(0.1)
    ticker.is_alive = True
    failed: list[float] = []

    def fail() -> Process:
        failed.append(time.monotonic())
        raise Misconfigured("permission denied for table process", "42501")

    ticker.answer = fail
    until(lambda: len(failed) >= 3)
    ticker.answer = own
    before = len(ticker.looks)
    until(lambda: len(ticker.looks) > before)
    assert ticker.closed == 0
    assert {locked for _, _, locked in ticker.sent[1:]} == {True}


def test_a_defect_does_not_end_it(make_ticker: MakeTicker, caplog: pytest.LogCaptureFixture) -> None:
    ticker = make_ticker(0.1)

    def fail() -> Process:
        ticker.answer = own
        raise ZeroDivisionError

    ticker.answer = fail
    until(lambda: "a heartbeat failed; the next will come" in caplog.text)
    before = len(ticker.beats)
    until(lambda: len(ticker.beats) > before)


def test_after_the_end_no_beat_comes(make_ticker: MakeTicker) -> None:
    ticker = make_ticker(shutdown_grace=60.0)
    sending, answered = threading.Event(), threading.Event()

    def slow() -> Process:
        sending.set()
        assert answered.wait(60)
        return own()

    ticker.answer = slow
    ticker.disturb()
    assert sending.wait(60)
    ending = threading.Thread(target=ticker.heartbeat.end)
    ending.start()
    assert ending.is_alive(), "it waits for the beat that is under way"
    answered.set()
    ending.join(60)
    sent = len(ticker.sent)
    ticker.thread.join(60)
    assert not ticker.thread.is_alive()
    assert len(ticker.sent) == sent


def test_while_neighbours_are_dead_it_looks_further(make_ticker: MakeTicker) -> None:
    """Of fifty processes on a machine that is gone one is left elsewhere: it must not find them in small portions."""
    ticker = make_ticker(look_interval=0.02, look_most=4)
    ticker.others = [Process(number, "host:1", 60.0, NOW, None, True) for number in range(2, 52)]
    until(lambda: ticker.mosts[-3:] == [104, 104, 104])
    assert list(dict.fromkeys(ticker.mosts)) == [4, 12, 28, 60, 104]
    ticker.others = []
    until(lambda: ticker.mosts[-3:] == [4, 4, 4])


@pytest.mark.parametrize(
    "dead",
    [
        Process(2, "host:1", 60.0, NOW, None, True),
        Process(2, "host:1", 60.0, NOW, NOW, False),
        Process(2, "host:1", 60.0, NOW - 31.0, None, False),
    ],
    ids=["its session is gone", "suspected", "silent"],
)
def test_it_looks_further_past_a_process_that_seems_dead(dead: Process, make_ticker: MakeTicker) -> None:
    ticker = make_ticker(look_interval=0.02, look_most=4)
    ticker.others = [dead, Process(3, "host:1", 60.0, NOW, None, False)]
    until(lambda: ticker.mosts[-1] == 6)


@pytest.mark.parametrize(
    ("others", "heartbeat", "expected"),
    [(0, 5.0, 2.0), (1, 5.0, 2.0), (2, 5.0, 2.0), (4, 5.0, 4.0), (16, 5.0, 5.0), (16, 60.0, 16.0), (16, 1.0, 2.0)],
)
def test_the_more_processes_there_are_the_less_often_each_looks(others: int, heartbeat: float, expected: float) -> None:
    """As many look at it: twice in two seconds, if each looks so often. But a heartbeat is a look, too."""
    seen = [Process(number, "host:1", 60.0, NOW, None, False) for number in range(others)]
    assert how_often(seen, 16, heartbeat, Tuning(look_interval=2.0, look_most=16)) == expected
    assert how_often(seen, 18, heartbeat, Tuning(look_interval=2.0, look_most=16)) == 2.0, "one of them seems dead"


def test_in_a_large_fleet_each_look_is_a_heartbeat(make_ticker: MakeTicker) -> None:
    ticker = make_ticker(0.2, look_interval=0.05)
    until(lambda: len(ticker.sent) > len(ticker.beats))
    ticker.others = [Process(number, "host:1", 60.0, NOW, None, False) for number in range(2, 18)]
    seen = len(ticker.looks)
    until(lambda: len(ticker.looks) > seen + 1)  # the first of them may have begun before
    before = len(ticker.sent)
    until(lambda: len(ticker.sent) >= before + 5)
    assert all(beat for _, beat, _ in ticker.sent[before:])


def test_a_look_that_is_asked_for_comes_at_once_and_each_time(make_ticker: MakeTicker) -> None:
    ticker = make_ticker(6000.0, look_interval=600.0)
    for number in range(1, 4):
        ticker.heartbeat.look_soon()
        until(lambda number=number: len(ticker.sent) == 1 + number)  # type: ignore[misc]
    assert len(ticker.beats) == 1, "a look needs no beat"


def test_a_look_that_is_asked_for_during_a_look_comes_after_it(make_ticker: MakeTicker) -> None:
    """What was paused after the statement began is not in its answer."""
    ticker = make_ticker(6000.0, look_interval=600.0)

    def asked_meanwhile() -> Process:
        ticker.answer = own
        ticker.heartbeat.look_soon()
        return own()

    ticker.answer = asked_meanwhile
    ticker.heartbeat.look_soon()
    until(lambda: len(ticker.sent) == 3)
