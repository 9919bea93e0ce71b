"""`why()`: each cause for which a job does not run is brought about, and the answer names it and says what to do."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Cancel, Job, JobManager, Reason, RetryPolicy, Snooze, Status, embedded
from steve._model.tuning import Tuning
from tests.behaviour.test_alive import Begin, Worker, begin
from tests.conftest import until

__all__ = ["begin"]  # a fixture

MakeManager = Callable[..., JobManager]


def often(**tuning: Any) -> dict[str, Any]:
    """Heartbeats come so often that a test can wait for them, and a dead process is soon noticed."""
    fast = {"look_interval": 0.05, "observer_age": 0.1, "suspicion": 0.1, "server_age": 0.0}
    return {"lease": 60.0, "heartbeat": 0.1, "_tuning": Tuning(**(fast | tuning))}


def freeze(worker: Worker, conn: psycopg.Connection) -> None:
    """Stop the process. What it sent before may go on in the server, and a claim among it would take the test's next job."""
    worker.send(signal.SIGSTOP)
    os.waitpid(worker.process.pid, os.WUNTRACED)  # until all of its threads have stopped
    ours = "application_name = current_setting('application_name') and pid <> pg_backend_pid()"
    until(lambda: conn.execute(f"select from pg_stat_activity where state = 'active' and {ours}").rowcount == 0)


def reason(manager: JobManager, job: Job | UUID, code: str) -> str:
    """The reason with this code, as soon as there is one."""

    def find() -> Reason | None:
        return next((one for one in manager.why(job).reasons if one.code == code), None)

    try:
        found = until(find)
    except BaseException:
        print(manager.why(job))
        raise
    assert not found.text.endswith("."), "a clause"
    assert found.remedy.endswith("."), "sentences"
    return f"{found.text}\n{found.remedy}"


LATELY = r"\d+(\.\d)? s\b"
"""How long ago something was that has just happened: fractions of a second, or some seconds on a machine that is busy."""


def codes(manager: JobManager, job: Job | UUID) -> tuple[str, ...]:
    return manager.why(job).codes


@pytest.fixture
def held(gate: threading.Event) -> Callable[[Job], None]:
    """A handler that returns at the end of the test."""
    return lambda job: gate.wait(120) and None


@contextmanager
def transaction(database_url: str, *statements: Any) -> Iterator[psycopg.Connection]:
    """One that is open while the test goes on."""
    with psycopg.connect(database_url) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


# -- not pending, not running -----------------------------------------------------------------------------------------------


def test_a_job_that_is_not_there(manager: JobManager, database_url: str) -> None:
    assert codes(manager, uuid4()) == ("no_job",)
    with psycopg.connect(database_url) as connection:
        job = manager.create("a", connection=connection)
        assert "its transaction is open" in reason(manager, job, "no_job")
        assert manager.why(job).status is None
    assert "no_job" not in codes(manager, job)


def test_a_completed_and_a_failed_job(make_manager: MakeManager, manager: JobManager) -> None:
    def fail(job: Job) -> None:
        raise ValueError("out of paper")

    worker = make_manager(handlers={"a": lambda job: 1, "b": fail})
    worker.start()
    text = reason(manager, manager.create("a"), "ended")
    assert re.search(f"it completed {LATELY}", text)
    assert f"in {manager.processes()[0].name}, at attempt 1" in text
    text = reason(manager, manager.create("b", max_attempts=2, backoff_strategy="none"), "ended")
    assert re.search(f"it failed {LATELY}", text)
    assert "at attempt 2; the last error was: ValueError: out of paper" in text
    assert "retry(job)" in text


def test_a_job_that_somebody_cancelled(manager: JobManager) -> None:
    job, other, third = manager.create("a"), manager.create("b"), manager.create("c")
    with manager.acting_as("ada"):
        manager.cancel(job, "not needed")
        manager.cancel_all(type="b")
    manager.cancel(third)
    assert "by ada with cancel: Cancelled: not needed" in reason(manager, job, "cancelled")
    assert "probably by ada with cancel_all" in reason(manager, other, "cancelled")
    assert "nobody was acting_as()" in reason(manager, third, "cancelled")


def test_a_job_that_its_handler_cancelled(make_manager: MakeManager, manager: JobManager) -> None:
    def cancel(job: Job) -> None:
        raise Cancel("no such order")

    make_manager(handler=cancel).start()
    text = reason(manager, manager.create("a"), "cancelled")
    assert "by its handler, in " in text
    assert "no such order" in text


