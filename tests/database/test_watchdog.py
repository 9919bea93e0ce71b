"""The watchdog breaks connections that have not answered in time, and no others."""

import logging
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from steve._database.watchdog import Watchdog
from tests.conftest import until

BLOCKED = "select from pg_locks where locktype = 'advisory' and not granted"


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_a_connection_that_does_not_answer_in_time_is_broken(
    conn: psycopg.Connection, other: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("select pg_advisory_lock(1)")
    with pytest.raises(psycopg.OperationalError):
        Watchdog().call(lambda ours: ours.execute("select pg_advisory_lock(1)"), other, 0.1)
    assert other.closed
    until(lambda: "1 connections are cut" in caplog.text)


def test_a_statement_that_answers_in_time_is_returned(conn: psycopg.Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert Watchdog().call(lambda ours: ours.execute("select 7").fetchone(), conn, 60.0) == (7,)
    assert caplog.text == ""


def test_a_short_limit_counts_while_the_watchdog_waits_for_a_long_one(
    conn: psycopg.Connection, other: psycopg.Connection, database_url: str
) -> None:
    conn.execute("select pg_advisory_lock(1)")
    watchdog = Watchdog()
    with psycopg.connect(database_url, autocommit=True) as patient:
        call = lambda: watchdog.call(lambda ours: ours.execute("select pg_advisory_lock(1)"), patient, 3600.0)  # noqa: E731
        waiting = threading.Thread(target=call)
        waiting.start()
        until(lambda: conn.execute(BLOCKED).fetchall())
        begun = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            watchdog.call(lambda ours: ours.execute("select pg_advisory_lock(1)"), other, 0.1)
        assert time.monotonic() - begun < 20  # by itself it looks every thirty seconds
        assert waiting.is_alive()
        conn.execute("select pg_advisory_unlock(1)")
        waiting.join(30)
        assert not waiting.is_alive()
        assert not patient.closed
