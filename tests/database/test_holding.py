"""Two sessions that reach for the same job at the same moment, statement against statement.

Each skips the rows that the other has locked, and checks again under the lock what it saw before.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import psycopg
import pytest

from steve import Job, JobManager
from steve._database.statements import Statements, statements_for
from steve._model.claim import Demand
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.process import Process
from steve._model.settings import Settings
from steve.job import AttemptStatus, Status
from tests.conftest import until

T = TypeVar("T")


@pytest.fixture
def statements(manager: JobManager, schema: str) -> Statements:
    return statements_for(Settings(schema=schema))


@pytest.fixture
def first(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def second(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def beside(second: psycopg.Connection, conn: psycopg.Connection) -> Iterator[Callable[[Callable[[], T]], Future[T]]]:
    """`beside(statement)`: call it on another thread, with `second`. Returns when it is over or waits for a lock."""

    def is_blocked() -> bool:
        query = "select cardinality(pg_blocking_pids(%s)) > 0"
        return conn.execute(query, [second.info.backend_pid]).fetchone() == (True,)

    def call(statement: Callable[[], T]) -> Future[T]:
        future = executor.submit(statement)
        until(lambda: future.done() or is_blocked())
        return future

    with ThreadPoolExecutor(1) as executor:
        yield call


def claim(statements: Statements, connection: psycopg.Connection, process_id: int, n: int) -> list[Claimed]:
    return statements.claims.claim_jobs(connection, process_id, 3, Demand(n, {"a": n}, 0, False, None)).jobs


def register(statements: Statements, connection: psycopg.Connection) -> int:
    """A process whose heartbeat uses this connection: its session holds the lock of the row."""
    process_id, descriptor, *_ = statements.processes.register_process(connection, 7, "p", 60.0, connection.info.backend_pid)
    assert descriptor is not None
    return process_id


def look(
    statements: Statements, connection: psycopg.Connection, process_id: int, *, beat: bool, most: int = 16
) -> list[Process]:
    """At other processes, as a heartbeat does it."""
    return statements.processes.beat(
        connection, process_id, "p", 60.0, connection.info.backend_pid, beat=beat, locked=beat, most=most
    ).others


def seen(statements: Statements, conn: psycopg.Connection) -> Process:
    """The only process, as another one sees it."""
    (process,) = look(statements, conn, 0, beat=False)
    return process


def rescue(statements: Statements, connection: psycopg.Connection, process: Process, *, dead: bool) -> list[UUID]:
    """The uids of the jobs that it took."""
    rescued = statements.processes.rescue_jobs(connection, process, dead, "it died", (), max_crashes=3, notify=False)
    return [verdict.job.uid for verdict, _ in rescued]


def status(manager: JobManager, job: Job) -> tuple[str, int]:
    """With the number of crashes."""
    found = manager.find(job)
    assert found is not None
    return found.status, found.crashes


# -- claims ---------------------------------------------------------------------------------------------------------------


def test_a_claim_skips_the_jobs_that_another_one_is_taking(
    manager: JobManager,
    statements: Statements,
    first: psycopg.Connection,
    second: psycopg.Connection,
    beside: Callable[[Callable[[], list[Claimed]]], Future[list[Claimed]]],
) -> None:
    jobs = manager.create_many([("a", None)] * 5)
    with first.transaction():
        taken = claim(statements, first, 1, 2)
        others = beside(lambda: claim(statements, second, 2, 5))
        assert others.done(), "it waits"
    assert [job.uid for job in taken] == [job.uid for job in jobs[:2]]
    assert [job.uid for job in others.result()] == [job.uid for job in jobs[2:]]


def test_two_claims_at_once_never_take_the_same_job(
    manager: JobManager,
    statements: Statements,
    first: psycopg.Connection,
    second: psycopg.Connection,
    beside: Callable[[Callable[[], list[Claimed]]], Future[list[Claimed]]],
) -> None:
    manager.create_many([("a", None)] * 3)
    with first.transaction():
        taken = claim(statements, first, 1, 3)
        others = beside(lambda: claim(statements, second, 2, 3))
    assert len(taken) == 3
    assert others.result() == []
    assert {job.attempts for job in manager.fetch_all()} == {1}


def test_only_the_jobs_of_a_claim_whose_reply_was_lost_are_found(
    manager: JobManager, statements: Statements, first: psycopg.Connection
) -> None:
    """Of three claims the reply to the second was lost; one before them is not remembered any more."""
    manager.create_many([("a", None)] * 4)
    _, before, lost, after = [claim(statements, first, 1, 1)[0] for _ in range(4)]
    assert statements.claims.find_claimed(first, 1, [before.claimed_at, after.claimed_at]) == [lost]


# -- looks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "most", "others"),
    [(30, 2, [40, 50]), (40, 2, [50, 10]), (50, 3, [10, 20, 30]), (10, 9, [20, 30, 40, 50]), (35, 2, [40, 50])],
)
def test_a_process_looks_at_the_next_ones_in_the_ring_of_ids(
    own: int, most: int, others: list[int], statements: Statements, first: psycopg.Connection, schema: str
) -> None:
    for id in (20, 50, 10, 40, 30):
        first.execute(f"insert into {schema}.process (id, name, version) values (%s, 'p', '1')", [id])
    assert [process.id for process in look(statements, first, own, beat=False, most=most)] == others


# -- rescues --------------------------------------------------------------------------------------------------------------


def test_a_rescue_skips_a_job_whose_outcome_is_being_written(
    manager: JobManager,
    statements: Statements,
    first: psycopg.Connection,
    second: psycopg.Connection,
    conn: psycopg.Connection,
    beside: Callable[[Callable[[], list[UUID]]], Future[list[UUID]]],
) -> None:
    job, other = manager.create_many([("a", None)] * 2)
    process_id = register(statements, first)
    claimed, _ = claim(statements, first, process_id, 2)
    stalled = seen(statements, conn)
    with first.transaction():
        verdict = Verdict(claimed, 0.0, Status.COMPLETED, AttemptStatus.SUCCESS)
        assert statements.settlement.settle_jobs(first, "p", [verdict], 1.0, False, True)
        rescued = beside(lambda: rescue(statements, second, stalled, dead=False))
        waited = not rescued.done()
    assert rescued.result() == [other.uid]
    assert (status(manager, job), status(manager, other)) == (("completed", 0), ("pending", 1))
    assert not waited


def test_a_process_that_has_beaten_since_it_was_judged_keeps_its_jobs(
    manager: JobManager, statements: Statements, first: psycopg.Connection, conn: psycopg.Connection
) -> None:
    job = manager.create("a")
    process_id = register(statements, first)
    claim(statements, first, process_id, 1)
    before = seen(statements, conn)
    look(statements, first, process_id, beat=True)
    assert rescue(statements, conn, before, dead=False) == []
    assert status(manager, job) == ("running", 0)
    assert rescue(statements, conn, seen(statements, conn), dead=False) == [job.uid]
    assert status(manager, job) == ("pending", 1)


def test_a_process_that_holds_the_lock_of_its_row_is_not_dead(
    manager: JobManager, statements: Statements, first: psycopg.Connection, conn: psycopg.Connection
) -> None:
    """It had lost its connection when it was judged, and has just opened another one."""
    job = manager.create("a")
    process_id = register(statements, first)
    claim(statements, first, process_id, 1)
    assert rescue(statements, conn, seen(statements, conn), dead=True) == []
    assert status(manager, job) == ("running", 0)
    first.close()
    until(lambda: rescue(statements, conn, seen(statements, conn), dead=True) == [job.uid])
    assert status(manager, job) == ("pending", 1)


def test_a_rescue_honours_a_cancel_and_the_log_says_how_the_attempt_ended(
    manager: JobManager, statements: Statements, first: psycopg.Connection, second: psycopg.Connection, schema: str
) -> None:
    """Whatever the number of crashes."""
    jobs = manager.create_many([("a", None)] * 3)
    process_id = register(statements, first)
    claim(statements, second, process_id, 3)
    second.execute(
        f"update {schema}.job set cancel_asked_at = now(), cancel_reason = 'not needed' where uid = any(%s)".encode(),
        [[jobs[0].uid, jobs[1].uid]],
    )
    second.execute(f"update {schema}.job set crashes = 2, attempts = 3 where uid = %s".encode(), [jobs[1].uid])
    process = seen(statements, second)
    rescued = statements.processes.rescue_jobs(second, process, False, "it fell silent", (), max_crashes=3, notify=False)
    verdicts = {verdict.job.uid: (verdict, settled) for verdict, settled in rescued}
    for job in jobs[:2]:
        verdict, settled = verdicts[job.uid]
        assert (verdict.status, verdict.attempt_status) == (Status.CANCELLED, AttemptStatus.CANCELLED)
        assert (verdict.error, verdict.details) == ("Cancelled: not needed", "it fell silent")
        assert settled.completed_at is not None
        found = manager.find(job)
        assert found is not None
        assert (found.status, found.error) == (Status.CANCELLED, "Cancelled: not needed")
        (attempt,) = manager.history(job)
        assert (attempt.status, attempt.error_type) == (AttemptStatus.CANCELLED, "steve.Crashed")
        assert (attempt.error_message, attempt.error_details) == ("Cancelled: not needed", "it fell silent")
    assert verdicts[jobs[2].uid][0].status is Status.PENDING
    (attempt,) = manager.history(jobs[2])
    assert (attempt.status, attempt.error_type) == (AttemptStatus.CRASHED, "steve.Crashed")
