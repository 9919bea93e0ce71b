"""The heartbeat's thread, given a function in place of the database: when it beats, what it does when a beat fails, and how it
ends.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from steve._engine.liveness.heartbeat import Heartbeat
from steve._engine.upkeep.outage import Outage
from steve._database.statements.processes import Look
from steve._model.process import Process
from steve._database.failures import Misconfigured, Transient
from tests.conftest import until

NOW = 1.5e9
"""By the server's clock."""


def own(suspected_at: float | None = None, silent: float = 1.0) -> Process:
    return Process(1, "host:1", 60.0, NOW - silent, suspected_at, False)


class Ticker:
    """A heartbeat; what it sent, and what it said."""

    def __init__(self, interval: float) -> None:
        self.answer: Callable[[], Process | None] = own
        self.sent: list[tuple[float, bool, bool]] = []
        self.looked: list[tuple[float, float]] = []
        self.closed = 0
        self.doubts = 0
        self.near, self.far = socket.socketpair()
        self.is_open = False
        self.heart = Heartbeat(
            self._beat,
            self._close,
            lambda: self.is_open,
            lambda look, *seconds: self.looked.append(seconds),
            self._doubt,
            Outage(),
            interval,
        )
        self.thread = threading.Thread(target=self.heart.run)

    def _beat(self, beat: bool, locked: bool) -> tuple[Look, int]:
        self.sent.append((time.monotonic(), beat, locked))
        return Look(self.answer(), [], True, NOW), self.near.fileno()

    def _close(self) -> None:
        self.closed += 1

    def _doubt(self) -> None:
        self.doubts += 1

    @property
    def beats(self) -> list[float]:
        return [at for at, beat, _ in self.sent if beat]


@pytest.fixture
def make_ticker() -> Iterator[Callable[..., Ticker]]:
    tickers: list[Ticker] = []

    def make(interval: float = 60.0) -> Ticker:
        tickers.append(Ticker(interval))
        tickers[-1].thread.start()
        until(lambda: tickers[-1].sent)
        return tickers[-1]

    yield make
    for ticker in tickers:
        ticker.heart.end()
        ticker.thread.join(10)
        ticker.near.close()
        ticker.far.close()


def test_it_beats_at_once_and_then_in_time(make_ticker: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.liveness.heartbeat.LOOK_SECONDS", 0.04)
    ticker = make_ticker(0.1)
    until(lambda: len(ticker.beats) >= 5)
    pauses = [later - earlier for earlier, later in zip(ticker.beats, ticker.beats[1:], strict=False)]
    assert min(pauses) > 0.04
    assert len(ticker.sent) > len(ticker.beats), "it looks more often than it beats"
    assert ticker.sent[0][1:] == (True, False)
    assert {locked for _, _, locked in ticker.sent[1:]} == {True}
    assert ticker.looked[-1][0] > ticker.looked[1][0] > 0  # connected for longer and longer
    assert ticker.doubts == 0


def test_a_lost_connection_is_noticed_at_once_and_the_next_beat_takes_the_lock_again(
    make_ticker: Callable[..., Ticker],
) -> None:
    ticker = make_ticker()
    until(lambda: ticker.looked)
    answers: list[Process | None] = [own()]

    def fail_once() -> Process | None:
        ticker.near, lost = socket.socketpair()
        lost.close() if not answers else ticker.far.close()
        ticker.far = lost
        ticker.answer = own
        raise Transient("the connection is lost")

    ticker.answer = fail_once
    began = time.monotonic()
    ticker.far.send(b".")  # the end, as the socket shows it
    until(lambda: len(ticker.beats) == 2)
    assert time.monotonic() - began < 1
    assert ticker.closed == 1
    assert ticker.sent[-1][1:] == (True, False)
    assert ticker.looked[-1][0] < 1, "connected anew"


@pytest.mark.parametrize("was", [None, own(suspected_at=NOW - 1)], ids=["gone", "suspected"])
def test_who_looks_and_finds_itself_taken_for_dead_beats_at_once_and_doubts(
    was: Process | None, make_ticker: Callable[..., Ticker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.liveness.heartbeat.LOOK_SECONDS", 0.02)
    ticker = make_ticker()
    until(lambda: len(ticker.sent) >= 3)
    assert len(ticker.beats) == 1
    ticker.answer = lambda: was
    until(lambda: ticker.doubts)
    ticker.answer = own
    assert len(ticker.beats) >= 2


def test_who_was_silent_for_its_lease_doubts(make_ticker: Callable[..., Ticker]) -> None:
    ticker = make_ticker(0.1)
    ticker.answer = lambda: own(silent=60.0)
    until(lambda: ticker.doubts)


def test_after_a_pause_it_starts_to_count_its_heartbeats_anew(make_ticker: Callable[..., Ticker]) -> None:
    ticker = make_ticker(0.1)
    until(lambda: ticker.looked and ticker.looked[-1][1] > 0.3)
    ticker.heart._beaten_at -= 60.0  # as if the process had been stopped
    until(lambda: ticker.looked[-1][1] < 0.2)
    assert ticker.looked[-1][0] > 0.3  # over the same connection


def test_a_beat_that_cannot_be_written_over_a_session_that_lives_lets_go_of_nothing(
    make_ticker: Callable[..., Ticker],
) -> None:
    """A right that is missing for a moment: without the session's lock the others would take this process for dead."""
    ticker = make_ticker(0.1)
    until(lambda: ticker.looked)
    ticker.is_open = True
    failed: list[float] = []

    def fail() -> Process:
        failed.append(time.monotonic())
        raise Misconfigured("permission denied for table process", "42501")

    ticker.answer = fail
    until(lambda: len(failed) >= 3)
    ticker.answer = own
    before = len(ticker.looked)
    until(lambda: len(ticker.looked) > before)
    assert ticker.closed == 0
    assert {locked for _, _, locked in ticker.sent[1:]} == {True}


def test_a_defect_does_not_end_it(make_ticker: Callable[..., Ticker], caplog: pytest.LogCaptureFixture) -> None:
    ticker = make_ticker(0.1)

    def fail() -> Process:
        ticker.answer = own
        raise ZeroDivisionError

    ticker.answer = fail
    until(lambda: "a heartbeat failed; the next will come" in caplog.text)
    before = len(ticker.beats)
    until(lambda: len(ticker.beats) > before)


def test_after_the_end_no_beat_comes(make_ticker: Callable[..., Ticker]) -> None:
    ticker = make_ticker()
    sending, answered = threading.Event(), threading.Event()

    def slow() -> Process:
        sending.set()
        assert answered.wait(10)
        return own()

    ticker.answer = slow
    ticker.far.send(b".")
    assert sending.wait(10)
    ending = threading.Thread(target=ticker.heart.end)
    ending.start()
    assert ending.is_alive()  # it waits for the beat that is under way
    answered.set()
    ending.join(10)
    sent = len(ticker.sent)
    ticker.thread.join(10)
    assert not ticker.thread.is_alive()
    assert len(ticker.sent) == sent
