"""Timeouts with a real database: how an attempt ends at its deadline, and that a cancel hits the right statement or none."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import pq

from steve import Job, JobManager, NewJob, Stopped, TimedOut, current_run
from steve._client.coalescer import NotifyCoalescer
from steve._engine.work import interrupts
from steve._engine.work.deadlines import own_thread
from steve._engine.work.run import run
from steve._engine.work.signals import RunSignals
from steve.run import current_window
from tests.behaviour.test_words import ended
from tests.conftest import APPLICATION, until
from tests.rows import claimed

MakeManager = Callable[..., JobManager]
TIMED_OUT = "TimedOut after 0.2 s"
LONG = 2.0
"""A timeout of handlers that must get somewhere before it: no busy machine takes so long for that."""
TIMED_OUT_LONG = "TimedOut after 2 s"


def rounded(seconds: float | None) -> int:
    """To the next tens above: so much was left a moment ago."""
    assert seconds is not None
    return math.ceil(seconds / 10) * 10


def sleep_in(connection: psycopg.Connection[Any], seconds: float = 60) -> None:
    connection.execute("select pg_sleep(%s)", [seconds])


def asleep(observer: psycopg.Connection[Any]) -> bool:
    query = "select from pg_stat_activity where application_name = %s and query like 'select pg_sleep%%' and state = 'active'"
    return bool(observer.execute(query, [APPLICATION]).fetchall())


# -- an attempt that times out --------------------------------------------------------------------------------------------


def test_an_attempt_that_times_out_is_retried_by_the_policy_and_recorded(manager: JobManager) -> None:
    numbers: list[int] = []

    @manager.handler("a", timeout=0.2)
    def handler(job: Job) -> str:
        numbers.append(current_run().attempt)
        if current_run().attempt == 1:
            while True:
                current_run().wait(60)
                current_run().check()
        return "in time"

    manager.start(1)
    job = ended(manager, manager.create("a", backoff_strategy="none"))
    assert (job.status, job.result, numbers) == ("completed", "in time", [1, 2])
    first, _ = manager.history(job)
    assert (first.error_message, first.error_type) == (TIMED_OUT, "steve.TimedOut")
    assert first.error_details is not None
    assert "Stopped: timed_out" in first.error_details


def test_the_last_attempt_that_times_out_fails_the_job(manager: JobManager) -> None:
    @manager.handler("a", timeout=0.2, interrupt=True)
    def handler(job: Job) -> None:
        while True:
            pass

    told: list[Job] = []
    manager.on_failure("a", told.append)
    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=1))
    assert (job.status, job.error) == ("failed", TIMED_OUT)
    until(lambda: told)
    assert told[0].error == TIMED_OUT


def test_a_handler_may_give_up_on_timed_out(manager: JobManager) -> None:
    @manager.handler("a", timeout=0.2, interrupt=True, give_up_on=TimedOut)
    def handler(job: Job) -> None:
        while True:
            pass

    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=5))
    assert (job.status, job.attempts) == ("failed", 1)


@pytest.mark.parametrize("many", [False, True])
def test_the_timeout_of_create_goes_first(manager: JobManager, many: bool) -> None:
    seen: list[float | None] = []
    manager.handler("a", timeout=500)(lambda job: seen.append(current_run().remaining()))
    manager.start(1)
    if many:
        jobs = manager.create_many([NewJob("a", timeout=timedelta(seconds=100)), ("a", None)])
    else:
        jobs = [manager.create("a", timeout=100), manager.create("a")]
    for job in jobs:
        ended(manager, job)
    assert sorted(map(rounded, seen)) == [100, 500]


def test_a_task_and_the_manager_have_timeouts_too(make_manager: MakeManager) -> None:
    manager = make_manager(timeout=timedelta(seconds=300))
    seen: list[float | None] = []

    @manager.task(timeout=100, interrupt=True, name="limited")
    def limited(n: int) -> None:
        seen.append(current_run().remaining())

    @manager.task(name="other")
    def other() -> None:
        seen.append(current_run().remaining())

    manager.start(1)
    for job in (limited.create(1), other.create(), limited.options(timeout=50).create(1)):
        ended(manager, job)
    assert [rounded(left) for left in seen] == [100, 300, 50]


def test_a_manager_whose_jobs_have_no_timeout_has_no_thread_for_it(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: None)
    manager.start(1)
    ended(manager, manager.create("a"))
    assert "steve-deadlines" not in [thread.name for thread in threading.enumerate()]
    ended(manager, manager.create("a", timeout=60))
    assert "steve-deadlines" in [thread.name for thread in threading.enumerate()]
    manager.stop()
    until(lambda: "steve-deadlines" not in [thread.name for thread in threading.enumerate()])


def test_hooks_run_outside_the_interrupt_and_see_it(manager: JobManager) -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def hook(run: Any) -> Any:
        try:
            yield
        except BaseException as error:
            until_then = time.monotonic() + 0.05
            while time.monotonic() < until_then:
                pass
            seen.append((type(error).__name__, run.timed_out))
            raise

    manager.around(hook)

    @manager.handler("a", timeout=0.2, interrupt=True)
    def handler(job: Job) -> None:
        while True:
            pass

    manager.start(1)
    assert ended(manager, manager.create("a", max_attempts=1)).error == TIMED_OUT
    assert seen == [("TimeLimit", True)]


def test_a_hook_that_goes_on_beyond_the_deadline_is_not_interrupted(manager: JobManager) -> None:
    left: list[bool] = []

    @contextlib.contextmanager
    def hook(run: Any) -> Any:
        yield
        beyond = run.deadline + 0.1
        while time.monotonic() < beyond:
            pass
        left.append(run.timed_out)

    manager.around(hook)
    manager.handler("a", timeout=LONG, interrupt=True)(lambda job: "done")
    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=1))
    assert (job.status, job.result, left) == ("completed", "done", [True])


def test_a_handler_that_was_stopped_by_the_end_of_the_manager_runs_again(make_manager: MakeManager) -> None:
    manager = make_manager()
    begun = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> None:
        begun.set()
        current_run().wait(60)
        current_run().check()

    manager.start(1)
    job = manager.create("a")
    begun.wait(60)
    assert manager.stop(30).complete
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts, manager.history(job)) == ("pending", 0, [])


def test_a_handler_that_was_stopped_by_a_cancel_ends_its_job_cancelled(manager: JobManager) -> None:
    begun = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> None:
        begun.set()
        current_run().wait(60)
        current_run().check()

    manager.start(1)
    job = manager.create("a")
    begun.wait(60)
    manager.cancel(job, "not needed")
    assert ended(manager, job).error == "Cancelled: not needed"
    assert ended(manager, job).status == "cancelled"


def test_time_limit_strikes_no_call_of_the_manager(manager: JobManager, conn: psycopg.Connection[Any], schema: str) -> None:
    """Otherwise it could cost the pool a connection."""
    begun, locked = threading.Event(), threading.Event()
    created: list[Job] = []

    @manager.handler("a", timeout=LONG, interrupt=True)
    def handler(job: Job) -> None:
        begun.set()
        locked.wait(60)
        created.append(manager.create("other"))  # waits for the lock until the deadline has passed
        while True:
            pass

    manager.start(1)
    job = manager.create("a", max_attempts=1)
    begun.wait(60)
    with conn.transaction():
        conn.execute(f'lock table "{schema}".job in share row exclusive mode'.encode())
        locked.set()
        after = time.monotonic() + LONG + 0.3
        until(lambda: time.monotonic() > after)
    assert ended(manager, job).error == TIMED_OUT_LONG
    assert len(created) == 1


def test_all_of_a_create_is_uninterrupted(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that create jobs share a count of the inserts under way, for instance."""
    shut: list[bool] = []
    begin = NotifyCoalescer.begin

    def watched(self: NotifyCoalescer) -> bool:
        window: Any = current_window()
        shut.append(window is not None and window._shut > 0)
        return begin(self)

    monkeypatch.setattr(NotifyCoalescer, "begin", watched)

    @manager.handler("a", timeout=60, interrupt=True)
    def handler(job: Job) -> None:
        shut.clear()
        manager.create("b")
        with current_run().transaction():
            window: Any = current_window()
            shut.append(window._shut > 0)

    manager.start(1)
    assert ended(manager, manager.create("a")).status == "completed"
    assert shut == [True, True]


