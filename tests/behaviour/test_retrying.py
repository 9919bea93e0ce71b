"""What happens to a job whose handler raised or snoozed: when it is tried again, and how often; and what a handler knows of its
run. The rules alone: tests/model/test_outcome.py and test_retry.py. A retry that comes due between two polls: test_waking.py.
"""

import contextvars
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from steve import AttemptStatus, Job, JobManager, NotRunning, RetryPolicy, Run, Snooze, Status, current_run
from tests.conftest import until

FINAL = (Status.COMPLETED, Status.FAILED)


def fail(job: Job) -> None:
    raise RuntimeError("no")


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """Not started. Its poll is frequent, and finds at once what a test makes due."""
    manager = make_manager(poll_interval=0.05)
    manager.migrate()
    manager.set_handler("fails", fail)
    return manager


def end_of(manager: JobManager, job: Job) -> Job:
    """The job when it is completed or failed."""

    def ended() -> Job | None:
        found = manager.find(job)
        return found if found is not None and found.status in FINAL else None

    found = until(ended)
    assert found is not None
    return found


def after_attempt(manager: JobManager, job: Job, number: int) -> Job:
    """The job when so many of its attempts have ended."""
    until(lambda: len(manager.history(job)) == number)
    found = manager.find(job)
    assert found is not None
    assert found.attempts == number
    return found


def make_due(conn: psycopg.Connection, schema: str, job: Job) -> None:
    conn.execute(f"update {schema}.job set run_at = now() where uid = %s", [job.uid])


# -- delays -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        ("exp", [2, 4, 8, 16]),
        ("none", [0, 0, 0, 0]),
        (RetryPolicy(9, base=3, max_delay=20), [3, 9, 20, 20]),
        (RetryPolicy(9, base=1), [1, 1, 1, 1]),
        (RetryPolicy(9, base=1000), [1000, 3600, 3600, 3600]),
        (RetryPolicy(9, base=1.5, max_delay=0.25), [0.25] * 4),
        (RetryPolicy(9, max_delay=0), [0] * 4),
    ],
    ids=str,
)
def test_the_delays_grow_as_promised_by_the_clock_of_the_database(
    manager: JobManager, conn: psycopg.Connection, schema: str, strategy: str | RetryPolicy, delays: list[float]
) -> None:
    told: list[timedelta] = []
    manager.on_attempt("fails", lambda job, _: told.append(job.run_at - job.updated_at) if job.status == "pending" else None)
    with manager:
        job = manager.create("fails", max_attempts=9, backoff_strategy=strategy)
        for number in range(1, len(delays) + 1):
            until(lambda number=number: len(told) >= number)
            make_due(conn, schema, job)
    assert told[: len(delays)] == [timedelta(seconds=delay) for delay in delays]


@pytest.mark.parametrize(("failures", "delay"), [(11, 2048), (12, 3600), (999, 3600), (9_999, 3600)])
def test_exp_is_capped_at_an_hour_however_many_attempts_there_were(
    manager: JobManager, conn: psycopg.Connection, schema: str, failures: int, delay: int
) -> None:
    job = manager.create("fails", max_attempts=10_000)
    conn.execute(f"update {schema}.job set attempts = %s where uid = %s", [failures - 1, job.uid])
    with manager:
        until(lambda: manager.history(job))
        found = manager.find(job)
    assert found is not None
    assert found.attempts == failures
    assert found.run_at - found.updated_at == timedelta(seconds=delay)


def test_jitter_spreads_the_delays_within_its_bounds(manager: JobManager) -> None:
    policy = RetryPolicy(2, base=100, jitter=0.5)
    with manager:
        jobs = manager.create_many([("fails", None)] * 40, backoff_strategy=policy)
        until(lambda: all(job.attempts == 1 and job.status == "pending" for job in manager.fetch_all()))
        delays = [(job.run_at - job.updated_at).total_seconds() for job in manager.fetch_all()]
    assert len(delays) == len(jobs)
    assert 50 <= min(delays) < 90
    assert 110 < max(delays) <= 150


