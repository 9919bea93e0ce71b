"""A manager's working life: start, stop, request_stop, `with`; what a StopReport says; which calls need the tables.

`run()` and programs that forget to stop are tested in test_run.py and test_exit.py.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, SchemaError, Status, StopReport, Unavailable, current_run
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

MakeManager = Callable[..., JobManager]


class Gate:
    """Handlers wait in `pass_through` until the test opens it. `arrived`: the jobs whose handlers came to it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.arrived: list[Job] = []

    def pass_through(self, job: Job) -> str:
        self.arrived.append(job)
        self.opened.wait()
        return "through"

    def open(self) -> None:
        self.opened.set()


class Meter:
    """A handler that counts how many of its calls run at the same time. So many as `together` says wait for one another."""

    def __init__(self, together: int = 1) -> None:
        self._together = threading.Barrier(together)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.runs = 0

    def __call__(self, job: Job) -> None:
        with self._lock:
            self._now += 1
            self.runs += 1
            self.most = max(self.most, self._now)
        self._together.wait(30)
        time.sleep(0.002)  # some work, which calls on other workers would overlap
        with self._lock:
            self._now -= 1


@pytest.fixture
def gate(make_manager: MakeManager) -> Iterator[Gate]:
    """It is open when the managers of the test are stopped, also when the test fails."""
    gate = Gate()
    yield gate
    gate.open()


def table(conn: psycopg.Connection, schema: str, query: str) -> list[tuple]:
    """The rows of a query in which {} stands for the schema."""
    return conn.execute(sql.SQL(query).format(sql.Identifier(schema))).fetchall()


def processes(conn: psycopg.Connection, schema: str) -> int:
    """How many started managers have not ended."""
    return len(table(conn, schema, "select from {}.process"))


def status(manager: JobManager, job: Job) -> Status | str:
    found = manager.find(job)
    assert found is not None
    return found.status


def in_threads(number: int, call: Callable[[], object]) -> list[object]:
    """Calls `call` in so many threads at the same moment. Returns what the calls returned."""
    ready = threading.Barrier(number)

    def one() -> object:
        ready.wait(30)
        return call()

    with ThreadPoolExecutor(number) as pool:
        return [future.result(60) for future in [pool.submit(one) for _ in range(number)]]


# -- start --------------------------------------------------------------------------------------------------------------


def test_start_makes_the_tables_if_there_are_none(make_manager: MakeManager, gate: Gate) -> None:
    manager = make_manager(handlers={"a": lambda job: {"n": job.payload["n"]}})
    manager.start()
    job = manager.create("a", {"n": 1})
    until(lambda: status(manager, job) == "completed")
    assert manager.find(job).result == {"n": 1}


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_as_many_jobs_run_at_a_time_as_there_are_workers(make_manager: MakeManager, workers: int) -> None:
    # An idle worker must be told of the jobs that another worker has claimed. With these values it cannot find them after its
    # wait, nor get them by a poll after they were given back.
    tuning = Tuning(idle_wait=3600.0, buffer_age=3600.0)
    meter = Meter(together=workers)
    manager = make_manager(handlers={"a": meter}, poll_interval=3600, _tuning=tuning)
    manager.migrate()
    manager.create_many([("a", {})] * workers * 5)
    manager.start(workers)
    until(lambda: len(manager.fetch_all("completed")) == workers * 5)
    assert meter.most == workers
    assert meter.runs == workers * 5


def test_start_twice_warns_and_changes_nothing(
    manager: JobManager, conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter()
    manager.set_handler("a", meter)
    manager.start(workers=1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    manager.start(workers=10)
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert warning.name == "steve"
    assert "start()" in warning.getMessage()

    manager.create_many([("a", {})] * 50)
    until(lambda: meter.runs == 50)
    assert meter.most == 1
    assert processes(conn, schema) == 1
    assert manager.stop().complete
    assert processes(conn, schema) == 0


def test_a_manager_that_many_threads_start_at_once_starts_once(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    in_threads(8, manager.start)
    assert processes(conn, schema) == 1
    assert manager.stop().complete
    assert processes(conn, schema) == 0


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1001, ValueError),
        (True, TypeError),
        ("two", ValueError),
        (1.0, TypeError),
        (None, TypeError),
    ],
)
def test_start_refuses_an_impossible_number_of_workers(manager: JobManager, workers: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="workers must be"):
        manager.start(workers)  # type: ignore[arg-type]
    assert manager.stop() == StopReport(complete=True)


