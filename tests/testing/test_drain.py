"""`steve.testing.drain`: jobs run on the calling thread, on steve's own connections or in the caller's transaction."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import (
    Cancel,
    Fail,
    Job,
    JobFailed,
    JobManager,
    NotRunning,
    Retry,
    Run,
    SchemaError,
    Snooze,
    Status,
    Unavailable,
    current_run,
)
from steve.testing import DrainLimitExceeded, drain

MakeManager = Callable[..., JobManager]


@pytest.fixture
def caller(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection in whose transaction a test works, and which is rolled back at its end."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture(params=["own", "transaction", "autocommit"])
def where(request: pytest.FixtureRequest, database_url: str) -> Iterator[psycopg.Connection | None]:
    """What is passed as `connection=`."""
    if request.param == "own":
        yield None
        return
    with psycopg.connect(database_url, autocommit=request.param == "autocommit") as connection:
        yield connection
        connection.rollback()


# -- what becomes of jobs -----------------------------------------------------------------------------------------------


def test_jobs_run_on_the_calling_thread_by_priority_and_then_by_age(
    manager: JobManager, where: psycopg.Connection | None
) -> None:
    seen: list[tuple[str, int]] = []
    manager.set_handler("a", lambda job: seen.append((job.payload["name"], threading.get_ident())))
    manager.create("a", {"name": "first"}, connection=where)
    manager.create("a", {"name": "second"}, connection=where)
    manager.create("a", {"name": "urgent"}, priority=5, connection=where)
    ran = drain(manager, where)
    assert seen == [(name, threading.get_ident()) for name in ("urgent", "first", "second")]
    assert [one.status for one in ran] == [Status.COMPLETED] * 3
    assert [manager.find(one.job, connection=where) for one in ran] == [one.job for one in ran]


def test_a_run_leaves_what_a_worker_would_leave(manager: JobManager, where: psycopg.Connection | None) -> None:
    manager.set_handler("a", lambda job: {"doubled": 2 * job.payload["n"]})
    job = manager.create("a", {"n": 21}, connection=where)
    drain(manager, where)
    found = manager.find(job, connection=where)
    assert found is not None
    assert (found.status, found.result, found.attempts, found.error) == ("completed", {"doubled": 42}, 1, None)
    assert found.started_at is not None
    assert found.completed_at is not None
    assert found.created_at <= found.started_at <= found.completed_at
    (attempt,) = manager.history(job, connection=where)
    assert (attempt.number, attempt.status) == (1, "success")


def test_jobs_that_jobs_create_run_too(manager: JobManager, where: psycopg.Connection | None) -> None:
    def count_down(job: Job) -> None:
        if job.payload["n"]:
            manager.create("down", {"n": job.payload["n"] - 1}, connection=where)

    manager.set_handler("down", count_down)
    manager.create("down", {"n": 3}, connection=where)
    assert [one.job.payload["n"] for one in drain(manager, where)] == [3, 2, 1, 0]


def test_an_error_is_raised_after_its_outcome_is_written(manager: JobManager, where: psycopg.Connection | None) -> None:
    def broken(job: Job) -> None:
        raise LookupError("no such order")

    manager.set_handler("a", broken)
    job = manager.create("a", connection=where)
    with pytest.raises(LookupError, match="no such order") as caught:
        drain(manager, where)
    assert f"in attempt 1 of job {job.uid} ('a')" in caught.value.__notes__[0]
    found = manager.find(job, connection=where)
    assert found is not None
    assert (found.status, found.error, found.attempts) == ("pending", "LookupError: no such order", 1)
    (attempt,) = manager.history(job, connection=where)
    assert attempt.error_details is not None
    assert "steve/_engine" not in attempt.error_details, "the traceback begins in the handler"


def test_errors_are_returned_on_request(manager: JobManager, where: psycopg.Connection | None) -> None:
    error = LookupError("no such order")

    def broken(job: Job) -> None:
        raise error

    manager.set_handler("a", broken)
    manager.create("a", max_attempts=2, backoff_strategy="none", connection=where)
    first, second = drain(manager, where, raise_errors=False)
    assert (first.error, first.status, first.attempt, first.due_in) == (error, "pending", 1, 0.0)
    assert (second.error, second.status, second.attempt, second.due_in) == (error, "failed", 2, None)


@pytest.mark.parametrize(
    ("word", "status", "raises"),
    [
        (Snooze(60), "pending", None),
        (Cancel("enough"), "cancelled", None),
        (Retry(60, "later"), "pending", None),
        (Fail("never"), "failed", Fail),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else "",
)
def test_a_handlers_words_mean_what_they_mean_to_a_worker(
    manager: JobManager, word: BaseException, status: str, raises: type[BaseException] | None
) -> None:
    def speak(job: Job) -> None:
        raise word

    manager.set_handler("a", speak)
    job = manager.create("a")
    if raises is None:
        (ran,) = drain(manager)
        assert ran.snoozed == isinstance(word, Snooze)
    else:
        with pytest.raises(raises):
            drain(manager)
    found = manager.find(job)
    assert found is not None
    assert found.status == status
    assert found.attempts == (0 if isinstance(word, Snooze) else 1)


def test_a_retry_that_was_the_last_attempt_is_raised(manager: JobManager) -> None:
    def speak(job: Job) -> None:
        raise Retry(60, "later")

    manager.set_handler("a", speak)
    manager.create("a", max_attempts=1)
    with pytest.raises(Retry):
        drain(manager)


def test_a_result_that_cannot_be_stored_is_a_failure(manager: JobManager, where: psycopg.Connection | None) -> None:
    manager.set_handler("a", lambda job: {1, 2})
    job = manager.create("a", connection=where)
    with pytest.raises(JobFailed, match="ResultNotStorable") as caught:
        drain(manager, where)
    assert caught.value.job == manager.find(job, connection=where)


def test_a_result_that_postgresql_refuses_fails_the_job_alone(
    manager: JobManager, conn: psycopg.Connection, schema: str, where: psycopg.Connection | None
) -> None:
    rule = sql.SQL("alter table {} add check (result is null or result <> '13')")
    conn.execute(rule.format(sql.Identifier(schema, "job")))
    manager.set_handler("a", lambda job: job.payload["n"])
    for number in (12, 13, 14):
        manager.create("a", {"n": number}, connection=where)
    ran = drain(manager, where, raise_errors=False)
    assert [one.status for one in ran] == ["completed", "failed", "completed"]
    assert "SQLSTATE 23514" in str(ran[1].job.error)


# -- in the caller's transaction ----------------------------------------------------------------------------------------


def test_nothing_is_left_after_a_rollback(manager: JobManager, caller: psycopg.Connection) -> None:
    manager.set_handler("a", lambda job: None)
    job = manager.create("a", connection=caller)
    (ran,) = drain(manager, caller)
    assert ran.job.uid == job.uid
    assert manager.fetch_all() == [], "nobody else sees the job"
    caller.rollback()
    assert manager.fetch_all() == []
    assert manager.processes() == []


def test_own_connections_do_not_see_a_job_that_is_not_committed(manager: JobManager, caller: psycopg.Connection) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create("a", connection=caller)
    assert drain(manager) == []


def test_what_a_handler_wrote_before_it_raised_stays(manager: JobManager, caller: psycopg.Connection) -> None:
    caller.execute("create temporary table charge (amount integer)")

    def charge(job: Job) -> None:
        caller.execute("insert into charge values (5)")
        raise RuntimeError("after the charge")

    manager.set_handler("charge", charge)
    manager.create("charge", max_attempts=2, backoff_strategy="none", connection=caller)
    drain(manager, caller, raise_errors=False)
    assert caller.execute("select count(*) from charge").fetchone() == (2,), "as in a worker, which had committed it"


def test_after_a_statement_that_failed_only_that_run_is_rolled_back(
    manager: JobManager, caller: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caller.execute("create temporary table charge (amount integer)")

    def charge(job: Job) -> None:
        caller.execute("insert into charge values (%s)", [job.payload["amount"]])
        if job.payload["amount"] == 2:
            caller.execute("select 1 / 0")

    manager.set_handler("charge", charge)
    for amount in (1, 2, 3):
        manager.create("charge", {"amount": amount}, max_attempts=1, connection=caller)
    ran = drain(manager, caller, raise_errors=False)
    assert [one.status for one in ran] == ["completed", "failed", "completed"]
    assert caller.execute("select amount from charge order by amount").fetchall() == [(1,), (3,)]
    assert "all that this run has written is rolled back" in caplog.text


def test_a_handler_completes_its_job_in_the_callers_transaction(manager: JobManager, where: psycopg.Connection | None) -> None:
    def work(job: Job) -> None:
        with current_run().transaction() as connection:
            assert where is None or connection is where
            current_run().complete({"paid": True}, connection=connection)

    manager.set_handler("a", work)
    manager.create("a", connection=where)
    (ran,) = drain(manager, where)
    assert (ran.status, ran.job.result) == ("completed", {"paid": True})


def test_a_completion_that_was_rolled_back_counts_for_nothing(manager: JobManager, where: psycopg.Connection | None) -> None:
    def work(job: Job) -> None:
        with current_run().transaction() as connection:
            current_run().complete({"paid": True}, connection=connection)
            raise RuntimeError("after complete()")

    manager.set_handler("a", work)
    manager.create("a", max_attempts=1, connection=where)
    (ran,) = drain(manager, where, raise_errors=False)
    assert (ran.status, ran.job.result) == ("failed", None)
    assert isinstance(ran.error, RuntimeError)


def test_a_job_that_its_handler_deletes_is_dropped(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    def delete(job: Job) -> None:
        conn.execute(sql.SQL("delete from {} where uid = %s").format(sql.Identifier(schema, "job")), [job.uid])

    manager.set_handler("a", delete)
    manager.create("a")
    (ran,) = drain(manager)
    assert ran.dropped
    assert "dropped" in str(ran)


def test_a_job_that_its_handler_cancels_ends_cancelled(manager: JobManager, where: psycopg.Connection | None) -> None:
    def work(job: Job) -> None:
        manager.cancel(job, "not wanted", connection=where)
        raise RuntimeError("so I stop")

    manager.set_handler("a", work)
    manager.create("a", connection=where)
    (ran,) = drain(manager, where, raise_errors=False)
    assert (ran.status, ran.job.error) == ("cancelled", "Cancelled: not wanted")


def test_times_go_on_within_a_transaction(manager: JobManager, caller: psycopg.Connection) -> None:
    """now() stands still there: it would be a time before the job was created."""
    manager.set_handler("a", lambda job: None)
    caller.execute("select pg_sleep(0.01)")
    job = manager.create("a", connection=caller)
    (ran,) = drain(manager, caller)
    assert ran.job.claimed_at is not None
    assert ran.job.completed_at is not None
    assert job.created_at <= ran.job.claimed_at < ran.job.completed_at


def test_a_connection_that_breaks_raises_the_drivers_error(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:

        def work(job: Job) -> None:
            connection.close()

        manager.set_handler("a", work)
        manager.create("a", connection=connection)
        with pytest.raises(psycopg.OperationalError):
            drain(manager, connection)


def test_it_prepares_nothing_in_the_callers_session(manager: JobManager, caller: psycopg.Connection) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create_many([("a", None)] * 10, connection=caller)
    assert len(drain(manager, caller)) == 10
    assert caller.execute("select name, statement from pg_prepared_statements").fetchall() == []


# -- hooks, listeners, timeouts, records --------------------------------------------------------------------------------


def test_hooks_and_listeners_are_called_before_it_returns(manager: JobManager, where: psycopg.Connection | None) -> None:
    told: list[Any] = []

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        told.append(("around", run.attempt, run.last_attempt))
        yield

    manager.around(around)
    manager.on_attempt(None, lambda job, attempt: told.append((str(attempt.status), threading.get_ident())))
    manager.on_success(None, lambda job: told.append(("success", job.result)))
    manager.set_handler("a", lambda job: 7)
    manager.create("a", connection=where)
    drain(manager, where)
    here = threading.get_ident()
    assert told == [("around", 1, False), ("running", here), ("success", here), ("success", 7)]


def test_a_listener_that_breaks_the_transaction_harms_nothing(
    manager: JobManager, caller: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    manager.on_success(None, lambda job: caller.execute("select 1 / 0"))
    manager.set_handler("a", lambda job: None)
    manager.create("a", connection=caller)
    manager.create("a", connection=caller)
    assert [one.status for one in drain(manager, caller)] == ["completed", "completed"]
    assert "a listener raised" in caplog.text


def test_a_timeout_is_kept(manager: JobManager) -> None:
    def slow(job: Job) -> None:
        current_run().wait(30)
        current_run().check()

    manager.handler("slow", timeout=0.05)(slow)
    manager.create("slow", max_attempts=1)
    before = threading.enumerate()  # those of managers that have stopped may end later
    (ran,) = drain(manager, raise_errors=False)
    assert ran.job.error == "TimedOut after 0.05 s"
    assert not [thread for thread in threading.enumerate() if thread.name == "steve-deadlines" and thread not in before]


def test_what_a_run_logs_and_reports_is_kept(make_manager: MakeManager, where: psycopg.Connection | None) -> None:
    manager = make_manager(capture_logs="INFO")
    manager.migrate()

    def work(job: Job) -> None:
        logging.getLogger("shop").warning("writing invoice %d", 7)
        current_run().progress(1, 2, "half")

    manager.set_handler("a", work)
    job = manager.create("a", connection=where)
    drain(manager, where)
    assert [line.message for line in manager.logs(job, connection=where)] == ["writing invoice 7"]
    found = manager.find(job, connection=where)
    assert found is not None
    assert found.progress is not None
    assert found.progress.note == "half"


# -- which jobs ---------------------------------------------------------------------------------------------------------


def test_only_the_named_types_and_queues_are_drained(manager: JobManager, where: psycopg.Connection | None) -> None:
    for name in ("a", "b"):
        manager.set_handler(name, lambda job: None)
        for queue in ("mail", "slow"):
            manager.create(name, queue=queue, connection=where)
    assert [(one.type, one.job.queue) for one in drain(manager, where, types="a", queues=["mail"])] == [("a", "mail")]
    assert [(one.type, one.job.queue) for one in drain(manager, where, types=["b"])] == [("b", "mail"), ("b", "slow")]
    assert [(one.type, one.job.queue) for one in drain(manager, where)] == [("a", "slow")]


def test_a_manager_drains_its_own_queues_only(make_manager: MakeManager) -> None:
    manager = make_manager(queues=["mail"])
    manager.migrate()
    manager.set_handler("a", lambda job: None)
    manager.create("a")
    manager.create("a", queue="mail")
    assert [one.job.queue for one in drain(manager)] == ["mail"]


def test_a_fallback_runs_every_type(make_manager: MakeManager) -> None:
    manager = make_manager(handler=lambda job: job.type)
    manager.migrate()
    manager.create_many([("a", None), ("b", None)])
    assert [one.job.result for one in drain(manager)] == ["a", "b"]
    manager.create_many([("a", None), ("b", None)])
    assert [one.job.result for one in drain(manager, types="b")] == ["b"]


def test_paused_jobs_wait(manager: JobManager, where: psycopg.Connection | None) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create("a", queue="mail")
    manager.create("a")
    manager.pause(queue="mail")
    assert [one.job.queue for one in drain(manager, where)] == ["default"]


def test_a_job_that_has_expired_is_cancelled(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    manager.set_handler("a", lambda job: pytest.fail("it must not begin"))
    manager.create("a", expires_in=60)
    conn.execute(sql.SQL("update {} set expires_at = now() - interval '1 s'").format(sql.Identifier(schema, "job")))
    (ran,) = drain(manager)
    assert ran.status == "cancelled"
    assert str(ran.job.error).startswith("Expired")


# -- jobs that are not due yet ------------------------------------------------------------------------------------------


def test_a_job_that_is_not_due_waits(manager: JobManager, where: psycopg.Connection | None) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create("a", delay=60, connection=where)
    assert drain(manager, where) == []


def test_scheduled_jobs_run_in_the_order_of_their_times(manager: JobManager, where: psycopg.Connection | None) -> None:
    manager.set_handler("a", lambda job: None)
    manager.set_handler("b", lambda job: None)
    for name, hours in (("b", 3), ("a", 2), ("b", 1), ("a", 0)):
        delay = timedelta(hours=hours)
        manager.create(name, {"hours": hours}, delay=delay, priority=hours, connection=where)
    begun = time.monotonic()
    assert [one.job.payload["hours"] for one in drain(manager, where, scheduled=True)] == [0, 1, 2, 3]
    assert time.monotonic() - begun < 30


def test_retries_run_without_sleeping(manager: JobManager, where: psycopg.Connection | None) -> None:
    def second_time(job: Job) -> str:
        if current_run().attempt < 3:
            raise ConnectionError
        return "done"

    manager.set_handler("a", second_time)
    manager.create("a", max_attempts=3, backoff_strategy="exp", connection=where)
    ran = drain(manager, where, scheduled=True, raise_errors=False)
    assert [(one.attempt, one.status, one.due_in) for one in ran] == [
        (1, "pending", 2.0),
        (2, "pending", 4.0),
        (3, "completed", None),
    ]


def test_scheduled_passes_by_a_paused_lane(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create("a", queue="mail")
    manager.create("a", delay=60)
    manager.pause(queue="mail")
    assert [one.job.queue for one in drain(manager, scheduled=True)] == ["default"]


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_handler_that_snoozes_for_ever_meets_the_limit(manager: JobManager, scheduled: bool) -> None:
    def snooze(job: Job) -> None:
        raise Snooze(60 if scheduled else 0)

    manager.set_handler("poll", snooze)
    job = manager.create("poll")
    with pytest.raises(DrainLimitExceeded, match=r"has run 20 jobs, and more are due: 'poll' 20 times \(snoozed\)") as caught:
        drain(manager, scheduled=scheduled, max_jobs=20)
    assert len(caught.value.ran) == 20
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts) == ("pending", 0), "the one that was too many is given back"


def test_as_many_jobs_as_the_limit_are_no_error(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: None)
    manager.create_many([("a", None)] * 5)
    assert len(drain(manager, max_jobs=5)) == 5


# -- beside other processes ---------------------------------------------------------------------------------------------


def test_a_started_manager_leaves_a_drained_job_alone(make_manager: MakeManager) -> None:
    manager = make_manager(lease=0.3, heartbeat=0.1)
    manager.migrate()
    other = make_manager(lease=0.3, heartbeat=0.1, queues=["other"])
    other.start(1)
    manager.set_handler("a", lambda job: len(manager.processes()) == 2 and time.sleep(1.5))
    manager.create("a")
    (ran,) = drain(manager)
    assert (ran.status, ran.job.crashes) == ("completed", 0)
    assert len(manager.processes()) == 1, "its own row is gone"


def test_a_job_on_its_last_chance_runs(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    manager.set_handler("a", lambda job: job.crashes)
    manager.create_many([("a", None)] * 3)
    table = sql.Identifier(schema, "job")
    conn.execute(sql.SQL("update {} set attempts = 2, crashes = 2").format(table))
    assert [one.job.result for one in drain(manager)] == [2, 2, 2]


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"connection": 7}, TypeError, "connection must be a Connection or Cursor of psycopg 3"),
        ({"connection": "default"}, TypeError, "not builtins.str"),
        ({"queues": []}, ValueError, "queues is empty"),
        ({"queues": 7}, TypeError, "queues must be a name, a list of names or None"),
        ({"types": [7]}, TypeError, "types must hold names, not int"),
        ({"types": "b"}, ValueError, "no handler for 'b'"),
        ({"max_jobs": 0}, ValueError, "max_jobs must be 1 or more"),
        ({"max_jobs": "many"}, TypeError, "max_jobs must be an int"),
        ({"max_jobs": True}, TypeError, "max_jobs must be an int, not bool"),
    ],
    ids=repr,
)
def test_arguments_that_cannot_be_are_named(
    manager: JobManager, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    manager.set_handler("a", lambda job: None)
    with pytest.raises(error, match=message):
        drain(manager, **arguments)


def test_a_manager_without_handlers_says_so(manager: JobManager) -> None:
    with pytest.raises(ValueError, match="has no handler: import the modules"):
        drain(manager)


def test_it_is_not_for_handlers(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: drain(manager))
    job = manager.create("a")
    with pytest.raises(NotRunning, match=f"in the handler of job {job.uid}"):
        drain(manager)


def test_missing_tables_are_named(make_manager: MakeManager, schema: str) -> None:
    manager = make_manager()
    manager.set_handler("a", lambda job: None)
    with pytest.raises(SchemaError, match=schema):
        drain(manager)


def test_a_database_that_is_away_is_unavailable() -> None:
    manager = JobManager("postgresql://localhost:1/nothing", create_timeout=0.1)
    manager.set_handler("a", lambda job: None)
    with pytest.raises(Unavailable):
        drain(manager)


def test_what_ran_reads_as_a_sentence(manager: JobManager) -> None:
    def later(job: Job) -> None:
        raise Snooze(2)

    manager.set_handler("a", later)
    job = manager.create("a")
    (ran,) = drain(manager)
    assert str(ran) == f"'a' {job.uid}, attempt 1: snoozed, due again in 2 s"


def test_a_handler_sees_the_callers_context_variables_and_changes_a_copy(manager: JobManager) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    tenant.set("acme")

    def look(job: Job) -> str:
        seen = tenant.get()
        tenant.set("another")
        return seen

    manager.set_handler("a", look)
    for _ in range(2):
        manager.create("a")
    assert [ran.job.result for ran in drain(manager)] == ["acme", "acme"]
    assert tenant.get() == "acme"