def test_the_retry_policy_is_stored_with_the_job_and_holds_in_any_process(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    creator = make_manager(retry=RetryPolicy(2, base=50, max_delay=77, jitter=0))
    creator.migrate()
    jobs = [
        creator.create("fails"),
        creator.create("fails", backoff_strategy=RetryPolicy(4, base=70)),
        creator.create("fails", max_attempts=6, backoff_strategy=RetryPolicy(4, base=90, jitter=0.25)),
        creator.create("fails", max_attempts=3, backoff_strategy="none"),
    ]
    columns = "max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter"
    rows = conn.execute(f"select {columns} from {schema}.job order by uid").fetchall()
    assert rows == [(2, "exp", 50, 77, 0), (4, "exp", 70, 3600, 0), (6, "exp", 90, 3600, 0.25), (3, "none", 50, 77, 0)]
    with make_manager(handlers={"fails": fail}, retry=RetryPolicy(1, "none")) as worker:
        assert end_of(worker, jobs[3]).attempts == 3
        for job, delay in zip(jobs[:2], (50, 70), strict=True):
            found = after_attempt(worker, job, 1)
            assert found.run_at - found.updated_at == timedelta(seconds=delay)


# -- the number of attempts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_job_is_tried_max_attempts_times_and_then_failed(manager: JobManager, most: int) -> None:
    with manager:
        job = end_of(manager, manager.create("fails", max_attempts=most, backoff_strategy="none"))
        attempts = manager.history(job)
    assert (job.status, job.attempts, job.error) == (Status.FAILED, most, "RuntimeError: no")
    assert [attempt.number for attempt in attempts] == list(range(1, most + 1))
    assert {attempt.status for attempt in attempts} == {AttemptStatus.ERROR}


def test_a_job_that_succeeds_at_its_last_attempt_is_completed_and_its_error_is_gone(manager: JobManager) -> None:
    def third_time_lucky(job: Job) -> int:
        if job.attempts < 3:
            raise RuntimeError("not yet")
        return job.attempts

    manager.set_handler("a", third_time_lucky)
    with manager:
        job = end_of(manager, manager.create("a", max_attempts=3, backoff_strategy="none"))
        statuses = [attempt.status for attempt in manager.history(job)]
    assert (job.status, job.result, job.error, job.attempts) == (Status.COMPLETED, 3, None, 3)
    assert statuses == ["error", "error", "success"]


def test_crashes_spend_no_attempts(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    job = manager.create("fails", max_attempts=2, backoff_strategy="none")
    conn.execute(f"update {schema}.job set attempts = 3, crashes = 3 where uid = %s", [job.uid])
    with manager:
        found = end_of(manager, job)
        assert (found.attempts, found.crashes) == (5, 3)
        assert [attempt.number for attempt in manager.history(job)] == [4, 5]


# -- Snooze -------------------------------------------------------------------------------------------------------------


def test_a_snooze_postpones_the_job_and_leaves_no_attempt_and_no_history(manager: JobManager) -> None:
    begun: list[int] = []

    def snooze(job: Job) -> None:
        begun.append(job.attempts)
        raise Snooze(1000)

    manager.set_handler("a", snooze)
    with manager:
        job = manager.create("a", max_attempts=1)
        found = until(lambda: (found := manager.find(job)) and found.run_at > job.run_at and found)
        assert manager.history(job) == []
    assert begun == [1]
    assert (found.status, found.attempts, found.error, found.claimed_at, found.completed_at) == ("pending", 0, None, None, None)
    assert found.run_at - found.updated_at == timedelta(seconds=1000)


def test_a_job_may_snooze_as_often_as_it_likes(manager: JobManager) -> None:
    begun: list[int] = []

    def snooze(job: Job) -> str:
        begun.append(job.attempts)
        if len(begun) < 20:
            raise Snooze(0)
        return "slept well"

    manager.set_handler("a", snooze)
    with manager:
        job = end_of(manager, manager.create("a", max_attempts=1))
        assert len(manager.history(job)) == 1
    assert begun == [1] * 20
    assert (job.status, job.result, job.attempts) == (Status.COMPLETED, "slept well", 1)


def test_a_snooze_after_an_error_keeps_the_error_and_the_attempts(manager: JobManager) -> None:
    def fail_then_snooze(job: Job) -> None:
        if job.attempts == 1:
            raise RuntimeError("first")
        raise Snooze(1000)

    manager.set_handler("a", fail_then_snooze)
    with manager:
        job = manager.create("a", max_attempts=5, backoff_strategy="none")
        until(lambda: (found := manager.find(job)) and found.run_at - found.updated_at > timedelta(seconds=999))
        found = manager.find(job)
        assert found is not None
        assert (found.status, found.attempts, found.error) == ("pending", 1, "RuntimeError: first")
        assert len(manager.history(job)) == 1


def test_except_exception_in_a_handler_does_not_catch_a_snooze(manager: JobManager) -> None:
    caught: list[Exception] = []

    def careful(job: Job) -> None:
        try:
            raise Snooze(1000)
        except Exception as error:
            caught.append(error)

    manager.set_handler("a", careful)
    with manager:
        job = manager.create("a")
        until(lambda: (found := manager.find(job)) and found.run_at > job.run_at)
    assert caught == []


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (31_536_001, ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
    ids=repr,
)
def test_a_wrong_snooze_is_refused_and_in_a_handler_counts_as_an_error(
    manager: JobManager, seconds: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="Snooze"):
        Snooze(seconds)

    def snooze(job: Job) -> None:
        raise Snooze(seconds)

    manager.set_handler("a", snooze)
    with manager:
        job = end_of(manager, manager.create("a", max_attempts=1))
    assert job.status == "failed"
    assert (job.error or "").startswith(error.__name__)


class Careless(Snooze):
    """Does not call the `__init__` of its base class, or sets `seconds` to something else."""

    def __init__(self, *seconds: Any) -> None:
        if seconds:
            (self.seconds,) = seconds


@pytest.mark.parametrize("seconds", [(), ("soon",), (float("nan"),), (-5.0,), (None,)], ids=repr)
def test_a_broken_subclass_of_snooze_fails_the_attempt_and_loses_no_job(manager: JobManager, seconds: tuple[Any, ...]) -> None:
    def snooze(job: Job) -> None:
        raise Careless(*seconds)

    manager.set_handler("a", snooze)
    with manager:
        job = end_of(manager, manager.create("a", max_attempts=1))
        assert (job.status, len(manager.history(job))) == ("failed", 1)


# -- current_run() ------------------------------------------------------------------------------------------------------


def test_only_the_handler_sees_its_run(manager: JobManager) -> None:
    runs: list[Run] = []
    elsewhere: list[type[BaseException]] = []

    def look() -> None:
        try:
            current_run()
        except NotRunning as error:
            elsewhere.append(type(error))

    def handler(job: Job) -> None:
        runs.append(current_run())
        assert current_run().job is job
        thread = threading.Thread(target=look)  # has a context of its own
        thread.start()
        thread.join()
        inherited = contextvars.copy_context()
        assert inherited.run(current_run) is current_run()

    manager.set_handler("a", handler)
    manager.on_done("a", lambda job: look())
    look()
    with manager:
        job = end_of(manager, manager.create("a"))
        until(lambda: len(elsewhere) == 3)
    assert job.status == "completed", job.error
    assert [run.job.uid for run in runs] == [job.uid]


def test_wait_sleeps_its_time_while_the_manager_works(manager: JobManager) -> None:
    answers: list[tuple[bool, bool]] = []
    manager.set_handler("a", lambda job: answers.append((current_run().wait(0.05), current_run().stopping)))
    with manager:
        job = end_of(manager, manager.create("a"))
        (attempt,) = manager.history(job)
    assert answers == [(False, False)]
    assert attempt.completed_at is not None
    assert attempt.completed_at - attempt.started_at >= timedelta(seconds=0.05)


def test_wait_returns_at_once_when_the_manager_stops_and_the_job_may_snooze(manager: JobManager) -> None:
    waiting = threading.Event()
    answers: list[tuple[bool, bool, bool]] = []

    def patient(job: Job) -> None:
        run = current_run()
        waiting.set()
        answers.append((run.wait(100), run.stopping, run.wait(100)))
        raise Snooze(5)

    manager.set_handler("a", patient)
    manager.start()
    job = manager.create("a")
    assert waiting.wait(60)
    report = manager.stop(timeout=60)
    assert report.complete
    assert answers == [(True, True, True)]
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts, found.run_at - found.updated_at) == ("pending", 0, timedelta(seconds=5))
    assert manager.history(job) == []


def test_each_job_runs_in_a_context_of_its_own(manager: JobManager) -> None:
    variable = contextvars.ContextVar("variable", default="fresh")
    variable.set("of the starting thread")
    seen: list[str] = []

    def spoil(job: Job) -> None:
        seen.append(variable.get())
        variable.set("spoilt")

    manager.set_handler("a", spoil)
    manager.start(workers=1)
    manager.create_many([("a", None)] * 30)
    until(lambda: len(seen) == 30)
    assert set(seen) == {"fresh"}


def test_the_handlers_own_log_lines_come_from_the_worker_thread(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    def handler(job: Job) -> str:
        logging.getLogger("app").warning("from the handler")
        return threading.current_thread().name

    manager.set_handler("a", handler)
    with manager:
        job = end_of(manager, manager.create("a"))
    assert job.result.startswith("steve-worker")
    assert [record.threadName for record in caplog.records if record.name == "app"] == [job.result]