# -- statements -----------------------------------------------------------------------------------------------------------


def test_a_statement_ends_at_the_deadline_and_the_connection_can_be_used(manager: JobManager, database_url: str) -> None:
    after: list[Any] = []

    @manager.handler("a", timeout=LONG)
    def handler(job: Job) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            try:
                with current_run().interrupting(connection.cursor()):
                    sleep_in(connection)
            finally:
                after.append(connection.execute("select 1").fetchone())

    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=1))
    assert (job.status, job.error, after) == ("failed", TIMED_OUT_LONG, [(1,)])
    (attempt,) = manager.history(job)
    assert attempt.error_type == "steve.TimedOut"
    assert attempt.error_details is not None
    assert "QueryCanceled" in attempt.error_details
    assert attempt.completed_at is not None
    assert attempt.completed_at - attempt.started_at < timedelta(seconds=30)


def test_a_statement_ends_when_its_job_is_cancelled(
    manager: JobManager, database_url: str, conn: psycopg.Connection[Any]
) -> None:
    @manager.handler("a")
    def handler(job: Job) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, current_run().interrupting(connection):
            sleep_in(connection)

    manager.start(1)
    job = manager.create("a")
    until(lambda: asleep(conn))
    manager.cancel(job, "not needed")
    assert ended(manager, job).status == "cancelled"
    (attempt,) = manager.history(job)
    assert attempt.error_details is not None
    assert "QueryCanceled" in attempt.error_details
    assert not asleep(conn)


