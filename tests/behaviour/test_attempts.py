"""What history() shows, and where it stands: a first attempt that succeeded in the job's own row, all others in the log. Users
see no difference.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Attempt, AttemptStatus, Job, JobManager, Snooze, Status
from steve._database.statements import statements_for
from steve._model.outcome import NotBegun, judge
from steve._model.settings import Settings
from tests.conftest import until
from tests.rows import NOON, claimed

Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def run(conn: psycopg.Connection, schema: str) -> Run:
    """`run(statement, *parameters)` sends a statement in the schema of the tables, and returns its rows."""

    def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        conn.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        cursor = conn.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    return run


def handler(job: Job) -> str:
    if job.type == "raises first" and job.attempts == 1:
        raise RuntimeError("no")
    if job.type == "snoozes first" and job.started_at is None:
        raise Snooze(0)
    return "done"


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """Not started."""
    manager = make_manager(handler=handler, poll_interval=0.1, lease=1.0, heartbeat=0.2)
    manager.migrate()
    return manager


@pytest.fixture
def told(manager: JobManager) -> list[Attempt]:
    """The attempts that ended, as a listener heard of them."""
    told: list[Attempt] = []
    manager.on_attempt(None, lambda job, attempt: told.append(attempt) if attempt.completed_at else None)
    return told


def completed(manager: JobManager, job: Job) -> Job:
    """The job when it is completed."""
    found: list[Job | None] = []
    until(lambda: found.append(manager.find(job)) or (found[-1] is not None and found[-1].status is Status.COMPLETED))
    assert found[-1] is not None
    return found[-1]


LOG = "select number, status from attempt order by lease_no"

HOLD = "update job set status = 'running', process_id = 4711, attempts = 1, lease_no = 1, claimed_at = %s"
"""As a claim would, for a process that does not exist."""


def assert_stands_in_its_row(manager: JobManager, told: list[Attempt], job: Job, run: Run) -> None:
    found = completed(manager, job)
    history = manager.history(job)
    assert len(history) == 1
    attempt = history[0]
    assert found.started_at is not None
    assert attempt == Attempt(
        job.uid, 1, attempt.process, found.started_at, found.completed_at, AttemptStatus.SUCCESS, None, None
    )
    assert attempt.process.endswith(f":{os.getpid()}")
    assert job.created_at <= attempt.started_at <= found.completed_at  # type: ignore[operator]
    until(lambda: told)
    assert told == [attempt]
    assert run(LOG) == []
    assert run("select process from job") == [(attempt.process,)]


def test_a_job_that_succeeds_at_once_has_no_row_in_the_log(manager: JobManager, told: list[Attempt], run: Run) -> None:
    with manager:
        assert_stands_in_its_row(manager, told, manager.create("a"), run)


def test_a_job_that_was_given_back_unbegun_and_then_succeeds_has_none_either(
    manager: JobManager, told: list[Attempt], run: Run, conn: psycopg.Connection, schema: str
) -> None:
    job = manager.create("a")
    run(HOLD, NOON)
    held = claimed(uid=job.uid, claimed_at=NOON)
    settlement = statements_for(Settings(schema=schema)).settlement
    given_back = settlement.settle_jobs(conn, "host:1", [judge(held, NotBegun(), None)], time.monotonic(), False, False)
    assert given_back == {1: None}
    with manager:
        assert_stands_in_its_row(manager, told, job, run)


@pytest.mark.parametrize(
    ("type", "attempts"),
    [
        ("raises first", [(1, "error"), (2, "success")]),
        ("snoozes first", [(1, "success")]),
        ("crashes first", [(1, "crashed"), (2, "success")]),
    ],
)
def test_a_job_that_began_before_it_succeeded_has_all_its_attempts_in_the_log(
    manager: JobManager, told: list[Attempt], run: Run, type: str, attempts: list[tuple[int, str]]
) -> None:
    job = manager.create(type, backoff_strategy="none")
    if type == "crashes first":
        run(HOLD, NOON)
    with manager:
        found = completed(manager, job)
        history = manager.history(job)
        assert [(attempt.number, attempt.status) for attempt in history] == attempts
        until(lambda: told and told[-1].status is AttemptStatus.SUCCESS)
    assert told == [attempt for attempt in history if attempt.status is not AttemptStatus.CRASHED]
    assert run(LOG) == attempts
    assert run("select process from job") == [(None,)]
    assert history[-1].completed_at == found.completed_at


def test_a_job_that_was_completed_by_hand_has_no_attempt(manager: JobManager, run: Run) -> None:
    job = manager.create("a")
    run(HOLD, NOON)
    run("update job set status = 'completed', process_id = null, completed_at = now()")
    assert manager.history(job) == []


def test_an_attempt_that_is_written_into_the_log_stays_when_its_job_runs_again(manager: JobManager, run: Run) -> None:
    with manager:
        job = manager.create("a")
        completed(manager, job)
        (first,) = manager.history(job)
        with pytest.raises(psycopg.errors.CheckViolation):
            run("update job set status = 'pending', completed_at = null")
        run(
            "insert into attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
            "select uid, lease_no, attempts, process, started_at, completed_at, 'success' from job"
        )
        run("update job set status = 'pending', completed_at = null, process = null")
        assert manager.history(job)[0] == first
        again = completed(manager, job)
        assert [attempt.number for attempt in manager.history(job)] == [1, 2]
    assert manager.history(job)[0] == first
    assert again.started_at == first.started_at
    assert run(LOG) == [(1, "success"), (2, "success")]


def test_a_reason_to_snooze_is_the_error_until_the_next_attempt_has_ended(
    make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "steve")
    words: list[BaseException] = [Snooze(0, "not there yet"), RuntimeError("no"), Snooze(0), Snooze(0, "\x00" + "x" * 20_000)]
    seen: list[str | None] = []

    def handler(job: Job) -> None:
        found = manager.find(job)
        assert found is not None
        seen.append(found.error)
        if words:
            raise words.pop(0)

    manager = make_manager(handler=handler)
    with manager:
        job = manager.wait(manager.create("a", backoff_strategy="none"), 30)
    assert seen[:4] == [None, "Snoozed: not there yet", "RuntimeError: no", "RuntimeError: no"]
    assert seen[4] is not None
    assert seen[4].startswith("Snoozed: \ufffdxxx")
    assert len(seen[4]) < 10_100
    assert (job.status, job.error, job.attempts) == ("completed", None, 2)
    levels = [record.levelname for record in caplog.records if f"{job.uid} " in record.getMessage()]
    assert levels == ["INFO", "WARNING", "INFO", "INFO", "INFO"]
    assert re.search(r"snoozed \(in 0.0 s\) after \S+ s\nSnoozed: not there yet", caplog.text)


def test_the_attempt_under_way_is_in_the_history_if_it_is_asked_for(make_manager: Callable[..., JobManager]) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def handler(job: Job) -> None:
        if job.attempts == 1:
            raise RuntimeError("no")
        begun.release()
        go_on.wait(30)

    manager = make_manager(handler=handler)
    with manager:
        later = manager.create("a", delay=3600)
        assert manager.history(later, running=True) == []
        job = manager.create("a", backoff_strategy="none")
        try:
            assert begun.acquire(timeout=30)
            (first,) = manager.history(job)
            found = manager.find(job)
            assert found is not None
            assert found.claimed_at is not None
            running = Attempt(job.uid, 2, first.process, found.claimed_at, None, AttemptStatus.RUNNING, None, None)
            assert manager.history(job, running=True) == [first, running]
        finally:
            go_on.set()
        manager.wait(job, 30)
    assert [attempt.status for attempt in manager.history(job, running=True)] == ["error", "success"]
