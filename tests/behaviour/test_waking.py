"""How a job is picked up long before the poll: by notifications, when it comes due, as a retry, or after a busy process gave it
back. The managers here poll every ten minutes: what is picked up within a test was not found by the poll.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from steve import Job, JobManager, RetryPolicy, Snooze, Status
from steve._database.statements.script import channel_of
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

FAR = 600.0
"""Seconds between polls."""
SOON = 30.0
"""Seconds: far sooner than the poll, and later than any machine needs."""


@pytest.fixture
def manager(make_manager: Callable[..., JobManager]) -> JobManager:
    """Running; its first claims are over."""
    manager = make_manager(handler=lambda job: None, poll_interval=FAR)
    manager.start()
    job = manager.create("first")
    until(lambda: done(manager, job))
    return manager


@pytest.fixture
def gate(make_manager: Callable[..., JobManager]) -> Iterator[threading.Event]:
    """For handlers to wait for. It is set when the test ends, also when it fails."""
    gate = threading.Event()
    yield gate
    gate.set()


def done(manager: JobManager, job: Job) -> Job | None:
    found = manager.find(job)
    return found if found is not None and found.status == Status.COMPLETED else None


def started(manager: JobManager, job: Job, within: float = SOON) -> datetime:
    """When the job was begun, by the database's clock."""
    found = until(lambda: done(manager, job), within)
    assert found is not None
    assert found.started_at is not None
    return found.started_at


def listeners(conn: psycopg.Connection, schema: str) -> list[int]:
    """The backends that listen for notifications of the schema."""
    query = "select pid from pg_stat_activity where starts_with(query, 'do $$') and strpos(query, %s) > 0"
    return [pid for (pid,) in conn.execute(query, [f"listen {channel_of(schema)};"])]


def wait_until_idle(manager: JobManager, conn: psycopg.Connection) -> None:
    """Wait until no claim is under way and none is due before the poll, and no connection of these tests has been used for a
    moment."""
    engine = manager._runner.engine()
    assert engine is not None
    claimer = engine.all_pools.all[0].parts.claimer
    query = """
        select bool_and(state = 'idle' and clock_timestamp() - state_change > interval '0.5 seconds')
        from pg_stat_activity
        where application_name = %s and pid <> pg_backend_pid()
    """

    def is_idle() -> bool:
        is_used = conn.execute(query, [APPLICATION]).fetchone() != (True,)
        is_claiming = claimer.claiming_since() is not None or claimer.schedule.is_due()
        return not is_used and not is_claiming and claimer.schedule.seconds_to_next() > FAR / 2

    until(is_idle)


# -- created elsewhere ----------------------------------------------------------------------------------------------------


def test_a_job_created_on_another_connection_is_picked_up_at_once(
    manager: JobManager, make_manager: Callable[..., JobManager], database_url: str
) -> None:
    other = make_manager()
    jobs = [other.create("a"), *other.create_many([("a", None)] * 3)]
    with psycopg.connect(database_url) as connection:
        jobs.append(other.create("a", connection=connection))
    for job in jobs:
        assert started(manager, job) - job.created_at < timedelta(seconds=SOON)


def test_a_job_created_by_another_process_is_picked_up_at_once(manager: JobManager, database_url: str, schema: str) -> None:
    program = "import sys, steve; print(steve.JobManager(sys.argv[1], schema=sys.argv[2]).create('a').uid)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(
        [sys.executable, "-c", program, database_url, schema], env=environment, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    found = until(lambda: (job := manager.find(answer.stdout.strip())) and done(manager, job), SOON)
    assert found is not None