def test_a_job_that_has_not_begun_in_time(make_manager: MakeManager, manager: JobManager) -> None:
    job = manager.create("a", expires_in=0.01)
    assert "within seconds it will be cancelled" in reason(manager, job, "expired")
    make_manager(handlers={"b": lambda job: None}, _tuning=Tuning(expiry_check=0.05)).start()
    until(lambda: manager.find(job).status is Status.CANCELLED)
    assert "because it had not begun in time: Expired: " in reason(manager, job, "expired")
    assert codes(manager, job) == ("expired",)


def test_a_status_of_another_version(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    job = manager.create("a")
    conn.execute(f"alter domain {schema}.job_status drop constraint job_status_check")
    conn.execute(f"update {schema}.job set status = 'dreaming'")
    assert 'its status "dreaming" is not known' in reason(manager, job, "unknown_status")
    assert manager.why(job).status == "dreaming"


# -- not due ----------------------------------------------------------------------------------------------------------------


def test_a_job_that_is_not_due(make_manager: MakeManager, manager: JobManager) -> None:
    make_manager(handlers={"a": lambda job: None}).start()
    job = manager.create("a", delay=180)
    assert codes(manager, job) == ("not_due",)
    assert "it is due in 3 min, at " in reason(manager, job, "not_due")
    assert str(manager.why(job)).startswith(f"job {job.uid} (a, queue default) is pending\n  not_due: it is due in 3 min, at ")


def test_a_job_that_waits_for_its_next_attempt(make_manager: MakeManager, manager: JobManager) -> None:
    def fail(job: Job) -> None:
        if job.type == "snoozes":
            raise Snooze(90)
        if job.type == "says why":
            raise Snooze(90, "the shop is closed")
        raise ValueError("no\nroute")

    make_manager(handler=fail).start()
    text = reason(manager, manager.create("a", backoff_strategy=RetryPolicy(3, base=60.0)), "retry")
    assert "attempt 1 of 3 failed, and the next is due in " in text
    assert "the error was: ValueError: no route" in text
    text = reason(manager, manager.create("snoozes"), "snoozed")
    assert re.search(f"its handler has put it off: it is due again in {LATELY}", text)
    text = reason(manager, manager.create("says why"), "snoozed")
    assert re.search(f"its handler has put it off, because the shop is closed: it is due again in {LATELY}", text)


# -- nobody takes it --------------------------------------------------------------------------------------------------------


def test_no_process_is_alive(manager: JobManager, begin: Begin, conn: psycopg.Connection) -> None:
    job = manager.create("waits")
    text = reason(manager, job, "no_process")
    assert "no process that is alive works on this schema\nStart one" in text
    first = begin(lease=0.6, heartbeat=0.1)
    assert first.read() == f"begun {job.uid}"
    freeze(first, conn)
    second = manager.create("waits")
    assert f":{first.process.pid} was the last" in reason(manager, second, "no_process")


def test_no_process_has_a_handler(make_manager: MakeManager, manager: JobManager) -> None:
    make_manager(handlers={"b": lambda job: None}).start()
    job = manager.create("a")
    (process,) = manager.processes()
    text = reason(manager, job, "no_handler")
    assert f'no process that is alive has a handler for "a", and none is known to have had one; {process.name} is alive' in text
    assert '@manager.handler("a")' in text


def test_the_process_that_had_the_handler_is_named(
    make_manager: MakeManager, manager: JobManager, begin: Begin, conn: psycopg.Connection
) -> None:
    """First one that still has a row, then one that ran the job before."""
    worker = make_manager(handlers={"b": lambda job: None}, **often())
    first = begin(lease=3.0, heartbeat=0.1)
    freeze(first, conn)
    worker.start()
    job = manager.create("waits")
    text = reason(manager, job, "no_handler")
    assert f":{first.process.pid} had one, and has sent no heartbeat for " in text
    first.kill()

    def fail(job: Job) -> None:
        raise ValueError

    other = make_manager(handlers={"a": fail})
    other.start()
    failed = manager.create("a", backoff_strategy=RetryPolicy(2, base=8.0))  # it is not tried again before the stop
    until(lambda: manager.find(failed).error)
    other.stop()
    assert " had one when it ran this job, " in reason(manager, failed, "no_handler")


def test_the_process_that_lately_had_the_handler_is_named_when_it_is_gone(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    """Also for a type whose handler was set later, and taken away."""
    worker = make_manager(handlers={"a": lambda job: None}, _tuning=Tuning(served_check=0.05, served_renewal=0.4))
    worker.start()
    noted = f"select type, process, at from {schema}.served order by type"
    name = manager.processes()[0].name
    first = until(lambda: conn.execute(noted).fetchall())
    worker.set_handler("later", lambda job: None)
    until(lambda: [row[0] for row in conn.execute(noted)] == ["a", "later"])
    until(lambda: conn.execute(noted).fetchall()[0][2] > first[0][2])
    worker.set_handler("later", None)
    worker.stop()
    make_manager(handlers={"b": lambda job: None}).start()
    for type in ("a", "later"):
        assert re.search(f"; {name} had one {LATELY}", reason(manager, manager.create(type), "no_handler"))


def test_what_nobody_serves_any_more_is_forgotten_after_90_days(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"insert into {schema}.served values ('old', 'x:1', now() - interval '91 days'), ('a', 'x:1', '2020-01-01')")
    make_manager(handlers={"a": lambda job: None}, _tuning=Tuning(served_check=0.05)).start()
    until(lambda: conn.execute(f"select type from {schema}.served where process <> 'x:1'").fetchall() == [("a",)])
    assert conn.execute(f"select count(*) from {schema}.served").fetchone() == (1,)


def test_no_process_works_on_the_queue(make_manager: MakeManager, manager: JobManager) -> None:
    make_manager(handlers={"a": lambda job: None}, queues=["mail"]).start()
    text = reason(manager, manager.create("a", queue="reports"), "no_queue")
    assert 'no process that has a handler for "a" works on the queue "reports": ' in text


def test_the_only_process_is_stopping(make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]) -> None:
    worker = make_manager(handler=held, **often())
    worker.start(1)
    first = manager.create("a")
    until(lambda: manager.find(first).status is Status.RUNNING)
    worker.request_stop()
    assert f"claim no more jobs: {manager.processes()[0].name} (is stopping)" in reason(manager, manager.create("a"), "quiet")


def test_the_only_process_has_problems(make_manager: MakeManager, manager: JobManager, gate: threading.Event) -> None:
    worker = make_manager(handler=lambda job: None, **often(events_most=2, unhealthy_after=0.2))
    worker.on_done(None, lambda job: gate.wait(60))
    worker.start()
    manager.create_many([("a", None)] * 20)
    until(lambda: manager.processes()[0].problems)
    job = manager.create("a")
    until(lambda: "events wait for slow listeners, so nothing is claimed" in reason(manager, job, "unwell"))


# -- its turn has not come --------------------------------------------------------------------------------------------------


def test_all_workers_are_busy_and_others_are_due_before_it(
    make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]
) -> None:
    worker = make_manager(handlers={"a": held, "b": held}, **often())
    worker.start(1)
    first = manager.create("a")
    until(lambda: manager.find(first).status is Status.RUNNING)
    manager.create_many([("b", None)] * 3, priority=1)
    manager.create_many([("b", None)] * 2)
    manager.create_many([("nobody has it", None)] * 5, priority=7)
    manager.create("b", priority=9, delay=100)
    job = manager.create("a")
    text = reason(manager, job, "busy")
    assert f"all workers that would run it are busy: {manager.processes()[0].name} (1 of 1)" in text
    assert f"the job that runs for longest, {first.uid} (a), began " in text
    assert "5 jobs that are due before it must be claimed first" in reason(manager, job, "behind")
    assert "set_priority" in reason(manager, job, "behind")
    manager.set_priority(job, 2)
    assert "behind" not in codes(manager, job)


