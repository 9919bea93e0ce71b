"""Jobs below the watermarks while full scans are slow, so that no claim makes one: the scanner finds them.

The managers here take every full scan for slow, and poll every ten minutes: what is picked up within a test was found by the
scanner, or by a claim above the watermarks.
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, Status
from steve._model.tuning import Tuning
from tests.conftest import until

SLOW = Tuning(slow_scan=-1.0, scan_check=0.05, full_scan_overdue=600.0)


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """Running, for the type "a" in the queue "default". It has claimed a job, and 400 of others are due before the next."""
    manager = make_manager(handlers={"a": lambda job: None}, queues=["default"], poll_interval=600.0, _tuning=SLOW)
    manager.migrate()
    manager.create_many([("a", None)] * 200, queue="other")
    manager.create_many([("foreign", None)] * 200)
    manager.start(workers=2)
    do(manager)
    return manager


def done(manager: JobManager, job: Job) -> bool:
    found = manager.find(job)
    return found is not None and found.status == Status.COMPLETED


def do(manager: JobManager, **keywords: Any) -> None:
    """Create a job, and wait until it is done."""
    job = manager.create("a", **keywords)
    until(lambda: done(manager, job))


def test_a_job_committed_late_behind_a_backlog_of_others_is_found(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        late = manager.create("a", connection=connection)
        do(manager)
        assert manager.find(late) is None
        connection.commit()
    until(lambda: done(manager, late))
    assert len(manager.fetch_all(Status.PENDING, limit=1_000)) == 400


@pytest.mark.parametrize("priority", [-1, 1])
def test_a_job_of_a_priority_that_no_claim_has_met_is_found(manager: JobManager, priority: int) -> None:
    do(manager, priority=priority)
    do(manager)


def test_the_jobs_of_a_handler_that_is_set_later_are_found(manager: JobManager) -> None:
    manager.set_handler("foreign", lambda job: None)
    until(lambda: len(manager.fetch_all(Status.COMPLETED, type="foreign", limit=1_000)) == 200)


def test_a_job_that_crashed_is_claimed(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    manager.set_handler("a", None)
    jobs = manager.create_many([("a", None)] * 5)
    crash = sql.SQL("update {}.job set attempts = 1, crashes = 1 where uid = any(%s)").format(sql.Identifier(schema))
    conn.execute(crash, [[job.uid for job in jobs]])
    manager.set_handler("a", lambda job: None)
    until(lambda: all(done(manager, job) for job in jobs))


def test_a_job_that_was_given_back_is_found(make_manager: Callable[..., JobManager], gate: threading.Event) -> None:
    def handler(job: Job) -> None:
        if job.payload["n"] == 1:
            gate.wait(60)

    tuning = Tuning(slow_scan=-1.0, scan_check=0.05, full_scan_overdue=600.0, claim_ahead=3600.0, buffer_age=0.05)
    manager = make_manager(handlers={"a": handler}, poll_interval=600.0, _tuning=tuning)
    manager.migrate()
    # The first is alone in its claim, since no duration is known. The next claim brings the other two.
    jobs = manager.create_many([("a", {"n": n}) for n in range(3)])
    manager.start(workers=1)
    until(lambda: [job.status for job in map(manager.find, jobs) if job] == ["completed", "running", "pending"])
    later = manager.create("a", {"n": 3})
    gate.set()
    until(lambda: all(done(manager, job) for job in [*jobs, later]))


def test_a_job_comes_due_among_the_scheduled_jobs_of_others(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    """More of them than a claim looks at."""
    query = "insert into {}.job (type, run_at) select 'foreign', now() + n * interval '10 ms' from generate_series(1, 100) as n"
    conn.execute(sql.SQL(query).format(sql.Identifier(schema)))
    query = "insert into {}.job (type, run_at) values ('a', now() + interval '1 s') returning uid"
    (uid,) = conn.execute(sql.SQL(query).format(sql.Identifier(schema))).fetchone()
    do(manager)
    until(lambda: manager.find(uid).status == Status.COMPLETED)  # type: ignore[union-attr]