def test_a_statement_ends_when_its_job_is_lost(database_url: str, conn: psycopg.Connection[Any]) -> None:
    deadlines = own_thread()
    signals = RunSignals(deadlines=deadlines)
    job = claimed()

    def handler(_: Job) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, current_run().interrupting(connection):
            sleep_in(connection)

    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(job, handler, signals, 100)))
    thread.start()
    until(lambda: asleep(conn))
    signals.lose([job.key()], [job.key()])
    thread.join(60)
    assert "QueryCanceled" in outcomes[0].message
    deadlines.end()


def test_with_interrupt_a_statement_ends_by_the_cancel_and_not_by_time_limit(manager: JobManager, database_url: str) -> None:
    statuses: list[Any] = []

    @manager.handler("a", timeout=LONG, interrupt=True)
    def handler(job: Job) -> None:
        with psycopg.connect(database_url) as connection:
            try:
                with current_run().interrupting(connection):
                    sleep_in(connection)
            finally:
                statuses.append(connection.info.transaction_status)

    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=1))
    assert job.error == TIMED_OUT_LONG
    assert statuses == [pq.TransactionStatus.INERROR]
    (attempt,) = manager.history(job)
    assert attempt.error_details is not None
    assert "QueryCanceled" in attempt.error_details


def test_a_handler_that_goes_on_after_the_block_is_interrupted_then(manager: JobManager, database_url: str) -> None:
    @manager.handler("a", timeout=LONG, interrupt=True)
    def handler(job: Job) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            try:
                with current_run().interrupting(connection):
                    sleep_in(connection)
            except psycopg.errors.QueryCanceled:
                pass
        while True:
            pass

    manager.start(1)
    job = ended(manager, manager.create("a", max_attempts=1))
    (attempt,) = manager.history(job)
    assert job.error == TIMED_OUT_LONG
    assert attempt.error_details is not None
    assert "TimeLimit" in attempt.error_details


class Block:
    """A handler's block on a connection, without a manager."""

    def __init__(self, database_url: str, timeout: float) -> None:
        self.deadlines = own_thread()
        self.interrupts = interrupts.Interrupts(deadlines=self.deadlines, must_end=lambda claim: False)
        self.connection = psycopg.connect(database_url, autocommit=True)
        self.limit: Any = type("Limit", (), {"window": None, "was_cancelled": False})()
        self.limit.deadline = time.monotonic() + timeout

    def __enter__(self) -> psycopg.Connection[Any]:
        self._block = self.interrupts.block(claimed().key(), self.connection, self.limit)
        self._block.__enter__()
        return self.connection

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    def close(self) -> None:
        self.deadlines.end()
        self.connection.close()


def test_in_the_block_a_statement_after_the_deadline_is_cancelled_too(database_url: str) -> None:
    """The handler was between two statements at the deadline."""
    block = Block(database_url, 0.0)
    with block as connection:
        for _ in range(3):
            with pytest.raises(psycopg.errors.QueryCanceled):
                sleep_in(connection)
    assert block.limit.was_cancelled
    block.close()