def test_how_long_it_takes_until_its_turn_comes(make_manager: MakeManager, manager: JobManager) -> None:
    worker = make_manager(handler=lambda job: time.sleep(0.01), **often())
    worker.start(1)
    manager.create_many([("a", None)] * 5_000)
    last = manager.create("a")
    until(lambda: (manager.processes()[0].pace or 0) > 10)
    text = reason(manager, last, "behind")
    assert "at the fleet's pace of " in text
    assert " jobs a second that takes about " in text
    manager.cancel_all(type="a")


def test_no_more_than_a_limit_is_counted(make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]) -> None:
    make_manager(handler=held, **often()).start(1)
    asking = make_manager(_tuning=Tuning(count_most=10))
    manager.create_many([("a", None)] * 30)
    assert "more than 10 jobs that are due before it" in reason(asking, manager.create("a"), "behind")
    manager.cancel_all(status="pending")


def test_a_job_that_is_suspected_to_kill_processes(
    make_manager: MakeManager, manager: JobManager, begin: Begin, held: Callable[[Job], None]
) -> None:
    """A process really dies of it, and another one rescues it. First it is a suspect, then it is on its last chance."""
    worker = make_manager(handlers={"a": held}, **(often() | {"max_crashes": 3}))
    worker.start(2)
    job = manager.create("kills")
    begin(heartbeat=0.1, lease=60.0)
    until(lambda: manager.find(job).crashes == 1, timeout=60)
    text = reason(manager, job, "suspect")
    assert (
        "suspected to kill processes, because a process died while holding it: it is claimed only when a worker is idle" in text
    )
    assert "no_handler" in codes(manager, job)
    first = manager.create("a")
    until(lambda: manager.find(first).status is Status.RUNNING)
    begin(heartbeat=0.1, lease=60.0)
    until(lambda: manager.find(job).crashes == 2, timeout=60)
    worker.set_handler("kills", lambda job: None)
    text = reason(manager, job, "suspect")
    until(lambda: "must fall idle first" in reason(manager, job, "suspect"))
    text = reason(manager, job, "suspect")
    assert "2 processes died while holding it, and one more death would fail it: so it runs alone in a process" in text
    assert f"{manager.processes()[0].name} (1 job running) must fall idle first" in text
    other = manager.create("a")
    assert "nothing else begins there" in reason(manager, other, "alone")


