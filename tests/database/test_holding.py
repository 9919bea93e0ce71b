"""Who holds a job: two sessions that reach for it in the same moment, statement against statement.

What one has locked the other passes by, and what was seen before is looked at again under the lock.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import psycopg
import pytest

from steve import Job, JobManager
from steve._model.process import Process
from steve._database.statements.processes import Processes
from steve._model.claim import Demand
from steve._database.statements.store import Store
from steve.job import AttemptStatus, Status
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from tests.conftest import until

T = TypeVar("T")


@pytest.fixture
def store(manager: JobManager, schema: str) -> Store:
    return Store(schema)


@pytest.fixture
def processes(manager: JobManager, schema: str) -> Processes:
    return Processes(schema)


@pytest.fixture
def first(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def second(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def aside(second: psycopg.Connection, conn: psycopg.Connection) -> Iterator[Callable[[Callable[[], T]], Future[T]]]:
    """`aside(ask)`: on another thread, which has asked `second` when this returns, and has its answer or waits for a lock."""

    def is_blocked() -> bool:
        query = "select cardinality(pg_blocking_pids(%s)) > 0"
        return conn.execute(query, [second.info.backend_pid]).fetchone() == (True,)

    def ask(statement: Callable[[], T]) -> Future[T]:
        future = executor.submit(statement)
        until(lambda: future.done() or is_blocked())
        return future

    with ThreadPoolExecutor(1) as executor:
        yield ask


def claim(store: Store, connection: psycopg.Connection, process_id: int, n: int) -> list[Claimed]:
    return store.claim_jobs(connection, process_id, None, 3, Demand(n, {"a": n}, 0, False, None)).jobs


def register(processes: Processes, connection: psycopg.Connection) -> int:
    """A process, whose heartbeat's session that of this connection is: it holds the lock of its row."""
    process_id, descriptor, *_ = processes.register_process(connection, 7, "p", 60.0, connection.info.backend_pid)
    assert descriptor is not None
    return process_id


def look(processes: Processes, connection: psycopg.Connection, process_id: int, *, beat: bool) -> list[Process]:
    """As a heartbeat does it: at all others."""
    return processes.beat(connection, process_id, "p", 60.0, connection.info.backend_pid, beat=beat, locked=beat).others


def seen(processes: Processes, conn: psycopg.Connection) -> Process:
    """The one process that there is, as another sees it."""
    (process,) = look(processes, conn, 0, beat=False)
    return process


def rescue(processes: Processes, connection: psycopg.Connection, process: Process, *, dead: bool) -> list[int]:
    """The ids of the jobs that it took."""
    rescued = processes.rescue_jobs(connection, process, dead, "it died", (), max_crashes=3, notify=False)
    return [verdict.job.id for verdict, _ in rescued]


def status(manager: JobManager, job: Job) -> tuple[str, int]:
    """And how many crashes."""
    found = manager.find(job)
    assert found is not None
    return found.status, found.crashes


# -- claims ---------------------------------------------------------------------------------------------------------------


def test_a_claim_passes_by_what_another_is_taking(
    manager: JobManager,
    store: Store,
    first: psycopg.Connection,
    second: psycopg.Connection,
    aside: Callable[[Callable[[], list[Claimed]]], Future[list[Claimed]]],
) -> None:
    jobs = manager.create_many([("a", None)] * 5)
    with first.transaction():
        taken = claim(store, first, 1, 2)
        others = aside(lambda: claim(store, second, 2, 5))
        assert others.done(), "it waits"
    assert [job.id for job in taken] == [job.id for job in jobs[:2]]
    assert [job.id for job in others.result()] == [job.id for job in jobs[2:]]


def test_two_claims_at_once_never_take_the_same_job(
    manager: JobManager,
    store: Store,
    first: psycopg.Connection,
    second: psycopg.Connection,
    aside: Callable[[Callable[[], list[Claimed]]], Future[list[Claimed]]],
) -> None:
    manager.create_many([("a", None)] * 3)
    with first.transaction():
        taken = claim(store, first, 1, 3)
        others = aside(lambda: claim(store, second, 2, 3))
    assert len(taken) == 3
    assert others.result() == []
    assert {job.attempts for job in manager.fetch_all()} == {1}


def test_what_an_answered_claim_brought_is_not_taken_up_again(
    manager: JobManager, store: Store, first: psycopg.Connection
) -> None:
    """Of three claims the reply to the second was lost, and one of before is not remembered any more."""
    manager.create_many([("a", None)] * 4)
    _, before, lost, after = [claim(store, first, 1, 1)[0] for _ in range(4)]
    assert store.find_claimed(first, 1, [before.claimed_at, after.claimed_at]) == [lost]


# -- rescues --------------------------------------------------------------------------------------------------------------


def test_a_rescue_passes_by_a_job_whose_outcome_is_being_written(
    manager: JobManager,
    store: Store,
    processes: Processes,
    first: psycopg.Connection,
    second: psycopg.Connection,
    conn: psycopg.Connection,
    aside: Callable[[Callable[[], list[int]]], Future[list[int]]],
) -> None:
    job, other = manager.create_many([("a", None)] * 2)
    process_id = register(processes, first)
    claimed, _ = claim(store, first, process_id, 2)
    stalled = seen(processes, conn)
    with first.transaction():
        verdict = Verdict(claimed, 0.0, Status.COMPLETED, AttemptStatus.SUCCESS)
        assert store.settle_jobs(first, "p", [verdict], 1.0, False, True)
        rescued = aside(lambda: rescue(processes, second, stalled, dead=False))
        waited = not rescued.done()
    assert rescued.result() == [other.id]
    assert (status(manager, job), status(manager, other)) == (("completed", 0), ("pending", 1))
    assert not waited


def test_who_has_beaten_since_it_was_judged_keeps_its_jobs(
    manager: JobManager, store: Store, processes: Processes, first: psycopg.Connection, conn: psycopg.Connection
) -> None:
    job = manager.create("a")
    process_id = register(processes, first)
    claim(store, first, process_id, 1)
    before = seen(processes, conn)
    look(processes, first, process_id, beat=True)
    assert rescue(processes, conn, before, dead=False) == []
    assert status(manager, job) == ("running", 0)
    assert rescue(processes, conn, seen(processes, conn), dead=False) == [job.id]
    assert status(manager, job) == ("pending", 1)


def test_who_holds_the_lock_of_its_row_is_not_dead(
    manager: JobManager, store: Store, processes: Processes, first: psycopg.Connection, conn: psycopg.Connection
) -> None:
    """It had lost its connection when it was judged, and has just made it anew."""
    job = manager.create("a")
    process_id = register(processes, first)
    claim(store, first, process_id, 1)
    assert rescue(processes, conn, seen(processes, conn), dead=True) == []
    assert status(manager, job) == ("running", 0)
    first.close()
    until(lambda: rescue(processes, conn, seen(processes, conn), dead=True) == [job.id])
    assert status(manager, job) == ("pending", 1)
