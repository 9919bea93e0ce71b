"""wait, wait_all and future: in a process that runs no jobs, whatever ends the job, and through everything that goes wrong.

The manager `hearing` looks at its jobs only when it hears of something: what it is answered within a test was notified.
"""

import asyncio
import concurrent.futures as standard
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from math import inf
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from steve import (
    Job,
    JobCancelled,
    JobFailed,
    JobGone,
    JobManager,
    NotRunning,
    SchemaError,
    Snooze,
    Status,
    SteveError,
    current_run,
)
from steve._database.statements.script import channel_of
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.behaviour.test_fork import in_child
from tests.conftest import until

SOON = 30.0
"""Seconds: far sooner than the next look, and later than any machine needs."""
QUICK = Tuning(look_interval=0.1, expiry_check=0.1)
PATIENT = Tuning(look_interval=0.1, shutdown_grace=SOON)
"""Waits at the stop for an answer to the last look, on any machine."""
FAR = Tuning(wait_look_first=300.0, wait_look_most=300.0, look_interval=0.1, expiry_check=0.1)
Make = Callable[..., JobManager]


def work(job: Job) -> Any:
    match job.type:
        case "fails":
            raise ValueError("no")
        case "waits":
            current_run().wait(SOON)
            raise ValueError("it was asked to stop")
        case "waits and snoozes":
            current_run().wait(SOON)
            raise Snooze(3600)
        case "completes and goes on":
            with current_run().transaction():
                pass
            current_run().wait(SOON)
    return job.payload.get("n")


@pytest.fixture
def waiter(make_manager: Make) -> JobManager:
    """A manager that is never started."""
    manager = make_manager(_tuning=QUICK)
    manager.migrate()
    return manager


@pytest.fixture
def hearing(waiter: JobManager, make_manager: Make) -> JobManager:
    """As `waiter`, but it looks only when it hears of something, after its first look."""
    return make_manager(_tuning=FAR)


@pytest.fixture
def worker(waiter: JobManager, make_manager: Make) -> JobManager:
    manager = make_manager(handler=work, poll_interval=0.2, _tuning=QUICK, lease=0.5, heartbeat=0.1)
    manager.start()
    return manager


def answered(future: standard.Future[Job]) -> Job:
    """Its result, which must come soon."""
    until(future.done, SOON)
    return future.result(0)


def waits_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "steve-waits" and thread.is_alive()]


def announced(conn: psycopg.Connection, schema: str) -> int:
    """How many processes have announced that somebody waits."""
    return int(conn.execute(f"select count(*) from {schema}.waiter where until > now()").fetchone()[0])  # type: ignore[index]


# -- answers ------------------------------------------------------------------------------------------------------------


def test_a_manager_that_was_never_started_waits_for_what_another_one_runs(waiter: JobManager, worker: JobManager) -> None:
    job = waiter.wait(waiter.create("a", {"n": 7}), SOON)
    assert (job.status, job.result) == (Status.COMPLETED, 7)
    failed = waiter.wait(waiter.create("fails", max_attempts=1).uid, SOON)
    assert (failed.status, failed.error) == (Status.FAILED, "ValueError: no")
    assert waiter.wait(str(job.uid)) == job


def test_a_started_manager_waits_for_its_own_jobs(worker: JobManager) -> None:
    assert worker.wait(worker.create("a", {"n": 7}), SOON).result == 7


def test_jobs_are_returned_in_the_order_given_when_all_have_ended(waiter: JobManager, worker: JobManager) -> None:
    jobs = waiter.create_many([("a", {"n": n}) for n in range(20)])
    order = [*reversed(jobs), jobs[3].uid, str(jobs[3].uid)]
    assert [job.result for job in waiter.wait_all(order, SOON)] == [*reversed(range(20)), 3, 3]
    assert waiter.wait_all([], 0.0) == []
    assert waiter.wait_all(iter(jobs[:2]), SOON)[1].result == 1


def test_a_future_has_the_job_or_raises_what_became_of_it(waiter: JobManager, worker: JobManager) -> None:
    done, failed = waiter.future(waiter.create("a", {"n": 1})), waiter.future(waiter.create("fails", max_attempts=1))
    cancelled = waiter.future(later := waiter.create("a", delay=3600))
    waiter.cancel(later, "not needed")
    assert answered(done).result == 1
    with pytest.raises(JobFailed, match=r"\(fails\) ended failed: ValueError: no") as caught:
        answered(failed)
    assert caught.value.job.status is Status.FAILED
    with pytest.raises(JobCancelled, match="Cancelled: not needed") as ended:
        answered(cancelled)
    assert ended.value.job.uid == later.uid