def test_its_row_is_locked(make_manager: MakeManager, manager: JobManager, database_url: str, schema: str) -> None:
    job = manager.create("a")
    with transaction(database_url, f"select from {schema}.job for update"):
        make_manager(handler=lambda job: None).start()
        text = reason(manager, job, "locked")
        assert "its row is locked by an open transaction, so claims pass it by: process " in text
        assert "pg_terminate_backend" in text
    until(lambda: manager.find(job).status is Status.COMPLETED)


def test_a_session_keeps_the_lock_of_the_claims(
    manager: JobManager, begin: Begin, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    freeze(begin(), conn)  # it seems to be well for a while, and claims nothing
    job = manager.create("waits")
    with transaction(database_url, f"select pg_advisory_xact_lock(hashtextextended('steve {schema} claim', 0))"):
        text = reason(manager, job, "claim_lock")
    assert "claim one at a time, and a session has held their lock for long: process " in text


def test_an_open_snapshot_a_prepared_transaction_and_a_slot_slow_the_claims(
    make_manager: MakeManager, held: Callable[[Job], None], gate: threading.Event
) -> None:
    with embedded.server(max_prepared_transactions="5", wal_level="logical") as server:
        url = server.conninfo
        asking = make_manager(url, _tuning=Tuning(slow_scan=0.0))
        asking.migrate()
        worker = make_manager(url, held, lease=5.0, heartbeat=0.1)
        worker.start(1)
        asking.create("a")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("select pg_create_logical_replication_slot('forgotten', 'test_decoding')")
            connection.execute("begin")
            connection.execute("create table mine (n int)")
            connection.execute("prepare transaction 'left over'")
        with transaction(url, "set transaction isolation level repeatable read", "set application_name = 'report'", "select 1"):
            job = asking.create("a")
            text = until(lambda: "report" in (text := reason(asking, job, "snapshot")) and "left over" in text and text)
        assert "keeps PostgreSQL from removing dead rows, which slows claims (a full scan takes " in text
        assert "of report, idle in transaction, for " in text
        assert "prepared transaction left over, for " in text
        assert "replication slot forgotten" in text
        assert "ROLLBACK PREPARED" in text
        gate.set()
        worker.stop(60)
        asking.stop()


def test_nothing_keeps_it(manager: JobManager, begin: Begin, conn: psycopg.Connection) -> None:
    freeze(begin(), conn)  # as above
    job = manager.create("waits")
    text = reason(manager, job, "ready")
    name = manager.processes()[0].name
    assert re.search(f"nothing keeps it from running: it has been due for {LATELY}, and {name} will soon claim it", text)
    assert codes(manager, job) == ("ready",)


# -- it runs ----------------------------------------------------------------------------------------------------------------


def test_it_runs(make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]) -> None:
    make_manager(handler=held, **often()).start(1)
    job = manager.create("a")
    until(lambda: "began" in reason(manager, job, "running"))
    text = reason(manager, job, "running")
    assert re.search(f"it runs in {manager.processes()[0].name}, began {LATELY}", text)
    assert re.search(f"the last heartbeat from there is {LATELY}", text)
    assert codes(manager, job) == ("running",)


