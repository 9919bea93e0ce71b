"""The statements that write what runs leave behind: which rows they write, and which they leave alone."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import Job, JobManager
from steve._database.failures import Transient
from steve._database.statements import Statements, statements_for
from steve._database.statements.records import Logged, Reported
from steve._model.claimed import RunKey
from steve._model.log_text import Cut, chunk, encoded
from steve._model.settings import Settings

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def statements(schema: str) -> Statements:
    return statements_for(Settings(schema=schema))


@pytest.fixture
def job(manager: JobManager, conn: psycopg.Connection, schema: str) -> Job:
    """It runs, under lease 1."""
    made = manager.create("a")
    claimed = "status = 'running', attempts = 1, lease_no = 1, claimed_at = %s, process_id = 1"
    conn.execute(f"update {schema}.job set {claimed}".encode(), [AT])
    return made


def key(job: Job, lease_no: int = 1, at: datetime = AT) -> RunKey:
    return RunKey(job.uid, lease_no, at)


def lines(first: int, *messages: str) -> Any:
    return chunk(first, [encoded(100.0 + first, "INFO", "a", message) for message in messages])


def report(run: RunKey, number: int, done: float) -> Reported:
    return Reported(run, number, done, None, None, time.monotonic())


def test_a_row_that_was_sent_before_stays_as_it_is(
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection
) -> None:
    for message in ("first", "again"):
        statements.records.write_log(conn, [Logged(key(job), 1, [lines(0, message)], None)], 0.0, limited=True)
    assert [line.message for line in manager.logs(job)] == ["first"]


def test_claims_with_the_same_number_have_rows_of_their_own(
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection
) -> None:
    """As after a failover to a standby that had not received the first claim."""
    later = AT.replace(year=2027)
    for at in (later, AT):
        statements.records.write_log(conn, [Logged(key(job, 1, at), 1, [lines(0, str(at.year))], None)], 0.0, limited=True)
    assert [line.message for line in manager.logs(job)] == ["2026", "2027"]


def test_a_cut_deletes_the_rows_between_and_no_others(
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection
) -> None:
    chunks = [lines(number, str(number)) for number in range(6)]
    both = [Logged(key(job, lease_no), lease_no, chunks, None) for lease_no in (1, 2)]
    statements.records.write_log(conn, both, 0.0, limited=True)
    statements.records.write_log(conn, [Logged(key(job), 1, [lines(6, "6")], Cut(1, 4))], 0.0, limited=True)
    assert [line.message for line in manager.logs(job, 1)] == ["0", "... 3 lines left out ...", "4", "5", "6"]
    assert [line.message for line in manager.logs(job, 2)] == ["0", "1", "2", "3", "4", "5"]


def test_a_deleted_job_gets_no_rows(statements: Statements, job: Job, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"delete from {schema}.job".encode())
    statements.records.write_log(conn, [Logged(key(job), 1, [lines(0, "a")], None)], 0.0, limited=True)
    statements.records.write_progress(conn, [report(key(job), 1, 1.0)], limited=True)
    assert conn.execute(f"select count(*) from {schema}.log, {schema}.progress".encode()).fetchone() == (0,)


def test_times_are_those_of_the_database(
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection
) -> None:
    """As a process writes them whose clock is wrong by years."""
    statements.records.write_log(conn, [Logged(key(job), 1, [lines(0, "a")], None)], 3_600.0, limited=True)
    (line,) = manager.logs(job)
    assert line.at == datetime.fromtimestamp(3_700, UTC)
    now = statements.records.write_log(conn, [Logged(key(job, 2), 2, [lines(0, "a")], None)], None, limited=True)
    assert abs(now - time.time()) < 60
    assert abs(manager.logs(job, 2)[0].at.timestamp() - 100.0) < 60, "measured in the statement"


@pytest.mark.parametrize(
    ("lease_no", "at", "change", "is_written"),
    [
        (1, AT, "", True),
        (1, AT, "status = 'completed', process_id = null, completed_at = now()", True),
        (1, AT, "status = 'pending', process_id = null, claimed_at = null", True),
        (1, AT, "status = 'pending', process_id = null, claimed_at = null, lease_no = 2", False),
        (1, AT, "lease_no = 3, claimed_at = now()", False),
        (1, AT, "claimed_at = now()", False),
        (2, AT, "", False),
    ],
)
def test_a_report_counts_only_under_the_claim_that_the_job_was_last_given(
    lease_no: int, at: datetime, change: str, is_written: bool,
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection, schema: str,
) -> None:  # fmt: skip
    if change:
        conn.execute(f"update {schema}.job set {change}".encode())
    statements.records.write_progress(conn, [report(key(job, lease_no, at), 1, 5.0)], limited=True)
    found = manager.find(job)
    assert found is not None
    assert (found.progress is not None) is is_written


def test_a_report_that_arrives_late_changes_nothing(
    statements: Statements, job: Job, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    for number in (2, 3, 1):
        statements.records.write_progress(conn, [report(key(job), number, float(number))], limited=True)
    assert progress(manager, job) == 3.0
    conn.execute(f"update {schema}.job set lease_no = 2, claimed_at = now()".encode())
    ((at,),) = conn.execute(f"select claimed_at from {schema}.job".encode()).fetchall()
    statements.records.write_progress(conn, [report(key(job, 2, at), 1, 9.0)], limited=True)
    assert progress(manager, job) == 9.0, "of the next attempt, which counts anew"


def progress(manager: JobManager, job: Job) -> float | None:
    found = manager.find(job)
    assert found is not None
    return found.progress and found.progress.done


def test_two_threads_that_write_the_same_runs_never_wait_in_a_circle(
    statements: Statements, manager: JobManager, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    jobs = manager.create_many([("a", {})] * 40)
    conn.execute(f"update {schema}.job set lease_no = 1, claimed_at = %s".encode(), [AT])
    errors: list[Exception] = []

    def write(order: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as theirs:
            for number in range(40):
                some = jobs[::order]
                try:
                    statements.records.write_progress(theirs, [report(key(one), number, 1.0) for one in some], limited=True)
                    logged = [Logged(key(one), 1, [lines(number, "a")], None) for one in some]
                    statements.records.write_log(theirs, logged, 0.0, limited=True)
                except Exception as error:
                    errors.append(error)

    threads = [threading.Thread(target=write, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_whoever_locks_the_table_holds_up_the_writer_for_a_moment_only(
    statements: Statements, job: Job, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    with psycopg.connect(database_url) as theirs:
        theirs.execute(f"lock table {schema}.log".encode())
        began = time.monotonic()
        with pytest.raises(Transient) as caught:
            statements.records.write_log(conn, [Logged(key(job), 1, [lines(0, "a")], None)], 0.0, limited=False)
        assert caught.value.sqlstate == "55P03"
        assert time.monotonic() - began < 10
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert conn.execute("show lock_timeout").fetchone() == ("0",)
    statements.records.write_log(conn, [Logged(key(job), 1, [lines(0, "a")], None)], 0.0, limited=False)


def test_an_unknown_job_has_no_lines(statements: Statements, manager: JobManager, conn: psycopg.Connection) -> None:
    assert statements.records.list_log(conn, UUID(int=1), None) == []
    assert statements.records.follow_log(conn, UUID(int=1), None) == (None, [])