def test_a_thousand_futures_work_with_the_standard_library(waiter: JobManager, worker: JobManager) -> None:
    jobs = waiter.create_many([("a", {"n": n}) for n in range(1_000)])
    futures = [waiter.future(job) for job in jobs]
    assert {future.result().result for future in standard.as_completed(futures, SOON)} == set(range(1_000))
    assert standard.wait(futures, 0) == (set(futures), set())
    until(lambda: len(waits_threads()) == 1)


def test_asyncio_waits_for_many_jobs_and_can_give_them_up(waiter: JobManager, worker: JobManager) -> None:
    async def main() -> None:
        jobs = waiter.create_many([("a", {"n": n}) for n in range(10)])
        ended = await asyncio.gather(*(asyncio.wrap_future(waiter.future(job)) for job in jobs))
        assert [job.result for job in ended] == list(range(10))
        later = waiter.create("a", delay=3600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(waiter.future(later)), 0.05)
        until(lambda: waiter.find(later).status is Status.CANCELLED)  # type: ignore[union-attr]

    asyncio.run(main())


# -- time limits, and jobs that are not there ---------------------------------------------------------------------------


def test_a_wait_whose_time_is_over_says_what_the_job_does(waiter: JobManager) -> None:
    job = waiter.create("a", delay=3600)
    with pytest.raises(TimeoutError, match=rf"after 0\.05 s the status of job {job.uid} \(a\) is pending$"):
        waiter.wait(job, 0.05)
    with pytest.raises(TimeoutError, match=r"is pending, and 2 other jobs have not ended"):
        waiter.wait_all([job, *waiter.create_many([("a", None)] * 2)], 0.05)
    uid = uuid4()
    with pytest.raises(TimeoutError, match=f"the status of job {uid} is unknown: there is no such job yet"):
        waiter.wait(uid, 0.05)


def test_without_any_time_it_looks_once_and_starts_no_thread(waiter: JobManager) -> None:
    job = waiter.create("a", delay=3600)
    with pytest.raises(TimeoutError):
        waiter.wait(job, 0)
    waiter.cancel(job)
    assert waiter.wait(job, 0).status is Status.CANCELLED
    assert waiter._waits._loop is None


def test_a_job_that_never_appears_is_gone(make_manager: Make, waiter: JobManager) -> None:
    impatient = make_manager(_tuning=Tuning(wait_unseen=0.1))
    uid = uuid4()
    with pytest.raises(JobGone, match=f"there is no job {uid}"):
        impatient.wait(uid)
    with pytest.raises(LookupError):
        answered(impatient.future(uid))
    job = waiter.create("a", delay=3600)
    with pytest.raises(JobGone):  # although the other one goes on
        impatient.wait_all([job, uid], SOON)