def test_a_job_in_a_transaction_wakes_no_worker_before_the_commit(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rolled_back = manager.create("a", connection=connection)
        connection.rollback()
        job = manager.create("a", connection=connection)
        other = manager.create("a")  # committed at once; that it is picked up shows that a claim was made
        started(manager, other)
        assert manager.find(job) is None
        connection.commit()
    assert started(manager, job) - job.created_at < timedelta(seconds=SOON)
    assert manager.find(rolled_back) is None


def test_jobs_that_were_there_before_the_start_are_picked_up_at_once(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(handler=lambda job: None, poll_interval=FAR)
    manager.migrate()
    job = manager.create("a")
    manager.start()
    started(manager, job)


# -- due later ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0.3, 1.0, 2.0])
def test_a_job_due_in_a_moment_starts_at_its_time(manager: JobManager, ahead: float) -> None:
    job = manager.create("a", run_at=datetime.now(UTC) + timedelta(seconds=ahead))
    late = started(manager, job) - job.run_at
    assert timedelta(0) <= late < timedelta(seconds=SOON)


def test_a_job_due_sooner_is_not_kept_waiting_by_those_due_later(manager: JobManager) -> None:
    now = datetime.now(UTC)
    jobs = [manager.create("a", run_at=now + timedelta(seconds=ahead)) for ahead in (0.6, 0.4, 0.2)]
    for job in reversed(jobs):
        assert timedelta(0) <= started(manager, job) - job.run_at < timedelta(seconds=SOON)


def test_a_retry_starts_when_it_is_due(make_manager: Callable[..., JobManager]) -> None:
    def second_time_lucky(job: Job) -> None:
        if job.attempts == 1:
            raise RuntimeError("once")

    with make_manager(handler=second_time_lucky, poll_interval=FAR, retry=RetryPolicy(base=1)) as manager:  # 1 s, each time
        job = manager.create("a")
        until(lambda: done(manager, job), SOON)
        first, second = manager.history(job)
    assert first.completed_at is not None
    assert timedelta(seconds=1) <= second.started_at - first.completed_at < timedelta(seconds=SOON)


@pytest.mark.parametrize(("way", "heard"), [("retry at once", [""]), ("snooze for no time", [""]), ("retry later", [])])
def test_every_process_is_notified_of_a_job_that_is_due_again_at_once(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, way: str, heard: list[str]
) -> None:
    """The process that had the job may be busy by then."""
    begun: list[Job] = []

    def once_more(job: Job) -> None:
        begun.append(job)
        if len(begun) == 1:
            raise Snooze(0) if way == "snooze for no time" else RuntimeError("no")

    manager = make_manager(poll_interval=FAR)
    manager.migrate()
    manager.set_handler("a", once_more)
    job = manager.create("a", max_attempts=2, backoff_strategy="exp" if way == "retry later" else "none", notify=False)
    conn.execute(f"listen {channel_of(schema)}")
    manager.start(workers=1)
    until(lambda: manager.history(job))
    assert [notification.payload for notification in conn.notifies(timeout=SOON if heard else 0.2, stop_after=1)] == heard


def test_a_job_that_snoozes_is_called_again_when_it_asked_to_be(make_manager: Callable[..., JobManager]) -> None:
    begun: list[datetime] = []

    def snooze_once(job: Job) -> None:
        begun.append(job.run_at)
        if len(begun) == 1:
            raise Snooze(0.5)

    with make_manager(handler=snooze_once, poll_interval=FAR) as manager:
        job = manager.create("a")
        found = until(lambda: done(manager, job), SOON)
        (attempt,) = manager.history(job)
    assert found is not None
    assert attempt.started_at >= begun[1] > begun[0]


# -- without notifications ------------------------------------------------------------------------------------------------


def test_notify_false_sends_none_and_leaves_the_poll(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    polling = make_manager(handler=lambda job: None, poll_interval=0.2, notify=False)
    polling.start()
    assert listeners(conn, schema) == []
    conn.execute(f"listen {channel_of(schema)}")
    jobs = [polling.create("a"), *polling.create_many([("a", None)]), polling.create("a", run_at=datetime.now(UTC))]
    for job in jobs:
        started(polling, job)
    assert list(conn.notifies(timeout=0.1)) == []


def test_notify_of_a_call_overrides_that_of_the_manager(
    make_manager: Callable[..., JobManager], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    silent = make_manager(notify=False)
    conn.execute(f"listen {channel_of(schema)}")
    wait_until_idle(manager, conn)
    unheard = [
        manager.create("a", notify=False),
        *manager.create_many([("a", None)], notify=False),
        silent.create("a"),
        *silent.create_many([("a", None)]),
        manager.create("a", run_at=datetime.now(UTC) + timedelta(hours=3)),
        *manager.create_many([("a", None)], run_at=datetime.now(UTC) + timedelta(hours=3)),
    ]
    assert list(conn.notifies(timeout=0.1)) == []
    assert [manager.find(job) for job in unheard] == unheard
    job = silent.create("a", notify=True)
    started(manager, job)
    assert len(list(conn.notifies(timeout=SOON, stop_after=1))) == 1
    manager.create_many([("a", None)] * 100)
    assert len(list(conn.notifies(timeout=SOON, stop_after=1))) == 1
    for other in unheard[:4]:
        started(manager, other)  # the wake-ups for the others brought these as well


# -- the listening connection ---------------------------------------------------------------------------------------------


def test_a_listening_connection_that_breaks_is_replaced_and_a_claim_made(
    manager: JobManager, conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    (pid,) = until(lambda: listeners(conn, schema))
    wait_until_idle(manager, conn)
    unheard = manager.create("a", notify=False)
    conn.execute("select pg_terminate_backend(%s)", [pid])
    started(manager, unheard)
    assert until(lambda: listeners(conn, schema)) != [pid]
    job = manager.create("a")
    started(manager, job)
    assert [record.message for record in caplog.records if "listening cannot use the database" in record.message]
    assert until(lambda: [record for record in caplog.records if "the database is back" in record.message])


# -- as many at once as there are workers ---------------------------------------------------------------------------------


def test_jobs_created_one_by_one_run_on_all_workers_at_once(make_manager: Callable[..., JobManager]) -> None:
    together = threading.Barrier(4)

    def meet(job: Job) -> int:
        # Each round needs four at once. A handler that takes so long keeps the claimer from claiming ahead.
        threading.Event().wait(0.05)
        return together.wait(SOON)

    manager = make_manager(handler=meet, poll_interval=FAR)
    manager.start(workers=4)
    for _ in range(5):
        jobs = [manager.create("a") for _ in range(4)]
        for job in jobs:
            started(manager, job)


def test_a_batch_wakes_as_many_workers_as_it_has_jobs(make_manager: Callable[..., JobManager]) -> None:
    together = threading.Barrier(8)
    manager = make_manager(handler=lambda job: together.wait(SOON), poll_interval=FAR)
    manager.start(workers=8)
    for job in manager.create_many([("a", None)] * 8):
        started(manager, job)


def test_jobs_of_a_type_that_was_fast_until_now_run_on_all_workers_at_once(make_manager: Callable[..., JobManager]) -> None:
    """The mean duration of a type must not keep workers from its jobs when these take longer."""
    together = threading.Barrier(6)
    manager = make_manager(handler=lambda job: together.wait(SOON) if job.payload else None, poll_interval=FAR)
    manager.start(workers=6)
    manager.create_many([("a", None)] * 300)
    until(lambda: len(manager.fetch_all(Status.COMPLETED, limit=1000)) == 300)
    for job in manager.create_many([("a", {"meet": True})] * 6):
        started(manager, job)
    for job in [manager.create("a", {"meet": True}) for _ in range(6)]:
        started(manager, job)


def test_a_worker_that_is_free_takes_the_next_job_while_all_others_are_busy(
    make_manager: Callable[..., JobManager], gate: threading.Event
) -> None:
    manager = make_manager(handlers={"long": lambda job: gate.wait(60), "short": lambda job: None}, poll_interval=FAR)
    manager.start(workers=4)
    long = manager.create_many([("long", None)] * 3)
    until(lambda: len(manager.fetch_all(Status.RUNNING)) == 3)
    for _ in range(20):
        started(manager, manager.create("short"))
    assert {job.uid for job in manager.fetch_all(Status.RUNNING)} == {job.uid for job in long}


# -- given back by a busy process ------------------------------------------------------------------------------------------


def test_jobs_that_a_busy_process_does_not_begin_are_given_back_and_run_elsewhere(
    make_manager: Callable[..., JobManager], gate: threading.Event, conn: psycopg.Connection, schema: str
) -> None:
    tuning = Tuning(claim_ahead=3600.0)
    busy = make_manager(handler=lambda job: gate.wait(60) if job.payload else None, poll_interval=FAR, _tuning=tuning)
    busy.start(workers=1)
    busy.create_many([("a", None)] * 200)  # from these it learns how fast the type is, and claims far ahead
    until(lambda: len(busy.fetch_all(Status.COMPLETED, limit=300)) == 200)
    blocking, *fast = busy.create_many([("a", {"block": True})] + [("a", None)] * 50)
    claimed = f"select count(*) from {schema}.job where uid = any(%s) and lease_no > 0".encode()
    until(lambda: conn.execute(claimed, [[job.uid for job in fast]]).fetchone() > (0,))

    other = make_manager(handler=lambda job: "the other", poll_interval=FAR)
    other.start(workers=1)
    found = [until(lambda job=job: done(other, job)) for job in fast]
    assert {job.result for job in found} == {"the other"}
    assert {job.attempts for job in found} == {1}
    assert all(len(other.history(job)) == 1 for job in found[::10])
    returned = conn.execute(f"select count(*) from {schema}.job where lease_no = 3").fetchone()  # claim, return, claim
    assert returned > (0,)
    assert [job.uid for job in other.fetch_all(Status.RUNNING)] == [blocking.uid]
    gate.set()
    started(busy, blocking)