def test_no_cancel_hits_a_statement_after_the_block(database_url: str) -> None:
    block = Block(database_url, 0.0)
    hit = 0
    ahead = 0.004  # of the deadline: longer after each hit, shorter after each miss, so that any machine finds the edge
    for n in range(200):
        block.limit.deadline = time.monotonic() + ahead
        try:
            with block as connection:
                sleep_in(connection, 0.003 + n % 10 / 5000)
        except psycopg.errors.QueryCanceled:
            hit += 1
            ahead *= 1.1
        else:
            ahead /= 1.1
        sleep_in(block.connection, 0.002)  # raises if it is hit
    assert 0 < hit < 200, "it was not the edge"
    block.close()


class HeldCancel:
    """A cancel that takes as long as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Event()
        self.gate = threading.Event()
        monkeypatch.setattr(interrupts, "cancel_statement", self._cancel)

    def _cancel(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        self.asked.set()
        self.gate.wait(60)


def test_leaving_the_block_waits_for_a_cancel_under_way(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldCancel(monkeypatch)
    block = Block(database_url, 0.0)
    left = threading.Event()

    def work() -> None:
        with block as connection:
            while not held.asked.is_set():
                sleep_in(connection, 0.1)
        left.set()

    thread = threading.Thread(target=work)
    thread.start()
    held.asked.wait(60)
    assert not left.wait(0.3)
    held.gate.set()
    assert left.wait(60)
    thread.join()
    assert not block.connection.closed
    block.close()


def test_if_the_cancel_takes_too_long_the_connection_is_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it could hit a statement that it is not meant for."""
    held = HeldCancel(monkeypatch)
    monkeypatch.setattr(interrupts, "PATIENCE", 0.05)
    block = Block(database_url, 0.0)
    with block as connection:
        while not held.asked.is_set():
            sleep_in(connection, 0.1)
    assert block.connection.closed
    assert "the connection is closed" in caplog.text
    held.gate.set()
    block.close()


def test_a_cancel_that_hangs_holds_up_no_other_deadline(
    make_manager: MakeManager, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldCancel(monkeypatch)
    manager = make_manager()

    @manager.handler("hangs", timeout=0.1)
    def hangs(job: Job) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection, current_run().interrupting(connection):
            while not held.gate.is_set():
                sleep_in(connection, 0.1)

    @manager.handler("other", timeout=0.2, interrupt=True)
    def other(job: Job) -> None:
        while True:
            pass

    manager.start(2)
    hanging = manager.create("hangs")
    held.asked.wait(60)
    assert ended(manager, manager.create("other", max_attempts=1)).error == TIMED_OUT
    held.gate.set()
    ended(manager, hanging)


def test_a_cancel_that_cannot_be_sent_is_logged_and_tried_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent = interrupts.cancel_statement
    tries: list[int] = []

    def refused_once(connection: psycopg.Connection[Any], seconds: float) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise psycopg.OperationalError("no route to host")
        sent(connection, seconds)

    monkeypatch.setattr(interrupts, "cancel_statement", refused_once)
    block = Block(database_url, 0.0)
    with block as connection, pytest.raises(psycopg.errors.QueryCanceled):
        sleep_in(connection)
    assert "could not be asked to cancel its statement: no route to host" in caplog.text
    block.close()


def test_after_the_deadline_no_block_begins(manager: JobManager, database_url: str) -> None:
    began: list[str] = []

    @manager.handler("a", timeout=0.2)
    def handler(job: Job) -> None:
        current_run().wait(60)
        with psycopg.connect(database_url) as connection, current_run().interrupting(connection):
            began.append("begun")

    manager.start(1)
    assert ended(manager, manager.create("a", max_attempts=1)).error == TIMED_OUT
    assert began == []


@pytest.mark.parametrize("connection", [None, "postgresql://", object()])
def test_what_is_no_connection_is_refused(connection: Any) -> None:
    raised: list[BaseException] = []

    def handler(job: Job) -> None:
        try:
            with current_run().interrupting(connection):
                raise AssertionError
        except (TypeError, Stopped) as error:
            raised.append(error)

    run(claimed(), handler, RunSignals(), 100)
    assert isinstance(raised[0], TypeError)
    assert str(raised[0]).startswith("connection must be a Connection or Cursor of psycopg 3, or Django")