def test_a_working_manager_keeps_four_connections_however_many_workers(
    database_url: str, make_manager: MakeManager, conn: psycopg.Connection
) -> None:
    name = f"{APPLICATION}-counted"
    counted = "select from pg_stat_activity where application_name = %s"

    def connections() -> int:
        return len(conn.execute(counted, [name]).fetchall())

    meter = Meter(together=10)
    manager = make_manager(make_conninfo(database_url, application_name=name), handlers={"a": meter})
    manager.start(workers=10)
    make_manager().create_many([("a", {})] * 50)
    until(lambda: meter.runs == 50)
    until(lambda: connections() == 4)  # claim, settle, heartbeat, listen
    manager.stop()
    until(lambda: connections() == 0)


def test_start_raises_unavailable_at_the_first_refused_connection(make_manager: MakeManager) -> None:
    manager = make_manager("host=127.0.0.1 port=1 user=ada password=sesame dbname=shop", create_timeout=600)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as caught:
        manager.start()
    assert time.monotonic() - began < 60
    assert "sesame" not in str(caught.value)
    assert manager.stop().complete


# -- the tables ---------------------------------------------------------------------------------------------------------


def test_start_without_migrating_says_what_to_do_if_the_tables_are_missing(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager()
    with pytest.raises(SchemaError, match="is missing") as caught:
        manager.start(migrate=False)
    for word in (f'"{schema}"', f'"{conn.info.dbname}"', "manager.migrate()", "python -m steve migrate"):
        assert word in str(caught.value)
    assert conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchall() == []

    manager.migrate()
    manager.start(migrate=False)  # the failed start left nothing that prevents it
    assert manager.stop().complete


@pytest.mark.parametrize(
    "call",
    [
        lambda manager: manager.create("a"),
        lambda manager: manager.create_many([("a", {})]),
        lambda manager: manager.find("0198c0de-0000-7000-8000-000000000000"),
        lambda manager: manager.history("0198c0de-0000-7000-8000-000000000000"),
        lambda manager: manager.fetch_all(),
    ],
    ids=["create", "create_many", "find", "history", "fetch_all"],
)
def test_a_call_without_tables_names_schema_and_database_and_makes_no_tables(
    call: Callable[[JobManager], object], make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        call(make_manager())
    for words in (
        f'schema "{schema}"',
        f'database "{conn.info.dbname}"',
        "is missing",
        "run manager.migrate()",
        "start a worker",
    ):
        assert words in str(caught.value)
    assert conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchall() == []


def test_calls_work_before_start_and_after_stop(make_manager: MakeManager, manager: JobManager) -> None:
    before = manager.create("a")
    manager.set_handler("a", lambda job: "done")
    manager.start()
    until(lambda: status(manager, before) == "completed")
    manager.stop()
    after = manager.create("a")
    assert status(manager, after) == "pending"
    assert manager.fetch_all() == [after, manager.find(before)]
    assert status(make_manager(), after) == "pending"  # a process that never starts


# -- stop ---------------------------------------------------------------------------------------------------------------


def test_stop_before_start_reports_that_there_was_nothing_to_stop(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.request_stop()
    assert manager.stop() == StopReport(complete=True, still_running=(), returned=0, unsettled=0, untold=0, seconds=0.0)
    assert manager.stop(timeout=0).complete


def test_stop_waits_for_handlers_commits_their_outcomes_and_tells_the_listeners(manager: JobManager) -> None:
    told: list[tuple[str, object]] = []
    begun = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> str:
        begun.set()
        assert current_run().wait(100), "nobody stopped the manager"
        return "in time"

    manager.on_success("a", lambda job: told.append((status(manager, job), job.result)))
    job = manager.create("a")
    manager.start()
    assert begun.wait(10)
    report = manager.stop()
    assert told == [("completed", "in time")]
    assert status(manager, job) == "completed"
    assert report.complete
    assert report.still_running == ()
    assert (report.returned, report.unsettled, report.untold) == (0, 0, 0)
    assert report.seconds > 0
    again = manager.stop()
    assert again.complete
    assert again.still_running == ()


def test_stop_may_be_called_from_sixteen_threads_at_once(manager: JobManager, gate: Gate) -> None:
    @manager.handler("a")
    def handler(job: Job) -> None:
        gate.arrived.append(job)
        assert current_run().wait(100), "nobody stopped the manager"

    jobs = manager.create_many([("a", {})] * 2)
    manager.start(workers=2)
    until(lambda: len(gate.arrived) == 2)
    reports = in_threads(16, manager.stop)
    assert all(isinstance(report, StopReport) and report.complete for report in reports)
    assert {status(manager, job) for job in jobs} == {"completed"}


def test_stop_with_a_timeout_logs_where_a_handler_hangs_and_returns(
    manager: JobManager, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    manager.set_handler("a", gate.pass_through)
    job = manager.create("a", {"n": 7})
    manager.start(workers=2)
    until(lambda: gate.arrived)
    report = manager.stop(timeout=0.2)  # the handler has not returned when this has
    assert not report.complete
    assert [(one.uid, one.type, one.payload, one.status) for one in report.still_running] == [
        (job.uid, "a", {"n": 7}, Status.RUNNING)
    ]
    assert (report.returned, report.unsettled, report.untold) == (0, 0, 0)
    assert report.seconds >= 0.2
    # A thread of its own logs it, and stop() waits only for a moment until it has.
    (record,) = until(lambda: [record for record in caplog.records if "still running" in record.getMessage()])
    assert record.levelno == logging.WARNING
    assert record.job_uid == str(job.uid)
    assert record.job_type == "a"
    assert record.job_attempt == 1
    assert "in pass_through" in record.getMessage()
    assert "self.opened.wait()" in record.getMessage()

    assert status(manager, job) == "running"
    gate.open()  # the handler goes on in its thread, and its outcome is still written
    until(lambda: status(manager, job) == "completed")
    assert manager.stop().complete


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), (True, TypeError), ("1", TypeError)],
)
def test_stop_refuses_an_impossible_timeout(manager: JobManager, timeout: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout must be"):
        manager.stop(timeout)  # type: ignore[arg-type]


AHEAD = Tuning(claim_ahead=3600.0, buffer_age=3600.0)
"""A claim brings many jobs, which stay in the buffer until they begin or the manager stops."""


def test_jobs_not_begun_are_given_back_at_once_though_a_handler_still_runs(
    make_manager: MakeManager, gate: Gate, conn: psycopg.Connection, schema: str
) -> None:
    def handler(job: Job) -> str:
        return gate.pass_through(job) if job.payload["n"] == 200 else "quick"

    # The manager learns from the quick jobs to claim ahead, and then the slow job holds up the worker.
    manager = make_manager(handlers={"a": handler}, _tuning=AHEAD)
    manager.migrate()
    jobs = manager.create_many([("a", {"n": n}) for n in range(1000)])
    manager.start(workers=1)
    until(lambda: gate.arrived)
    report = manager.stop(timeout=0)
    assert not report.complete

    held = "select from {}.job where status = 'running'"
    until(lambda: len(table(conn, schema, held)) == 1)
    assert status(manager, jobs[200]) == "running"
    rest = "select attempts, process_id, claimed_at from {}.job where status = 'pending'"
    assert table(conn, schema, rest) == [(0, None, None)] * 799
    done = "select count(*) from {}.job where status = 'completed'"
    assert table(conn, schema, done) == [(200,)]

    gate.open()
    report = manager.stop()
    assert report.complete
    assert 0 < report.returned < 800
    assert table(conn, schema, "select max(lease_no) from {}.job") == [(2,)]  # claimed and given back


class HoldThread(logging.Filter):
    """A filter that holds up the thread of this name when it logs anything."""

    def __init__(self, name: str, gate: Gate) -> None:
        super().__init__()
        self._thread_name = name
        self._gate = gate
        self.holds = threading.Event()

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.current_thread().name == self._thread_name:
            self.holds.set()
            self._gate.opened.wait()
        return True


def raise_in_thread(name: str, earlier: list[threading.Thread]) -> None:
    """Raise an exception in the thread of this name, so that it logs that it broke off. `earlier`: threads of other managers,
    which may still be ending."""
    (thread,) = (thread for thread in threading.enumerate() if thread.name == name and thread not in earlier)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(RuntimeError))


def test_after_request_stop_nothing_is_claimed_though_the_stop_is_not_carried_out(
    make_manager: MakeManager, gate: Gate
) -> None:
    """The thread that calls request_stop ends the claiming. The rest is done by a thread that this test holds up."""
    tuning = Tuning(buffer_age=0.04)  # the thread has something to do every 10 ms, and meets the exception then
    manager = make_manager(handlers={"a": lambda job: None}, poll_interval=3600, _tuning=tuning)
    earlier = threading.enumerate()
    manager.start(workers=1)
    hold = HoldThread("steve-maintenance", gate)
    logger = logging.getLogger("steve")
    logger.addFilter(hold)
    try:
        raise_in_thread("steve-maintenance", earlier)
        assert hold.holds.wait(30)
        other = make_manager(handlers={"b": lambda job: None}, poll_interval=3600)
        other.start(workers=1)
        until(lambda: manager.health().listening and other.health().listening)
        done = manager.create("a")
        until(lambda: status(manager, done) == "completed")
        claimer = manager._runner.engine().all_pools.all[0].parts.claimer
        until(lambda: manager.health().answered["claim"] > 0.5)
        until(lambda: claimer.claiming_since() is None and claimer.schedule.seconds_to_next() > 60)  # no claim is under way
        manager.request_stop()
        jobs = []
        for _ in range(3):  # where the other manager is notified, and finds its job, this one has been notified too
            jobs.append(manager.create("a"))
            heard = other.create("b")
            until(lambda heard=heard: status(other, heard) == "completed")
        assert [status(manager, job) for job in jobs] == ["pending"] * 3
    finally:
        gate.open()
        logger.removeFilter(hold)
    assert manager.stop().complete
    assert [status(manager, job) for job in jobs] == ["pending"] * 3


def test_an_outcome_that_waits_for_the_database_is_reported_as_unsettled(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    done = threading.Event()
    manager.set_handler("a", lambda job: done.set())
    job = manager.create("a")
    with conn.transaction():
        conn.execute(sql.SQL("lock table {}.attempt").format(sql.Identifier(schema)))
        manager.start()
        assert done.wait(30)
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())  # the settlement waits
        report = manager.stop(timeout=0.5)
    assert not report.complete
    assert report.still_running == ()
    assert report.unsettled == 1
    assert manager.stop().unsettled == 0
    assert status(manager, job) == "completed"


def test_events_that_listeners_were_not_told_of_are_reported_as_untold(manager: JobManager, gate: Gate) -> None:
    told: list[Job] = []

    def slow(job: Job) -> None:
        gate.pass_through(job)
        told.append(job)

    manager.set_handler("a", lambda job: None)
    manager.on_done("a", slow)
    jobs = manager.create_many([("a", {})] * 3)
    manager.start(workers=1)
    until(lambda: {status(manager, job) for job in jobs} == {"completed"} and gate.arrived)
    until(lambda: manager.health().oldest_unsettled == 0.0)  # the settler has read that they are, and has put the events
    report = manager.stop(timeout=0.5)
    assert not report.complete
    assert report.untold == 2  # the listener is being told of the first
    assert (report.unsettled, report.still_running) == (0, ())
    gate.open()
    report = manager.stop()
    assert report.complete
    assert report.untold == 0
    assert [job.uid for job in told] == [job.uid for job in jobs]


# -- if the system starts no more threads -------------------------------------------------------------------------------


def start_no_thread(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on no thread starts whose name begins so, as if the system refused the process more threads."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(name):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("loop", ["worker_1", "settler", "dispatcher", "maintenance", "scanner", "notifier"])
def test_a_start_that_gets_no_thread_raises_and_leaves_nothing_running(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str, loop: str
) -> None:
    manager = make_manager(handlers={"a": lambda job: "done"})
    manager.migrate()
    job = manager.create("a")
    before = set(threading.enumerate())
    with pytest.MonkeyPatch.context() as monkeypatch:
        start_no_thread(monkeypatch, f"steve-{loop}")
        with pytest.raises(RuntimeError, match="can't start new thread"):
            manager.start(workers=3)
    assert processes(conn, schema) == 0
    assert status(manager, job) == "pending"
    until(lambda: set(threading.enumerate()) <= before)
    manager.start()
    until(lambda: status(manager, job) == "completed")


def test_a_working_manager_starts_no_further_worker_threads(
    make_manager: MakeManager, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(handlers={"a": gate.pass_through})
    manager.start(workers=4)
    start_no_thread(monkeypatch, "steve-worker")
    manager.create_many([("a", {})] * 4)
    until(lambda: len(gate.arrived) == 4)


# -- start again --------------------------------------------------------------------------------------------------------


def test_a_stopped_manager_can_be_started_again(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: "done")
    for workers in (1, 3):
        manager.start(workers)
        job = manager.create("a")
        until(lambda job=job: status(manager, job) == "completed")
        assert manager.stop().complete


def test_a_manager_can_start_again_while_a_handler_of_the_earlier_start_runs(manager: JobManager, gate: Gate) -> None:
    manager.set_handler("hangs", gate.pass_through)
    manager.set_handler("a", lambda job: "done")
    hanging = manager.create("hangs")
    manager.start(workers=1)
    until(lambda: gate.arrived)
    assert not manager.stop(timeout=0).complete

    manager.start(workers=1)
    job = manager.create("a")
    until(lambda: status(manager, job) == "completed")
    assert status(manager, hanging) == "running"
    gate.open()
    until(lambda: status(manager, hanging) == "completed")
    assert [attempt.status for attempt in manager.history(hanging)] == ["success"]
    assert manager.stop().complete


def test_a_stop_that_ends_after_the_next_start_keeps_that_starts_on_done(manager: JobManager, gate: Gate) -> None:
    told: list[str] = []
    has_stopped = threading.Event()
    manager.set_handler("slow", gate.pass_through)
    manager.set_handler("a", lambda job: has_stopped.wait(60))
    manager.start(workers=1)
    manager.create("slow")
    until(lambda: gate.arrived)
    stopping = threading.Thread(target=manager.stop)
    stopping.start()
    until(lambda: not manager.health().running)
    manager.start(workers=1)
    manager.create("a", on_done=lambda job: told.append(job.type))
    gate.open()
    stopping.join(30)
    assert not stopping.is_alive()
    has_stopped.set()
    until(lambda: told == ["a"])


def test_stop_in_a_handler_of_an_earlier_start_does_not_wait_either(manager: JobManager, gate: Gate) -> None:
    reports: list[StopReport] = []
    let_go = threading.Event()

    def late(job: Job) -> None:
        gate.pass_through(job)
        reports.append(manager.stop(timeout=60))
        let_go.set()

    manager.set_handler("late", late)
    manager.set_handler("busy", lambda job: let_go.wait(100))
    manager.create("late")
    manager.start(workers=1)
    until(lambda: gate.arrived)
    manager.stop(timeout=0)

    manager.start(workers=1)
    busy = manager.create("busy")
    until(lambda: status(manager, busy) == "running")
    gate.open()
    (report,) = until(lambda: reports, timeout=90)
    assert report.seconds < 30
    assert not report.complete


# -- asking to stop -----------------------------------------------------------------------------------------------------


def test_stop_in_a_handler_does_not_wait_and_the_manager_ends_after_the_handler(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    reports: list[StopReport] = []
    manager.set_handler("a", lambda job: reports.append(manager.stop(timeout=60)))
    job = manager.create("a")
    manager.start()
    until(lambda: processes(conn, schema) == 0, timeout=90)
    (report,) = reports
    assert not report.complete
    assert report.seconds < 30
    assert status(manager, job) == "completed"
    assert manager.stop().complete


def test_stop_in_a_listener_does_not_wait_and_the_manager_ends_when_all_are_told(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    reports: list[StopReport] = []
    told: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done("a", lambda job: reports.append(manager.stop(timeout=60)))
    manager.on_done("a", told.append)
    job = manager.create("a")
    manager.start()
    until(lambda: processes(conn, schema) == 0, timeout=90)
    (report,) = reports
    assert not report.complete
    assert report.seconds < 30
    assert [one.uid for one in told] == [job.uid]
    assert manager.stop().complete


def test_request_stop_in_a_signal_handler_ends_the_manager(
    manager: JobManager, gate: Gate, conn: psycopg.Connection, schema: str
) -> None:
    manager.set_handler("a", gate.pass_through)
    job = manager.create("a")
    manager.start(workers=1)
    until(lambda: gate.arrived)
    returned = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        manager.request_stop()
        returned.set()

    before = signal.signal(signal.SIGUSR1, on_signal)
    try:
        # The signal may come in the middle of a log line. The workers need the lock of that log handler.
        for handler in logging.getLogger().handlers:
            handler.acquire()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert returned.wait(30)
        for handler in logging.getLogger().handlers:
            handler.release()
    finally:
        signal.signal(signal.SIGUSR1, before)
    gate.open()
    until(lambda: processes(conn, schema) == 0)
    assert status(manager, job) == "completed"
    assert manager.stop().complete


@pytest.mark.parametrize("ask", ["request_stop", "stop"])
def test_a_manager_that_is_asked_to_stop_while_it_starts_stops(
    ask: str, make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None)
    manager.migrate()
    with conn.transaction():
        conn.execute(f"lock table {schema}.process")  # which the start has to wait for
        starting = threading.Thread(target=manager.start)
        starting.start()
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())
        getattr(manager, ask)()
    starting.join(30)
    until(lambda: conn.execute(f"select from {schema}.process").fetchall() == [])
    job = manager.create("a")
    manager.start()  # the request was meant for the earlier start
    until(lambda: manager.find(job).status is Status.COMPLETED)


def test_after_request_stop_no_further_job_begins(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    begun: list[Job] = []

    def handler(job: Job) -> None:
        begun.append(job)
        assert current_run().wait(100), "nobody asked the manager to stop"

    manager.set_handler("a", handler)
    jobs = manager.create_many([("a", {})] * 2)
    manager.start(workers=1)
    until(lambda: begun)
    manager.request_stop()
    until(lambda: processes(conn, schema) == 0)
    assert [status(manager, job) for job in jobs] == ["completed", "pending"]
    assert [job.uid for job in begun] == [jobs[0].uid]


# -- with ---------------------------------------------------------------------------------------------------------------


def test_with_starts_and_stops(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    manager.set_handler("a", lambda job: "done")
    with manager as same:
        assert same is manager
        assert processes(conn, schema) == 1
        job = manager.create("a")
        until(lambda: status(manager, job) == "completed")
    assert processes(conn, schema) == 0


def test_with_stops_also_when_its_block_raises_and_passes_the_exception_on(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    with pytest.raises(ZeroDivisionError), manager:
        assert processes(conn, schema) == 1
        1 / 0  # noqa: B018
    assert processes(conn, schema) == 0


def test_stop_waits_for_the_handlers_of_earlier_starts_too(manager: JobManager, gate: Gate) -> None:
    manager.set_handler("a", gate.pass_through)
    manager.create("a")
    manager.start(workers=1)
    until(lambda: gate.arrived)
    manager.request_stop()
    manager.start(workers=1)
    report = manager.stop(timeout=0.2)
    assert (report.complete, len(report.still_running)) == (False, 1)
    gate.open()
    report = manager.stop()
    assert (report.complete, report.still_running) == (True, ())


def test_a_start_that_is_interrupted_after_it_registered_leaves_no_row(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "assemble":  # the last step of wiring; the process has its row
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            manager.start()
    finally:
        sys.setprofile(None)
    assert conn.execute(sql.SQL("select count(*) from {}.process").format(sql.Identifier(schema))).fetchone() == (0,)
    manager.start()
    assert manager.stop().complete
