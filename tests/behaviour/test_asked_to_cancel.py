"""A job that somebody asked to cancel while a process holds it, and a job that expires: how each ends, and who hears of it.

`cancel_asked_at` is set by SQL here, after the claim.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from steve import AttemptStatus, Cancel, Fail, Job, JobManager, NewJob, Retry, Snooze, Status
from steve._model.tuning import Tuning
from tests.behaviour.test_words import ended
from tests.conftest import until

MakeManager = Callable[..., JobManager]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    """Not started. What it has in its buffer for five seconds, it gives back."""
    manager = make_manager(poll_interval=0.1, _tuning=Tuning(expiry_check=0.1, claim_ahead=60.0, buffer_age=5.0))
    manager.migrate()
    return manager


@pytest.fixture
def told(manager: JobManager) -> list[Any]:
    told: list[Any] = []
    manager.on_done(None, lambda job: told.append((job.uid, str(job.status), job.error)))
    manager.on_success(None, lambda job: told.append(("success", job.uid)))
    manager.on_failure(None, lambda job: told.append(("failure", job.uid)))
    return told


@pytest.fixture
def ask(conn: psycopg.Connection, schema: str) -> Callable[..., None]:
    """`ask(job, "why")` is what cancel() does to a running job."""

    def ask(job: Job, reason: str | None = "not needed") -> None:
        done = conn.execute(
            f"update {schema}.job set cancel_asked_at = clock_timestamp(), cancel_reason = %s "
            "where uid = %s and status = 'running'",
            [reason, job.uid],
        )
        assert done.rowcount == 1

    return ask


def fails(job: Job) -> None:
    raise ValueError("no")


def raises(error: BaseException) -> Callable[[Job], None]:
    def handler(job: Job) -> None:
        raise error

    return handler


ENDS: dict[str, tuple[Callable[[Job], Any], str | None]] = {
    # what the handler does after the cancel was asked, and the details in the log
    "it raises": (fails, "ValueError: no"),
    "it raises at its last attempt": (raises(Fail("no file")), "Fail: no file"),
    "it snoozes": (raises(Snooze(0)), None),
    "it asks for a retry": (raises(Retry(0)), "Retry"),
}


@pytest.mark.parametrize(("end", "details"), ENDS.values(), ids=ENDS)
def test_a_job_that_was_to_be_cancelled_is_not_tried_again(
    end: Callable[[Job], Any], details: str | None, manager: JobManager, gate: threading.Event, ask: Any, told: list[Any]
) -> None:
    runs: list[int] = []

    @manager.handler("a")
    def handler(job: Job) -> Any:
        runs.append(job.attempts)
        assert gate.wait(60)
        return end(job)

    manager.start()
    job = manager.create("a")
    until(lambda: runs)
    ask(job)
    gate.set()
    found = ended(manager, job)
    assert (found.status, found.error, found.attempts) == (Status.CANCELLED, "Cancelled: not needed", 1)
    until(lambda: told == [(job.uid, "cancelled", "Cancelled: not needed")])
    (attempt,) = manager.history(job)
    assert attempt.status is AttemptStatus.CANCELLED
    assert (attempt.error_type, attempt.error_message) == ("steve.Cancelled", "Cancelled: not needed")
    assert (details is None) == (attempt.error_details is None)
    assert (details or "") in (attempt.error_details or "")
    assert runs == [1]


def test_a_handler_that_returns_all_the_same_has_completed(
    manager: JobManager, gate: threading.Event, ask: Any, told: list[Any]
) -> None:
    running = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> str:
        running.set()
        assert gate.wait(60)
        return "done"

    manager.start()
    job = manager.create("a")
    assert running.wait(60)
    ask(job)
    gate.set()
    found = ended(manager, job)
    assert (found.status, found.error, found.result) == (Status.COMPLETED, None, "done")
    until(lambda: len(told) == 2)
    assert told == [("success", job.uid), (job.uid, "completed", None)] or told == [
        (job.uid, "completed", None),
        ("success", job.uid),
    ]


def test_what_a_handler_says_itself_goes_before_what_was_asked(manager: JobManager, gate: threading.Event, ask: Any) -> None:
    running = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> None:
        running.set()
        assert gate.wait(60)
        raise Cancel("by itself")

    manager.start()
    job = manager.create("a")
    assert running.wait(60)
    ask(job)
    gate.set()
    assert ended(manager, job).error == "Cancelled: by itself"


def test_a_cancel_without_a_reason(manager: JobManager, gate: threading.Event, ask: Any) -> None:
    running = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> None:
        running.set()
        assert gate.wait(60)
        raise ValueError("no")

    manager.start()
    job = manager.create("a")
    assert running.wait(60)
    ask(job, None)
    gate.set()
    assert ended(manager, job).error == "Cancelled"


def test_a_job_in_the_buffer_that_was_to_be_cancelled_ends_when_it_is_given_back(
    manager: JobManager, gate: threading.Event, ask: Any, told: list[Any]
) -> None:
    begun: list[Any] = []

    @manager.handler("a")
    def handler(job: Job) -> None:
        begun.append(job.uid)
        time.sleep(0.0 if len(begun) < 10 else 0.001)
        if job.payload.get("wait"):
            assert gate.wait(60)

    manager.start(workers=1)
    manager.create_many([("a", {})] * 50)  # so that the claims ask for many
    until(lambda: len(begun) == 50)
    first, *others = manager.create_many([("a", {"wait": True})] * 5)
    until(lambda: first.uid in begun)
    held = [job for job in others if (found := manager.find(job)) and found.status is Status.RUNNING]
    assert held, "the claim took more jobs than the worker runs"
    ask(held[-1])
    found = ended(manager, held[-1])
    assert (found.status, found.started_at) == (Status.CANCELLED, None)
    assert held[-1].uid not in begun
    until(lambda: (found.uid, "cancelled", "Cancelled: not needed") in told)
    (attempt,) = manager.history(found)
    assert attempt.status is AttemptStatus.CANCELLED


# -- expiry -------------------------------------------------------------------------------------------------------------


def expire(conn: psycopg.Connection, schema: str, job: Job, ago: str = "1 hour") -> None:
    conn.execute(f"update {schema}.job set expires_at = now() - %s::interval where uid = %s".encode(), [ago, job.uid])


@pytest.mark.parametrize("kind", ["of another type", "of another queue", "due later"])
def test_a_job_that_nobody_claims_expires_and_one_that_has_begun_before_does_not(
    kind: str, manager: JobManager, make_manager: MakeManager, conn: psycopg.Connection, schema: str, told: list[Any]
) -> None:
    new = {"of another type": NewJob("b"), "of another queue": NewJob("b", queue="q"), "due later": NewJob("a")}[kind]
    expired, begun, lasting = manager.create_many([new] * 3)
    if kind == "due later":
        conn.execute(f"update {schema}.job set run_at = now() + interval '1 hour'")
        manager.set_handler("a", print)
    expire(conn, schema, expired)
    expire(conn, schema, begun)
    expire(conn, schema, lasting, "-1 hour")
    conn.execute(f"update {schema}.job set started_at = now() where uid = %s".encode(), [begun.uid])
    manager.start()
    found = ended(manager, expired)
    assert found.status is Status.CANCELLED
    assert found.error is not None
    assert found.error.startswith("Expired: the job had not begun by 2")
    assert (found.started_at, found.claimed_at, found.attempts) == (None, None, 0)
    assert manager.history(expired) == []
    until(lambda: told == [(expired.uid, "cancelled", found.error)])
    assert [str(getattr(manager.find(job), "status", None)) for job in (begun, lasting)] == ["pending"] * 2


def test_a_job_that_is_claimed_too_late_never_begins(make_manager: MakeManager, conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager(_tuning=Tuning(expiry_check=3600.0))
    manager.migrate()
    begun: list[Any] = []
    told: list[Any] = []
    manager.set_handler("a", lambda job: begun.append(job.uid))
    manager.on_done(None, lambda job: told.append((job.uid, job.status)))
    late, other = manager.create_many([("a", None)] * 2)
    expire(conn, schema, late)
    manager.start()
    found = ended(manager, late)
    assert (found.status, found.started_at) == (Status.CANCELLED, None)
    ended(manager, other)
    assert begun == [other.uid]
    (attempt,) = manager.history(late)
    assert (attempt.status, attempt.error_type) == (AttemptStatus.CANCELLED, "steve.Expired")
    until(lambda: (late.uid, Status.CANCELLED) in told)


def test_many_jobs_expire_in_batches_and_each_is_told_once(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    managers = [make_manager(_tuning=Tuning(expiry_check=0.05, expire_most=7)) for _ in range(2)]
    managers[0].migrate()
    told: list[Any] = []
    for manager in managers:
        manager.on_done(None, lambda job: told.append(job.uid))
    jobs = managers[0].create_many([("nobody's", None)] * 100)
    conn.execute(f"update {schema}.job set expires_at = now() - interval '1 second'")
    for manager in managers:
        manager.start()
    until(lambda: len(told) >= 100)
    assert sorted(told) == sorted(job.uid for job in jobs)


# -- rows that a user's transaction has locked --------------------------------------------------------------------------


def test_an_open_transaction_on_a_running_row_holds_up_no_other_outcome(
    make_manager: MakeManager, database_url: str, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(_tuning=Tuning(aside_silent=0.3))
    manager.migrate()
    gate, running = threading.Event(), threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> str:
        if job.payload.get("wait"):
            running.set()
            assert gate.wait(60)
        return "done"

    manager.start(workers=4)
    locked = manager.create("a", {"wait": True})
    assert running.wait(60)
    with psycopg.connect(database_url) as careless:
        careless.execute("set application_name = 'a careless script'")
        careless.commit()
        careless.execute(f"update {schema}.job set metadata = '{{}}' where uid = %s".encode(), [locked.uid])
        gate.set()
        until(lambda: manager.health().oldest_unsettled)
        jobs = manager.create_many([("a", {})] * 200)
        for job in jobs:
            ended(manager, job)
        until(lambda: manager.health().blockers)
        (name,) = manager.health().blockers
        assert f"process {careless.info.backend_pid} of PostgreSQL (a careless script, user" in name
        found = manager.find(locked)
        assert found is not None
        assert found.status is Status.RUNNING
        careless.rollback()
    assert ended(manager, locked).result == "done"
    until(lambda: not manager.health().blockers)
    until(lambda: "the outcomes of 1 jobs" in caplog.text)
    assert "a careless script" in caplog.text