def test_the_last_heartbeat_was_too_early_to_tell_of_it(
    make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]
) -> None:
    make_manager(handler=held, heartbeat=600.0, lease=3600.0, _tuning=Tuning(look_interval=3600.0)).start(1)
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.RUNNING)
    assert re.search(f" claimed it {LATELY}", reason(manager, job, "running"))
    assert "ago, too early to tell of it" in reason(manager, job, "running")


def test_it_is_claimed_and_has_not_begun(make_manager: MakeManager, manager: JobManager, gate: threading.Event) -> None:
    def handler(job: Job) -> None:
        if job.payload["wait"]:
            gate.wait(120)

    make_manager(handler=handler, **often(buffer_age=3600.0, claim_ahead=3600.0)).start(1)
    for job in manager.create_many([("a", {"wait": False})] * 200):  # so that its pace is known
        until(lambda job=job: manager.find(job).status is Status.COMPLETED)
    jobs = manager.create_many([("a", {"wait": True})] * 20)
    until(lambda: all(manager.find(job).status is Status.RUNNING for job in jobs[:2]))
    # Until then its newest heartbeat may be older than the handler's call.
    until(lambda: "1 of its 1 worker was busy" in reason(manager, jobs[1], "buffered"))
    assert re.search(f"and has not begun it, by its heartbeat {LATELY}", reason(manager, jobs[1], "buffered"))
    manager.cancel_all(status="pending")


def test_its_handler_is_stuck_or_has_not_noticed_its_deadline(
    make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]
) -> None:
    worker = make_manager(handler=held, stuck_after=3600, **often())
    worker.start(1)
    job = manager.create("a", timeout=0.05)
    text = reason(manager, job, "overdue")
    assert "its timeout of 0.1 s was over " in text
    assert "current_run().check()" in text
    other = make_manager(handlers={"b": held}, stuck_after=0.05, **often())
    other.start(1)
    text = reason(manager, manager.create("b", timeout=0.05), "stuck")
    assert "has not returned, long after its timeout; another job runs in its place" in text


def test_it_was_asked_to_stop(make_manager: MakeManager, manager: JobManager, held: Callable[[Job], None]) -> None:
    make_manager(handler=held, **often()).start(1)
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.RUNNING)
    with manager.acting_as("ada"):
        manager.cancel(job, "too late")
    text = reason(manager, job, "cancel_asked")
    assert re.search(rf"it was asked to stop by ada {LATELY} ago \(too late\), and its handler has not ended yet", text)
    assert "current_run().cancelled" in text


def test_its_process_is_silent_then_its_lease_is_over_then_its_row_is_gone(
    manager: JobManager, begin: Begin, conn: psycopg.Connection, schema: str, make_manager: MakeManager
) -> None:
    job = manager.create("waits")
    first = begin(lease=8.0, heartbeat=0.1)
    assert first.read() == f"begun {job.uid}"
    first.send(signal.SIGSTOP)
    text = reason(manager, job, "silent")
    assert f":{first.process.pid}, which has held it for " in text
    assert "no other one is alive" in text
    text = reason(manager, job, "lost")
    assert "and its lease of 8.0 s is over: others take the job within seconds" in text
    assert "Start a process" in text
    conn.execute(f"delete from {schema}.process")
    text = reason(manager, job, "orphaned")
    assert "has no row in the table of processes" in text


