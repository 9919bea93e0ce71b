"""What a handler says about its job, and what was said when it was registered: with a database, from create to the listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from steve import Attempt, AttemptStatus, Cancel, Fail, Job, JobManager, NewJob, Retry, RetryPolicy, Status
from tests.conftest import until

MakeManager = Callable[..., JobManager]


def ended(manager: JobManager, job: Job) -> Job:
    """The job when it has ended."""
    found: list[Job | None] = []
    until(lambda: found.append(manager.find(job)) or (found[-1] is not None and found[-1].completed_at is not None))
    assert found[-1] is not None
    return found[-1]


def tried(manager: JobManager, job: Job) -> Job:
    """The job when an attempt has failed and it is pending again."""
    found: list[Job | None] = []
    until(lambda: found.append(manager.find(job)) or (found[-1] is not None and found[-1].error is not None))
    assert found[-1] is not None
    return found[-1]


@pytest.fixture
def told(manager: JobManager) -> list[tuple[str, str]]:
    """(which listener, the status of the job) in the order in which they were called."""
    told: list[tuple[str, str]] = []
    for name in ("success", "failure", "done"):
        listen = getattr(manager, f"on_{name}")
        listen(None, lambda job, name=name: told.append((name, str(job.status))))
    manager.on_attempt(None, lambda job, attempt: told.append(("attempt", str(attempt.status))))
    return told


def test_a_job_that_is_failed_by_its_handler_has_no_further_attempt(manager: JobManager, told: list[Any]) -> None:
    @manager.handler("a")
    def fail(job: Job) -> None:
        raise Fail("no such customer")

    manager.start()
    job = ended(manager, manager.create("a", max_attempts=5))
    assert (job.status, job.error, job.attempts, job.result) == (Status.FAILED, "Fail: no such customer", 1, None)
    (attempt,) = manager.history(job)
    assert attempt.status is AttemptStatus.ERROR
    assert (attempt.error_type, attempt.error_message, attempt.error_details) == ("steve.Fail", job.error, None)
    until(lambda: told == [("attempt", "running"), ("failure", "failed"), ("done", "failed"), ("attempt", "error")])


def test_a_job_that_is_cancelled_by_its_handler_is_neither_a_success_nor_a_failure(
    manager: JobManager, told: list[Any]
) -> None:
    @manager.handler("a")
    def cancel(job: Job) -> None:
        raise Cancel("not needed")

    attempts: list[Attempt] = []
    manager.on_attempt(None, lambda job, attempt: attempts.append(attempt))
    manager.start()
    job = ended(manager, manager.create("a"))
    assert (job.status, job.error, job.attempts) == (Status.CANCELLED, "Cancelled: not needed", 1)
    until(lambda: told == [("attempt", "running"), ("done", "cancelled"), ("attempt", "cancelled")])
    (attempt,) = manager.history(job)
    assert attempt.status is AttemptStatus.CANCELLED
    assert (attempt.error_type, attempt.error_message, attempt.error_details) == ("steve.Cancelled", job.error, None)
    until(lambda: len(attempts) == 2)
    assert attempts[1] == attempt


def test_a_retry_is_due_when_the_handler_said_and_counts_as_an_attempt(manager: JobManager) -> None:
    @manager.handler("a")
    def retry(job: Job) -> None:
        raise Retry(1_000 if job.attempts == 1 else 0, "busy")

    manager.start()
    job = tried(manager, manager.create("a", max_attempts=2))
    assert (job.status, job.error, job.attempts) == (Status.PENDING, "Retry: busy", 1)
    assert 990 < (job.run_at - job.updated_at).total_seconds() < 1_010


def test_the_last_attempt_may_not_be_retried(manager: JobManager) -> None:
    @manager.handler("a")
    def retry(job: Job) -> None:
        raise Retry(0, "busy")

    manager.start()
    job = ended(manager, manager.create("a", max_attempts=3))
    assert (job.status, job.error, job.attempts) == (Status.FAILED, "Retry: busy", 3)
    assert [attempt.error_type for attempt in manager.history(job)] == ["steve.Retry"] * 3


def test_a_handler_gives_up_on_some_errors(manager: JobManager) -> None:
    @manager.handler("a", give_up_on=(KeyError,))
    def look_up(job: Job) -> Any:
        return {"known": 1}[job.payload["name"]] / job.payload["by"]

    manager.start()
    job = ended(manager, manager.create("a", {"name": "missing"}))
    assert (job.status, job.attempts) == (Status.FAILED, 1)
    (attempt,) = manager.history(job)
    assert attempt.error_type == "builtins.KeyError"
    assert "KeyError: 'missing'" in str(attempt.error_details)
    job = tried(manager, manager.create("a", {"name": "known", "by": 0}))
    assert job.status is Status.PENDING


def test_a_handler_says_how_long_to_wait_after_which_error(manager: JobManager) -> None:
    def retry_delay(job: Job, error: BaseException) -> float | None:
        return 1_000 if isinstance(error, ConnectionError) else None

    @manager.handler("a", retry_delay=retry_delay)
    def call(job: Job) -> None:
        raise ConnectionError("busy") if job.payload["busy"] else ValueError("wrong")

    manager.start()
    job = tried(manager, manager.create("a", {"busy": True}))
    assert job.status is Status.PENDING
    assert 990 < (job.run_at - job.updated_at).total_seconds() < 1_010
    job = ended(manager, manager.create("a", {"busy": False}))
    assert (job.status, job.attempts) == (Status.FAILED, 1)


def test_forgiven_failures_count_neither_for_the_attempts_nor_for_the_wait(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    manager.set_handler("a", lambda job: 1 / 0)
    job = manager.create("a", max_attempts=2, backoff_strategy=RetryPolicy(base=1.5))
    conn.execute(f"update {schema}.job set attempts = 7, forgiven = 7, started_at = now()")
    manager.start()
    found = tried(manager, job)
    assert (found.status, found.attempts) == (Status.PENDING, 8)
    assert (found.run_at - found.updated_at).total_seconds() == pytest.approx(1.5)
    found = ended(manager, job)
    assert (found.status, found.attempts) == (Status.FAILED, 9)


def test_an_error_type_that_the_database_cannot_hold_does_not_keep_the_outcome_from_being_written(manager: JobManager) -> None:
    kind = type("Odd", (Exception,), {"__module__": "a\ud800\x00b"})
    manager.set_handler("b", lambda job: [].pop())
    manager.start()
    job = ended(manager, manager.create("b", max_attempts=1))
    assert manager.history(job)[0].error_type == "builtins.IndexError"

    @manager.handler("c")
    def odd(job: Job) -> None:
        raise kind("no")

    job = ended(manager, manager.create("c", max_attempts=1))
    assert manager.history(job)[0].error_type == "a\ufffd\ufffdb.Odd"


# -- defaults of a type -------------------------------------------------------------------------------------------------

POLICY = RetryPolicy(7, "exp", base=3.0)


@pytest.fixture
def registered(manager: JobManager) -> JobManager:
    manager.set_handler("a", print, max_attempts=5, backoff_strategy="none", queue="mail", priority=9)
    manager.set_handler("b", print, backoff_strategy=POLICY)
    manager.set_handler("c", print, give_up_on=ValueError)
    return manager


def what(job: Job) -> tuple[object, ...]:
    return job.max_attempts, job.backoff_strategy, job.queue, job.priority


CREATED: dict[str, tuple[dict[str, Any], tuple[object, ...]]] = {
    "nothing is said": ({"type": "a"}, (5, "none", "mail", 9)),
    "all is said": (
        {"type": "a", "max_attempts": 1, "backoff_strategy": "exp", "queue": "q", "priority": 0},
        (1, "exp", "q", 0),
    ),
    "a policy brings its attempts": ({"type": "a", "backoff_strategy": RetryPolicy(2)}, (2, "exp", "mail", 9)),
    "a policy and attempts": ({"type": "a", "backoff_strategy": RetryPolicy(2), "max_attempts": 4}, (4, "exp", "mail", 9)),
    "a policy at registration": ({"type": "b"}, (7, "exp", "default", 0)),
    "other terms": ({"type": "c"}, (3, "exp", "default", 0)),
    "another type": ({"type": "d"}, (3, "exp", "default", 0)),
}


@pytest.mark.parametrize(("given", "expected"), CREATED.values(), ids=CREATED)
def test_what_is_said_at_registration_stands_for_what_create_leaves_open(
    registered: JobManager, given: dict[str, Any], expected: tuple[object, ...]
) -> None:
    job = registered.create(**given)
    assert what(job) == expected
    found = registered.find(job)
    assert found is not None
    assert what(found) == expected
    (job,) = registered.create_many([NewJob(**given)])
    assert what(job) == expected
    more = {name: value for name, value in given.items() if name != "type"}
    (job,) = registered.create_many([(given["type"], None)], **more)
    assert what(job) == expected


def test_the_defaults_of_a_type_end_with_its_handler(registered: JobManager) -> None:
    registered.set_handler("a", None)
    assert what(registered.create("a")) == (3, "exp", "default", 0)
    registered.reset_handlers()
    assert what(registered.create("b")) == (3, "exp", "default", 0)


@pytest.mark.parametrize("terms", [{"give_up_on": "ValueError"}, {"priority": 101}, {"retry_delay": 5}, {"max_attempt": 3}])
def test_a_handler_with_wrong_terms_is_not_registered(manager: JobManager, terms: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        manager.handler("a", **terms)
    with pytest.raises((TypeError, ValueError)):
        manager.set_handler("a", print, **terms)
    assert not manager.has_handler("a")