def test_a_job_in_an_open_transaction_is_waited_for(waiter: JobManager, worker: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        job = waiter.create("a", {"n": 7}, connection=connection)
        future = waiter.future(job)
        with pytest.raises(TimeoutError):
            future.result(0.1)
    assert answered(future).result == 7


# -- each end of a job notifies -----------------------------------------------------------------------------------------


def ends_by_cancel(manager: JobManager, job: Job) -> None:
    manager.cancel(job)


def ends_by_cancel_all(manager: JobManager, job: Job) -> None:
    assert manager.cancel_all(type=job.type).done == 1


@pytest.mark.parametrize("end", [ends_by_cancel, ends_by_cancel_all])
def test_the_end_of_a_pending_job_is_heard_of(
    end: Callable[[JobManager, Job], None], hearing: JobManager, make_manager: Make
) -> None:
    other = make_manager()
    job = hearing.create("a", delay=3600)
    future = hearing.future(job)
    settle_down(hearing, job)
    end(other, job)
    with pytest.raises(JobCancelled):
        answered(future)


def test_the_expiry_of_a_job_that_nobody_claims_is_heard_of(hearing: JobManager, worker: JobManager) -> None:
    job = hearing.create("a", delay=3600, expires_in=10)
    future = hearing.future(job)
    settle_down(hearing, job, worker)
    with pytest.raises(JobCancelled, match="Expired"):
        answered(future)


def test_a_running_job_that_is_cancelled_is_heard_of(hearing: JobManager, worker: JobManager) -> None:
    job = hearing.create("waits")
    future = hearing.future(job)
    until(lambda: hearing.find(job).status is Status.RUNNING)  # type: ignore[union-attr]
    settle_down(hearing, job, worker)
    hearing.cancel(job)
    with pytest.raises(JobCancelled):
        answered(future)


def test_a_snoozed_job_whose_cancel_was_asked_is_heard_of(hearing: JobManager, worker: JobManager) -> None:
    """Only the reply to the settlement says that the job has ended."""
    job = hearing.create("waits and snoozes")
    future = hearing.future(job)
    until(lambda: hearing.find(job).status is Status.RUNNING)  # type: ignore[union-attr]
    settle_down(hearing, job, worker)
    hearing.cancel(job)
    with pytest.raises(JobCancelled):
        answered(future)


def test_the_end_by_a_rescue_is_heard_of(
    hearing: JobManager, worker: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    job = hearing.create("nobody's", queue="other", delay=3600)
    future = hearing.future(job)
    settle_down(hearing, job)
    conn.execute(f"insert into {schema}.process (id, name, version, lease) values (7, 'gone', '0', 0.3)")
    conn.execute(
        f"update {schema}.job set status = 'running', process_id = 7, claimed_at = now(), attempts = 3, crashes = 2, "
        "lease_no = 1 where uid = %s",
        [job.uid],
    )
    with pytest.raises(JobFailed, match="ProcessCrashed"):
        answered(future)


def test_a_completion_in_the_transaction_of_its_handler_is_heard_of_at_its_commit(
    hearing: JobManager, worker: JobManager
) -> None:
    job = hearing.create("completes and goes on", delay=3600)
    future = hearing.future(job)
    settle_down(hearing, job, worker)
    hearing.reschedule(job, delay=0)
    assert answered(future).status is Status.COMPLETED
    assert worker.health().running == 1  # the handler has not returned


def test_a_job_that_is_deleted_after_it_was_seen_is_gone_at_once(
    hearing: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    job = hearing.create("a", delay=3600)
    future = hearing.future(job)
    settle_down(hearing, job)
    other = hearing.create("b", delay=3600)
    hearing.cancel(other)
    conn.execute(f"delete from {schema}.job where uid = %s", [job.uid])
    hearing.delete(other)  # tells
    with pytest.raises(JobGone):
        answered(future)


def settle_down(manager: JobManager, job: Job, worker: JobManager | None = None) -> None:
    """Wait until the first looks at this job, which found it pending, are over: the next is far away. And until this worker has
    heard that somebody waits. The thread looks once more after it has announced that, and sleeps then."""
    if worker is not None:
        until(worker._runner.engine().awaited.now)  # type: ignore[union-attr]
    loop = manager._waits._loop
    assert loop is not None

    def has_looked() -> bool:
        known = loop.book._jobs.get(job.uid)
        return known is not None and known.was_seen and not loop.book.hints and loop._sleeps_until < inf

    until(has_looked)


# -- notifications ------------------------------------------------------------------------------------------------------


def test_where_nobody_waits_there_is_no_notification_no_row_and_no_thread(
    worker: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"listen {channel_of(schema)}_ended")
    jobs = worker.create_many([("a", None)] * 20)
    later = worker.create("a", delay=3600)
    until(lambda: len(worker.fetch_all(Status.COMPLETED)) == len(jobs))
    worker.cancel(later)
    worker.delete(later)
    assert list(conn.notifies(timeout=0.2)) == []
    assert announced(conn, schema) == 0
    assert worker._waits._loop is None


def test_a_process_that_starts_after_the_announcement_learns_of_it_by_its_look(hearing: JobManager, make_manager: Make) -> None:
    first = hearing.create("a", {"n": 1}, delay=3600)
    future = hearing.future(first)
    settle_down(hearing, first)
    worker = make_manager(handler=work, poll_interval=0.2, notify=True, _tuning=FAR)
    worker.start()
    awaited = worker._runner.engine().awaited  # type: ignore[union-attr]
    until(awaited.now)
    hearing.reschedule(first, delay=0)
    assert answered(future).result == 1


def test_a_process_that_hears_no_notification_looks_by_itself(make_manager: Make, worker: JobManager) -> None:
    deaf = make_manager(notify=False)
    assert deaf.wait(deaf.create("a", {"n": 7}, notify=True), SOON).result == 7


def test_while_somebody_waits_the_announcement_is_renewed(make_manager: Make, conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager(_tuning=Tuning(wait_announced=1, wait_renewal=0.1, wait_linger=0.1))
    manager.migrate()
    future = manager.future(manager.create("a", delay=3600))
    query = f"select until from {schema}.waiter"
    seen: set[Any] = set()

    def was_renewed() -> bool:
        seen.update(conn.execute(query).fetchall())
        return len(seen) > 3

    until(was_renewed)
    future.cancel()
    until(lambda: not waits_threads())
    until(lambda: announced(conn, schema) == 0)
    assert manager.wait(manager.cancel(manager.create("a", delay=3600)), SOON).error == "Cancelled"  # type: ignore[arg-type]


def test_a_settlement_names_the_jobs_that_have_ended_unless_they_are_too_many(
    hearing: JobManager, worker: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"listen {channel_of(schema)}_ended")
    job = hearing.create("a", delay=3600)
    hearing.future(job)
    settle_down(hearing, job, worker)
    hearing.reschedule(job, delay=0)
    assert [heard.payload for heard in conn.notifies(timeout=SOON, stop_after=1)] == [str(job.uid)]


def test_a_job_that_others_wait_for_causes_no_look_here(hearing: JobManager, worker: JobManager, make_manager: Make) -> None:
    ours = hearing.create("a", delay=3600)
    hearing.future(ours)
    settle_down(hearing, ours, worker)
    other = make_manager()
    loop = hearing._waits._loop
    assert loop is not None
    seen_at = loop.book._jobs[ours.uid].due_at
    for n in range(5):
        assert other.wait(other.create("a", {"n": n}), SOON).result == n
    assert loop.book._jobs[ours.uid].due_at == seen_at
    hearing.reschedule(ours, delay=0)


def test_only_the_first_of_several_processes_notifies_that_somebody_waits(
    waiter: JobManager, make_manager: Make, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"listen {channel_of(schema)}")
    first, second = waiter.create_many([("a", None)] * 2, delay=3600)
    waiter.future(first)
    until(lambda: announced(conn, schema) == 1)
    other = make_manager()
    other.future(second)
    until(lambda: announced(conn, schema) == 2)
    conn.execute(f"notify {channel_of(schema)}, 'last'")
    heard: list[str] = []
    for notification in conn.notifies(timeout=SOON):  # a generator that is kept would keep the connection's lock as well
        if notification.payload == "last":
            break
        heard.append(notification.payload)
    assert [payload for payload in heard if payload] == ["wait 15"]


def test_rows_of_processes_that_do_not_wait_any_more_are_deleted(
    waiter: JobManager, worker: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"insert into {schema}.waiter select n, now() - interval '2 minutes' from generate_series(1, 30) as n")
    waiter.future(waiter.create("a", delay=3600))
    until(lambda: conn.execute(f"select count(*) from {schema}.waiter").fetchone() == (1,))


def test_a_wait_for_a_job_that_has_ended_announces_nothing(waiter: JobManager, conn: psycopg.Connection, schema: str) -> None:
    job = waiter.create("a", delay=3600)
    waiter.cancel(job)
    assert waiter.wait(job, SOON).status is Status.CANCELLED
    assert announced(conn, schema) == 0


# -- the end of a manager -----------------------------------------------------------------------------------------------


def test_stop_ends_the_futures_of_a_manager_and_its_thread(waiter: JobManager) -> None:
    futures = [waiter.future(job) for job in waiter.create_many([("a", None)] * 3)]
    waiting = threading.Thread(target=lambda: futures.append(_raised(lambda: waiter.wait(waiter.create("a")))))
    waiting.start()
    until(lambda: len(waiter._waits._open) == 4)
    waiter.stop()
    waiting.join(SOON)
    for future in futures[:3]:
        with pytest.raises(NotRunning, match="the manager was stopped before job"):
            future.result(0)
    assert isinstance(futures[3], NotRunning)
    until(lambda: waits_threads() == [])


def _raised(call: Callable[[], object]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def test_what_ended_just_before_the_stop_has_its_answer(make_manager: Make, conn: psycopg.Connection, schema: str) -> None:
    waiter = make_manager(_tuning=PATIENT)
    waiter.migrate()
    job = waiter.create("a", delay=3600)
    future = waiter.future(job)
    settle_down(waiter, job)
    conn.execute(f"update {schema}.job set status = 'completed', completed_at = now(), result = '7'")
    waiter.stop()
    assert future.done()
    assert future.result(0).result == 7


def test_a_stopped_manager_can_wait_again(waiter: JobManager, worker: JobManager) -> None:
    waiter.stop()
    assert waiter.wait(waiter.create("a", {"n": 7}), SOON).result == 7
    worker.stop()
    later = waiter.future(waiter.create("a"))
    assert worker.find(worker.create("b")) is not None
    with pytest.raises(TimeoutError):
        later.result(0.05)


def test_after_request_stop_the_futures_end_when_the_handlers_have_returned(make_manager: Make) -> None:
    may_return = threading.Event()
    manager = make_manager(handler=lambda job: may_return.wait(SOON), _tuning=PATIENT)
    manager.start()
    runs, never = manager.future(manager.create("a")), manager.future(manager.create("a", delay=3600))
    until(lambda: len(manager.fetch_all(Status.RUNNING)) == 1)
    manager.request_stop()
    with pytest.raises(TimeoutError):
        never.result(0.2)
    may_return.set()
    assert answered(runs).status is Status.COMPLETED
    with pytest.raises(NotRunning):
        answered(never)


def test_a_handler_that_waits_cannot_hold_up_a_stop_for_ever(make_manager: Make) -> None:
    raised: list[Exception] = []

    def handler(job: Job) -> None:
        try:
            manager.wait(manager.create("never", delay=3600))
        except NotRunning as error:
            raised.append(error)

    manager = make_manager(handlers={"a": handler}, _tuning=Tuning(wait_stopping=0.1))
    manager.start()
    manager.create("a")
    until(lambda: len(manager._waits._open) == 1)
    assert manager.stop().complete
    assert len(raised) == 1


def test_futures_end_when_the_database_does_not_answer_during_a_stop(
    proxy: Proxy, make_manager: Make, waiter: JobManager
) -> None:
    manager = make_manager(proxy.conninfo, _tuning=Tuning(shutdown_grace=0.2))
    future = manager.future(waiter.create("a", delay=3600))
    until(lambda: manager._waits._loop is not None and manager._waits._loop.session.is_prepared)
    proxy.swallow()
    manager.stop()
    with pytest.raises(NotRunning):
        future.result(0)
    proxy.accept()


AT_EXIT = """
import sys, threading
from steve import JobManager, NotRunning

manager = JobManager(sys.argv[1], schema=sys.argv[2])
def wait():
    try:
        manager.wait(manager.create("a", delay=3600))
    except NotRunning:
        print("not running", flush=True)
threading.Thread(target=wait).start()
while not manager._waits._open:
    pass
"""


def test_a_program_that_ends_while_a_thread_waits_ends(waiter: JobManager, database_url: str, schema: str) -> None:
    command = [sys.executable, "-c", AT_EXIT, database_url, schema]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            until(lambda: program.poll() is not None, 60)
        finally:
            program.kill()
        assert (*program.communicate(), program.returncode) == ("not running\n", "", 0)


# -- giving a future up -------------------------------------------------------------------------------------------------


def test_a_future_that_is_cancelled_cancels_its_job_unless_that_runs(make_manager: Make) -> None:
    told: list[Job] = []
    may_return = threading.Event()
    manager = make_manager(handler=lambda job: may_return.wait(SOON))
    manager.on_done(None, told.append)
    manager.start()
    runs = manager.create("runs")
    until(lambda: manager.find(runs).status is Status.RUNNING)  # type: ignore[union-attr]
    jobs = [runs, *manager.create_many([("later", None)] * 20, delay=3600)]
    for future in [manager.future(job) for job in jobs]:
        assert future.cancel()
        assert future.cancelled()
    until(lambda: len(manager.fetch_all(Status.CANCELLED)) == 20)
    found = manager.find(runs)
    assert found is not None
    assert (found.status, found.cancel_asked_at) == (Status.RUNNING, None)
    until(lambda: len(told) == 20)
    may_return.set()


def test_a_job_that_is_locked_is_cancelled_later(waiter: JobManager, database_url: str, schema: str) -> None:
    job = waiter.create("a", delay=3600)
    future = waiter.future(job)
    with psycopg.connect(database_url) as connection:
        connection.execute(f"select from {schema}.job for update")
        future.cancel()
        until(lambda: waiter._waits._loop.cancels.waiting)  # type: ignore[union-attr]
    until(lambda: waiter.find(job).status is Status.CANCELLED)  # type: ignore[union-attr]


def test_who_gives_a_future_up_is_in_the_audit(waiter: JobManager, conn: psycopg.Connection, schema: str) -> None:
    job = waiter.create("a", delay=3600)
    with waiter.acting_as("ada"):
        waiter.future(job).cancel()
    query = f"select actor, action, filter, done from {schema}.audit"
    assert until(lambda: conn.execute(query).fetchall()) == [("ada", "cancel", {"job": str(job.uid)}, 1)]


# -- what goes wrong ----------------------------------------------------------------------------------------------------


def test_waits_survive_cut_connections_and_an_outage(
    proxy: Proxy, make_manager: Make, worker: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(proxy.conninfo, _tuning=FAR)
    first, second = worker.create("a", {"n": 1}, delay=3600), worker.create("a", {"n": 2}, delay=3600)
    futures = [manager.future(job) for job in (first, second)]
    settle_down(manager, first)
    proxy.cut()
    worker.reschedule(first, delay=0)
    assert answered(futures[0]).result == 1
    proxy.refuse()
    until(lambda: "jobs cannot be waited for at present" in caplog.text)
    worker.reschedule(second, delay=0)
    worker.wait(second, SOON)
    with pytest.raises(TimeoutError, match=r"the status of job .* is unknown: "):
        manager.wait(second, 0.1)
    proxy.accept()
    assert answered(futures[1]).result == 2


def test_waits_survive_a_server_that_hangs(proxy: Proxy, make_manager: Make, worker: JobManager) -> None:
    manager = make_manager(proxy.conninfo, _tuning=Tuning(answer_within=0.3))
    job = worker.create("a", {"n": 1}, delay=3600)
    future = manager.future(job)
    settle_down(manager, job)
    proxy.swallow()
    worker.reschedule(job, delay=0)
    worker.wait(job, SOON)
    until(lambda: proxy.waited() > 0.3)
    proxy.accept()
    assert answered(future).result == 1


def test_the_thread_goes_on_whatever_is_raised_in_it(
    waiter: JobManager, worker: JobManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = waiter.create("a", {"n": 7}, delay=3600)
    future = waiter.future(job)
    settle_down(waiter, job)
    loop = waiter._waits._loop
    assert loop is not None
    hear, raised = loop._database.hear, iter([SystemExit, RuntimeError("no")])

    def broken() -> bool:
        if (error := next(raised, None)) is not None:
            raise error
        return hear()

    monkeypatch.setattr(loop._database, "hear", broken)
    worker.reschedule(job, delay=0)
    assert answered(future).result == 7
    assert "the thread of the waits failed; it goes on" in caplog.text


def test_a_job_whose_row_cannot_be_read_fails_its_own_waits_alone(
    waiter: JobManager, worker: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = waiter.create_many([("a", {"n": n}) for n in range(10)], delay=3600)
    futures = [waiter.future(job) for job in jobs]
    settle_down(waiter, jobs[-1])
    database = waiter._waits._loop._database  # type: ignore[union-attr]
    find = database.find_ended

    def find_ended(uids: Any) -> Any:
        if jobs[3].uid in uids:
            raise ValueError("year -4713 is out of range")
        return find(uids)

    monkeypatch.setattr(database, "find_ended", find_ended)
    for job in jobs:
        worker.reschedule(job, delay=0)
    errors = [future.exception(SOON) for future in futures]
    assert [n for n, error in enumerate(errors) if error is not None] == [3]
    assert [future.result().result for n, future in enumerate(futures) if n != 3] == [0, 1, 2, *range(4, 10)]
    with pytest.raises(SteveError, match="cannot be read: ValueError"):
        futures[3].result()


def test_without_tables_a_wait_says_what_to_run(make_manager: Make) -> None:
    manager = make_manager()
    with pytest.raises(SchemaError, match="migrate"):
        manager.wait(uuid4(), SOON)


def test_a_role_that_may_only_read_waits_by_looking(
    waiter: JobManager, worker: JobManager, make_manager: Make, conn: psycopg.Connection, schema: str, database_url: str
) -> None:
    conn.execute(
        f"create role {schema} login; grant usage on schema {schema} to {schema}; "
        f"grant select on {schema}.job, {schema}.progress to {schema}"
    )
    try:
        reader = make_manager(psycopg.conninfo.make_conninfo(database_url, user=schema))
        assert reader.wait(waiter.create("a", {"n": 7}), SOON).result == 7
        reader.stop()
    finally:
        conn.execute(f"drop owned by {schema}; drop role {schema}")


@pytest.mark.parametrize("size", [1, 3, 6])
def test_a_users_pool_of_any_size_will_do(size: int, database_url: str, make_manager: Make, worker: JobManager) -> None:
    """A small one has no connection left for the thread, which then borrows one for each look."""
    with ConnectionPool(database_url, min_size=0, max_size=size, open=True) as pool:
        manager = make_manager(pool)
        jobs = [manager.create("a", {"n": n}) for n in range(3)]
        assert [job.result for job in manager.wait_all(jobs, SOON)] == [0, 1, 2]
        loop = manager._waits._loop
        assert loop is not None
        assert loop._database.listens is (size == 6)
        future = manager.future(manager.create("a", delay=3600))
        manager.stop()
    with pytest.raises(NotRunning):
        future.result(0)


def test_futures_end_when_the_users_pool_is_closed(database_url: str, make_manager: Make, waiter: JobManager) -> None:
    with ConnectionPool(database_url, min_size=0, max_size=2, open=True) as pool:
        manager = make_manager(pool)
        future = manager.future(waiter.create("a", delay=3600))
        until(lambda: manager._waits._loop is not None and manager._waits._loop.session.is_prepared)
    with pytest.raises(SteveError, match="was closed"):
        answered(future)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork_parent_and_child_wait_each_by_itself(waiter: JobManager, worker: JobManager) -> None:
    called: list[int] = []
    job = waiter.create("a", {"n": 1}, delay=3600)
    future = waiter.future(job)
    future.add_done_callback(lambda _: called.append(os.getpid()))
    settle_down(waiter, job)

    def in_the_child() -> None:
        with pytest.raises(NotRunning, match="belongs to the parent"):
            answered(future)
        assert called == []
        assert waiter.wait(waiter.create("a", {"n": 2}), SOON).result == 2
        waiter.stop()

    assert in_child(in_the_child) == 0
    worker.reschedule(job, delay=0)
    assert answered(future).result == 1
    assert called == [os.getpid()]


# -- in a handler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_handler_that_waits_while_no_other_worker_is_free_is_warned(
    workers: int, make_manager: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(job: Job) -> Any:
        other = manager.create("inner")
        try:
            return manager.wait(other, SOON if workers == 2 else 0.1).result
        except TimeoutError:
            return "no"

    manager = make_manager(handlers={"outer": handler, "inner": lambda job: "inner"})
    manager.start(workers)
    assert manager.wait(manager.create("outer"), SOON).result == ("inner" if workers == 2 else "no")
    assert ("no other worker of this process is free" in caplog.text) is (workers == 1)


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda manager: manager.wait(7), TypeError, "job must be a Job, its uid or that as a str, not int"),
        (lambda manager: manager.wait("x"), ValueError, "a job's uid must be a UUID, not 'x'"),
        (lambda manager: manager.wait(uuid4(), "1"), TypeError, "timeout must be a number of seconds or None, not str"),
        (lambda manager: manager.wait(uuid4(), True), TypeError, "timeout must be a number of seconds or None, not bool"),
        (lambda manager: manager.wait(uuid4(), -1), ValueError, "timeout must be 0 or more seconds, not -1"),
        (lambda manager: manager.wait(uuid4(), float("nan")), ValueError, "timeout must be 0 or more seconds, not nan"),
        (lambda manager: manager.wait_all(str(uuid4())), TypeError, "jobs must be several jobs or uids, not str"),
        (lambda manager: manager.wait_all(uuid4()), TypeError, "jobs must be several jobs or uids, not UUID"),
        (lambda manager: manager.wait_all([None]), TypeError, "job must be a Job, its uid or that as a str, not NoneType"),
        (lambda manager: manager.future(None), TypeError, "job must be a Job, its uid or that as a str, not NoneType"),
    ],
)
def test_bad_input_is_refused_at_once(call: Callable[[JobManager], object], error: type[Exception], text: str) -> None:
    manager = JobManager("host=nowhere.invalid")
    with pytest.raises(error, match=text):
        call(manager)
    assert manager._waits._loop is None