def test_its_process_has_died(
    manager: JobManager, begin: Begin, make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    """Another process has noticed that and will rescue the job in an hour."""
    other = make_manager(handlers={"b": lambda job: None}, **often(suspicion=3600.0))
    other.start()
    job = manager.create("waits")
    first = begin()
    assert first.read() == f"begun {job.uid}"
    first.kill()
    text = reason(manager, job, "lost")
    assert "seems to be dead: its session in the database is gone" in text
    assert "will do that." in text
    conn.execute(f"update {schema}.job set status = 'failed', completed_at = now(), process_id = null")


def test_the_tables_say_that_a_process_holds_it_and_it_does_not(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    make_manager(handlers={"b": lambda job: None}, **(often() | {"lease": 3600.0})).start()
    job = manager.create("a")
    conn.execute(
        f"update {schema}.job set status = 'running', attempts = 1, lease_no = 1, claimed_at = now() - interval '1 min',"
        f" process_id = (select id from {schema}.process)"
    )
    text = reason(manager, job, "unheld")
    assert "but it did not run there at its last heartbeat" in text
    assert "frees the job within its lease of 60 min" in text


def test_its_outcome_cannot_be_written(make_manager: MakeManager, manager: JobManager, database_url: str, schema: str) -> None:
    release = threading.Event()
    worker = make_manager(handler=lambda job: release.wait(60) and None, **often(unhealthy_after=0.3, aside_silent=0.1))
    worker.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.RUNNING)
    with transaction(database_url, f"update {schema}.job set error = 'mine'"):
        release.set()
        text = reason(manager, job, "locked")
        assert "so its outcome cannot be written: process " in text
        until(lambda: "outcomes have waited to be written" in reason(manager, job, "unwell"))
    until(lambda: manager.find(job).status is Status.COMPLETED)


# -- how it asks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("job", "error"), [(7, TypeError), (None, TypeError), ("x", ValueError), (b"", TypeError)])
def test_bad_input(manager: JobManager, job: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"job must be|a job's uid"):
        manager.why(job)


def test_a_uid_and_its_text_name_a_job_too(manager: JobManager) -> None:
    job = manager.create("a")
    assert manager.why(job) == manager.why(job.uid) == manager.why(str(job.uid))


def test_a_table_is_locked(make_manager: MakeManager, manager: JobManager, database_url: str, schema: str) -> None:
    asking = make_manager(_tuning=Tuning(look_patience=0.1))
    job = manager.create("a")
    with transaction(database_url, f"lock table {schema}.job in access exclusive mode"):
        began = time.monotonic()
        text = reason(asking, job, "unanswered")
        assert time.monotonic() - began < 20
    assert "PostgreSQL did not say within 0.1 s what the job is: a session has locked a table" in text
    until(lambda: codes(asking, job) == ("no_process",))  # a busy machine may not say that within 0.1 s, either


def test_what_takes_too_long_is_left_out(
    make_manager: MakeManager, manager: JobManager, database_url: str, schema: str
) -> None:
    """Here, which process lately had a handler."""
    make_manager(handlers={"b": lambda job: None}).start()
    asking = make_manager(_tuning=Tuning(look_patience=0.1))
    job = manager.create("a")
    with transaction(database_url, f"lock table {schema}.served in access exclusive mode"):
        assert "none is known to have had one" in reason(asking, job, "no_handler")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding(encoding: str, conn: psycopg.Connection, database_url: str) -> None:
    """Such a database cannot hold all that a process says of itself as it is."""
    name = f"test_{uuid4().hex[:12]}"
    conn.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    try:
        manager = JobManager(make_conninfo(database_url, dbname=name), handlers={"caf\xe9": lambda job: None}, queues=["\xe9"])
        with manager:
            ended = manager.create("caf\xe9", queue="\xe9")
            until(lambda: manager.find(ended).status is Status.COMPLETED)
            assert manager.why(manager.create("caf\xe9", queue="other")).codes == ("no_queue",)
            assert manager.why(manager.create("caf\xe9", queue="\xe9", delay=60)).codes == ("not_due",)
            assert manager.why(manager.create("th\xe9")).codes == ("no_handler",)
            manager.pause(type="caf\xe9")
            assert manager.why(manager.create("caf\xe9", queue="\xe9", delay=60)).codes == ("not_due", "paused")
            manager.resume(type="caf\xe9")
            manager.set_handler("\u6771\u4eac", lambda job: None)  # LATIN1 cannot hold it
            at = manager.processes()[0].heartbeat_at
            until(lambda: manager.processes()[0].heartbeat_at > at)
            assert len(manager.processes()[0].types) == 2
        manager.stop()
    finally:
        conn.execute(f"drop database {name} with (force)")
