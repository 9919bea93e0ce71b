"""What the log says while the database is away: little. The clock is set by hand."""

import logging
from collections.abc import Callable
from itertools import pairwise

import pytest

from steve._database.failures import InDoubt, Misconfigured, Transient
from steve._engine.upkeep.outage import Outage, OutagePart
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage(clock=clock)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines that were logged since the last call."""
    caplog.set_level(logging.DEBUG, "steve")

    def since() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

    return since


def test_the_first_failure_is_logged_at_once_and_the_end_once(
    outage: Outage, clock: Clock, logged: Callable[[], list[str]]
) -> None:
    outage.failed("claiming", Transient("connection refused"))
    assert logged() == ["claiming cannot use the database and will try again: connection refused"]
    clock.now += 12.34
    outage.worked("claiming")
    assert logged() == ["the database is back after 12.3 s"]
    outage.worked("claiming")
    assert logged() == []


def test_a_pool_that_works_ends_no_outage_of_another_pool(
    outage: Outage, clock: Clock, logged: Callable[[], list[str]]
) -> None:
    one, other = OutagePart(outage=outage), OutagePart(outage=outage)
    one.failed("claiming", Transient("connection refused"))
    clock.now += 5.0
    other.worked("claiming")
    assert outage.now() == (["claiming"], 5.0)
    other.failed("claiming", Transient("connection refused"))
    clock.now += 5.0
    assert outage.now() == (["claiming"], 10.0)
    assert outage.now(without=[("claiming", one)]) == (["claiming"], 5.0)
    assert outage.now(without=[("claiming", one), ("claiming", other)]) == ([], 0.0)
    one.worked("claiming")
    assert outage.now() == (["claiming"], 5.0)
    other.worked("claiming")
    assert logged()[-1] == "the database is back after 10.0 s"


def test_a_pool_that_has_ended_fails_no_more(outage: Outage) -> None:
    one, other = OutagePart(outage=outage), OutagePart(outage=outage)
    for part in (one, other):
        part.failed("claiming", Transient("connection refused"))
    one.end()
    assert outage.now()[0] == ["claiming"]
    other.worked("claiming")
    assert outage.now() == ([], 0.0)


def test_a_loop_that_works_logs_nothing(outage: Outage, logged: Callable[[], list[str]]) -> None:
    for loop in ("claiming", "settling", "listening") * 3:
        outage.worked(loop)
    assert logged() == []


def test_at_most_one_line_a_second_is_logged_however_many_loops_fail(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    times = []
    for _ in range(1000):  # ten seconds
        for loop in ("claiming", "settling", "listening"):
            before = len(caplog.records)
            outage.failed(loop, InDoubt("the connection is lost"))
            times += [clock.now] * (len(caplog.records) - before)
        clock.now += 0.01
    assert 9 <= len(times) <= 10
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


def test_it_is_over_when_the_last_loop_works_again(outage: Outage, clock: Clock, logged: Callable[[], list[str]]) -> None:
    for loop in ("claiming", "settling", "listening"):
        outage.failed(loop, Transient("away"))
    clock.now += 5
    outage.worked("settling")
    outage.worked("claiming")
    outage.failed("claiming", Transient("away again"))
    outage.worked("claiming")
    assert [text for text in logged() if "is back" in text] == []
    assert outage.now() == (["listening"], 5.0)
    outage.worked("listening")
    assert logged() == ["the database is back after 5.0 s"]
    assert outage.now() == ([], 0.0)


def test_the_end_of_an_outage_that_was_not_logged_is_not_logged(
    outage: Outage, clock: Clock, logged: Callable[[], list[str]]
) -> None:
    outage.failed("claiming", Transient("away"))
    outage.worked("claiming")
    assert len(logged()) == 2
    clock.now += 0.5
    outage.failed("claiming", Transient("away"))
    outage.worked("claiming")
    assert logged() == []
    clock.now += 0.6
    outage.failed("claiming", Transient("away"))
    clock.now += 2
    outage.worked("claiming")
    assert logged() == ["claiming cannot use the database and will try again: away", "the database is back after 2.0 s"]


def test_a_broken_connection_is_a_warning_and_a_wrong_setup_an_error(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (Transient("a"), InDoubt("b"), Misconfigured("c")):
        outage.failed("claiming", error)
        clock.now += 1
    outage.worked("claiming")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR", "WARNING"]
