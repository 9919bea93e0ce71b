"""What the loops do while the database is away: what is trouble that passes, how long they wait, and how little they say. The
clock is set by hand.
"""

import logging
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import psycopg
import pytest

from steve._engine.upkeep import outage as _outage
from steve._database.failures import failure_of
from steve._engine.upkeep.outage import Backoff, Outage
from steve._database.failures import Misconfigured, Refused, DatabaseFailure, Unexplained, InDoubt, Transient
from steve._model.settings import BACKOFF_FIRST, BACKOFF_MOST


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_outage, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said since the last call."""
    caplog.set_level(logging.DEBUG, "steve")

    def since() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return since


# -- what is what ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "kind"),
    [
        ("22P05 22003 23505 23514 21000 44000 P0001", Refused),
        ("42P01 42501 28P01 3D000 3F000", Misconfigured),
        ("08006 25006 25P03 40001 40P01 53100 53300 55P03 57014 58030", Transient),
        ("0A000 26000", Transient),  # the plan or the prepared statement, not the data
        ("57P01 57P03", InDoubt),
        ("54000 54001 XX000 XX001 F0000 53200", Unexplained),  # the server's limits, or the data's
        ("2BP01 38000", Refused),  # raised by a trigger of the user's
    ],
)
def test_what_an_sqlstate_means_for_the_caller(database_url: str, states: str, kind: type[DatabaseFailure]) -> None:
    with psycopg.connect(database_url) as connection:
        for state in states.split():
            assert type(failure_of(psycopg.errors.lookup(state)("no"), connection)) is kind, state


def test_a_state_that_a_trigger_made_up_refuses_the_data() -> None:
    class Own(psycopg.DatabaseError):
        sqlstate = "U0001"

    assert type(failure_of(Own("no"))) is Refused


def test_the_text_of_an_error_that_may_quote_the_data_is_not_shown() -> None:
    for state in ("22P02", "P0001"):
        assert "secret" not in str(failure_of(psycopg.errors.lookup(state)('invalid input: "secret"')))
    assert "violates" in str(failure_of(psycopg.errors.lookup("23514")('violates check constraint "x"')))


# -- the back-off ---------------------------------------------------------------------------------------------------------


def test_the_wait_doubles_from_a_tenth_to_two_seconds_half_more_or_less_by_chance() -> None:
    assert (BACKOFF_FIRST, BACKOFF_MOST) == (0.1, 2.0)
    middles = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    runs = []
    for _ in range(200):
        backoff = Backoff()
        runs.append([backoff.next() for _ in middles])
    for middle, delays in zip(middles, zip(*runs, strict=True), strict=True):
        assert middle * 0.5 <= min(delays) < middle * 0.7
        assert middle * 1.3 < max(delays) <= middle * 1.5


def test_after_a_success_it_begins_again_at_the_first_wait() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.15


def test_a_try_that_took_long_has_waited_already(clock: Clock) -> None:
    backoff = Backoff()
    for _ in range(10):
        clock.now += backoff.next()
    clock.now += 10.0
    clock.now += (wait := backoff.next())
    assert wait <= 0.15
    assert backoff.next() >= 1.0  # the next one did not


# -- what is said ---------------------------------------------------------------------------------------------------------


def test_the_first_failure_is_said_at_once_and_the_end_once(clock: Clock, said: Callable[[], list[str]]) -> None:
    outage = Outage()
    outage.failed("claiming", Transient("connection refused"))
    assert said() == ["claiming cannot use the database and will try again: connection refused"]
    clock.now += 12.34
    outage.worked("claiming")
    assert said() == ["the database is back after 12.3 s"]
    outage.worked("claiming")
    assert said() == []


def test_what_works_says_nothing(said: Callable[[], list[str]]) -> None:
    outage = Outage()
    for loop in ("claiming", "settling", "listening") * 3:
        outage.worked(loop)
    assert said() == []


def test_however_many_loops_fail_however_often_one_line_a_second_is_said(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    times = []
    for _ in range(1000):  # ten seconds
        for loop in ("claiming", "settling", "listening"):
            before = len(caplog.records)
            outage.failed(loop, InDoubt("the connection is lost"))
            times += [clock.now] * (len(caplog.records) - before)
        clock.now += 0.01
    assert 9 <= len(times) <= 10
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_it_is_over_when_the_last_loop_works_again(clock: Clock, said: Callable[[], list[str]]) -> None:
    outage = Outage()
    for loop in ("claiming", "settling", "listening"):
        outage.failed(loop, Transient("away"))
    clock.now += 5
    outage.worked("settling")
    outage.worked("claiming")
    outage.failed("claiming", Transient("away again"))
    outage.worked("claiming")
    assert [text for text in said() if "is back" in text] == []
    outage.worked("listening")
    assert said() == ["the database is back after 5.0 s"]


def test_an_outage_that_was_too_short_to_be_said_is_not_said_to_be_over(clock: Clock, said: Callable[[], list[str]]) -> None:
    outage = Outage()
    outage.failed("claiming", Transient("away"))
    outage.worked("claiming")
    assert len(said()) == 2
    clock.now += 0.5
    outage.failed("claiming", Transient("away"))
    outage.worked("claiming")
    assert said() == []
    clock.now += 0.6
    outage.failed("claiming", Transient("away"))
    clock.now += 2
    outage.worked("claiming")
    assert said() == ["claiming cannot use the database and will try again: away", "the database is back after 2.0 s"]


def test_a_broken_connection_is_a_warning_and_what_somebody_must_mend_is_an_error(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()
    for error in (Transient("a"), InDoubt("b"), Misconfigured("c")):
        outage.failed("claiming", error)
        clock.now += 1
    outage.worked("claiming")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR", "WARNING"]
