"""A manager's working life: start, stop, request_stop, `with`; what a StopReport says; what needs which tables.

`run()` and programs that forget to stop have files of their own: test_run.py, test_exit.py.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, SchemaError, Status, StopReport, Unavailable, current_run
from tests.conftest import APPLICATION, until

MakeManager = Callable[..., JobManager]


class Gate:
    """A handler that waits in `pass_through` until the test opens it, and tells how many stand before it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.arrived: list[Job] = []

    def pass_through(self, job: Job) -> str:
        self.arrived.append(job)
        self._open.wait()
        return "through"

    def open(self) -> None:
        self._open.set()


class Meter:
    """A handler that measures how many of it run at the same time. `together`: so many wait for one another."""

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
        self._together.wait(3)
        time.sleep(0.002)  # some work, for others to overlap with
        with self._lock:
            self._now -= 1


@pytest.fixture
def gate(make_manager: MakeManager) -> Iterator[Gate]:
    """Opened before the managers are stopped, whatever became of the test."""
    gate = Gate()
    yield gate
    gate.open()


def table(conn: psycopg.Connection, schema: str, query: str) -> list[tuple]:
    """The rows of a query in which {} stands for the schema."""
    return conn.execute(sql.SQL(query).format(sql.Identifier(schema))).fetchall()


def processes(conn: psycopg.Connection, schema: str) -> int:
    """How many started managers have not come to their end."""
    return len(table(conn, schema, "select from {}.process"))


def status(manager: JobManager, job: Job) -> Status | str:
    found = manager.find(job)
    assert found is not None
    return found.status


def in_threads(number: int, call: Callable[[], object]) -> list[object]:
    """What `call` returned in so many threads that begin at the same moment."""
    ready = threading.Barrier(number)

    def one() -> object:
        ready.wait(10)
        return call()

    with ThreadPoolExecutor(number) as pool:
        return [future.result(30) for future in [pool.submit(one) for _ in range(number)]]


# -- start --------------------------------------------------------------------------------------------------------------


def test_start_makes_the_tables_where_there_are_none(make_manager: MakeManager, gate: Gate) -> None:
    manager = make_manager(handlers={"a": lambda job: {"n": job.payload["n"]}})
    manager.start()
    job = manager.create("a", {"n": 1})
    until(lambda: status(manager, job) == "completed")
    assert manager.find(job).result == {"n": 1}


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_so_many_workers_run_so_many_jobs_at_a_time_and_not_more(
    make_manager: MakeManager, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An idle worker must hear of the jobs that another has claimed: not come upon them when its wait is over, nor get them
    # by the poll after they were given back for having lain too long.
    monkeypatch.setattr("steve._engine.work.pool.IDLE_SECONDS", 60.0)
    monkeypatch.setattr("steve._engine.engine.HAND_AGE", 60.0)
    meter = Meter(together=workers)
    manager = make_manager(handlers={"a": meter}, poll_interval=3600)
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


def test_started_by_many_threads_at_once_it_starts_once(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
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
        ("2", TypeError),
        (1.0, TypeError),
        (None, TypeError),
    ],
)
def test_a_number_of_workers_that_is_none_is_refused(manager: JobManager, workers: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="workers must be"):
        manager.start(workers)  # type: ignore[arg-type]
    assert manager.stop() == StopReport(complete=True)


def test_while_it_works_it_keeps_four_connections_however_many_workers(
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


def test_start_on_a_port_where_nobody_listens_raises_unavailable_at_once(make_manager: MakeManager) -> None:
    manager = make_manager("host=127.0.0.1 port=1 user=ada password=sesame dbname=shop")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as caught:
        manager.start()
    assert time.monotonic() - began < 5
    assert "sesame" not in str(caught.value)
    assert manager.stop().complete


# -- the tables ---------------------------------------------------------------------------------------------------------


def test_start_without_migrating_says_what_to_do_where_the_tables_are_missing(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager()
    with pytest.raises(SchemaError, match="is missing") as caught:
        manager.start(migrate=False)
    for word in (f'"{schema}"', f'"{conn.info.dbname}"', "manager.migrate()", "python -m steve migrate"):
        assert word in str(caught.value)
    assert conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchall() == []

    manager.migrate()
    manager.start(migrate=False)  # the failed start has left nothing that stands in the way
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
def test_a_call_without_tables_names_schema_and_database_and_makes_none(
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


def test_stop_before_start_reports_that_nothing_was_there_to_stop(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.request_stop()
    assert manager.stop() == StopReport(complete=True, still_running=(), returned=0, unsettled=0, untold=0, seconds=0.0)
    assert manager.stop(timeout=0).complete


def test_stop_waits_for_running_handlers_commits_what_they_did_and_tells_the_listeners(manager: JobManager) -> None:
    told: list[tuple[str, object]] = []
    begun = threading.Event()

    @manager.handler("a")
    def handler(job: Job) -> str:
        begun.set()
        assert current_run().wait(30), "nobody stopped the manager"
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
    assert 0 < report.seconds < 30
    again = manager.stop()
    assert again.complete
    assert again.still_running == ()


def test_stop_may_be_called_from_sixteen_threads_at_once(manager: JobManager, gate: Gate) -> None:
    @manager.handler("a")
    def handler(job: Job) -> None:
        gate.arrived.append(job)
        current_run().wait(30)

    jobs = manager.create_many([("a", {})] * 2)
    manager.start(workers=2)
    until(lambda: len(gate.arrived) == 2)
    reports = in_threads(16, manager.stop)
    assert all(isinstance(report, StopReport) and report.complete for report in reports)
    assert {status(manager, job) for job in jobs} == {"completed"}


def test_stop_with_a_timeout_returns_in_time_and_logs_where_the_handler_hangs(
    manager: JobManager, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    manager.set_handler("a", gate.pass_through)
    job = manager.create("a", {"n": 7})
    manager.start(workers=2)
    until(lambda: gate.arrived)
    began = time.monotonic()
    report = manager.stop(timeout=0.2)
    assert time.monotonic() - began < 5
    assert not report.complete
    assert [(one.uid, one.type, one.payload, one.status) for one in report.still_running] == [
        (job.uid, "a", {"n": 7}, Status.RUNNING)
    ]
    assert (report.returned, report.unsettled, report.untold) == (0, 0, 0)
    assert 0.2 <= report.seconds < 5
    (record,) = (record for record in caplog.records if "still running" in record.getMessage())
    assert record.levelno == logging.WARNING
    assert record.job_uid == str(job.uid)
    assert record.job_type == "a"
    assert record.job_attempt == 1
    assert "in pass_through" in record.getMessage()
    assert "self._open.wait()" in record.getMessage()

    assert status(manager, job) == "running"
    gate.open()  # the handler goes on in its thread, and what it did is still written down
    until(lambda: status(manager, job) == "completed")
    assert manager.stop().complete


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), (True, TypeError), ("1", TypeError)],
)
def test_a_timeout_that_is_none_is_refused(manager: JobManager, timeout: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout must be"):
        manager.stop(timeout)  # type: ignore[arg-type]


def test_jobs_not_begun_are_given_back_at_once_though_a_handler_still_runs(
    manager: JobManager, gate: Gate, conn: psycopg.Connection, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.engine.HAND_AGE", 60.0)  # not because they have lain there for long

    def handler(job: Job) -> str:
        return gate.pass_through(job) if job.payload["n"] == 200 else "quick"

    # quick ones first: then the manager claims ahead what it will soon begin, and the slow one stands in front of that
    manager.set_handler("a", handler)
    jobs = manager.create_many([("a", {"n": n}) for n in range(1000)])
    manager.start(workers=1)
    until(lambda: gate.arrived)
    report = manager.stop(timeout=0)
    assert not report.complete

    in_hand = "select from {}.job where status = 'running'"
    until(lambda: len(table(conn, schema, in_hand)) == 1)
    assert status(manager, jobs[200]) == "running"
    rest = "select attempts, process_id, claimed_at from {}.job where status = 'pending'"
    assert table(conn, schema, rest) == [(0, None, None)] * 799
    log = "select count(*) from {}.attempt"
    assert table(conn, schema, log) == [(200,)]

    gate.open()
    report = manager.stop()
    assert report.complete
    assert 0 < report.returned < 800
    assert table(conn, schema, "select max(lease_no) from {}.job") == [(2,)]  # claimed and given back


def test_jobs_not_begun_are_given_back_at_once_though_a_slow_scan_is_under_way(
    manager: JobManager, gate: Gate, conn: psycopg.Connection, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.engine.HAND_AGE", 60.0)
    monkeypatch.setattr(
        "steve._engine.claim.watermarks.SLOW_SCAN", -1.0
    )  # whatever they take, scans are left to the other thread
    claim, scanning = manager._store.claim_jobs, threading.Event()

    def slow(*arguments: object) -> object:
        if threading.current_thread().name == "steve-scanner" and gate.arrived:
            scanning.set()
            gate.pass_through(gate.arrived[0])
        return claim(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(manager._store, "claim_jobs", slow)
    manager.set_handler("a", lambda job: gate.pass_through(job) if job.payload["n"] == 200 else "quick")
    manager.start(workers=1)
    until(lambda: manager.health().listening)  # who begins to listen has a scan begin anew, and nothing counts as slow
    manager.create_many([("a", {"n": n}) for n in range(1000)])
    assert scanning.wait(10)
    until(lambda: len(table(conn, schema, "select from {}.job where status = 'running'")) > 1)
    manager.request_stop()
    until(lambda: len(table(conn, schema, "select from {}.job where status = 'running'")) == 1)
    gate.open()
    assert manager.stop().complete
    assert table(conn, schema, "select from {}.job where status = 'running'") == []


def test_from_the_request_on_nothing_is_claimed_whatever_the_managers_threads_do(
    manager: JobManager, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the calling thread that sees to it, with what a signal handler may do."""
    monkeypatch.setattr("steve._engine.engine.HAND_AGE", 0.04)
    manager.set_handler("a", lambda job: None)
    manager.start(workers=1)
    (engine,) = manager._engines
    held = threading.Event()

    def hold(older_than: float = 0.0) -> int:
        held.set()
        gate._open.wait(30)
        return 0

    monkeypatch.setattr(engine._hand, "give_back", hold)
    assert held.wait(10)
    manager.request_stop()
    with engine._hand._claiming:  # a claim that was under way has ended
        pass
    job = manager.create("a")
    other = manager.create("a")  # a look would have been taken for the first by now
    assert engine._hand.refill(1) == 0
    assert [status(manager, one) for one in (job, other)] == ["pending"] * 2
    gate.open()
    manager.stop()
    assert [status(manager, one) for one in (job, other)] == ["pending"] * 2


def test_what_waits_for_the_database_is_reported_as_unsettled(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    done = threading.Event()
    manager.set_handler("a", lambda job: done.set())
    job = manager.create("a")
    with conn.transaction():
        conn.execute(sql.SQL("lock table {}.attempt").format(sql.Identifier(schema)))
        manager.start()
        assert done.wait(10)
        report = manager.stop(timeout=0.5)
    assert not report.complete
    assert report.still_running == ()
    assert report.unsettled == 1
    assert manager.stop().unsettled == 0
    assert status(manager, job) == "completed"


def test_what_listeners_have_not_heard_yet_is_reported_as_untold(manager: JobManager, gate: Gate) -> None:
    told: list[Job] = []

    def slow(job: Job) -> None:
        gate.pass_through(job)
        told.append(job)

    manager.set_handler("a", lambda job: None)
    manager.on_done("a", slow)
    jobs = manager.create_many([("a", {})] * 3)
    manager.start(workers=1)
    until(lambda: {status(manager, job) for job in jobs} == {"completed"} and gate.arrived)
    report = manager.stop(timeout=0.5)
    assert not report.complete
    assert report.untold == 2  # the first one is being told
    assert (report.unsettled, report.still_running) == (0, ())
    gate.open()
    report = manager.stop()
    assert report.complete
    assert report.untold == 0
    assert [job.uid for job in told] == [job.uid for job in jobs]


# -- where the system starts no more threads ----------------------------------------------------------------------------


def start_no_thread(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on a thread whose name begins so is refused, as where a process may have no more."""
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


def test_a_manager_that_works_needs_no_further_thread(
    make_manager: MakeManager, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(handlers={"a": gate.pass_through})
    manager.start(workers=4)
    start_no_thread(monkeypatch, "steve-worker")
    manager.create_many([("a", {})] * 4)
    until(lambda: len(gate.arrived) == 4)


# -- start again --------------------------------------------------------------------------------------------------------


def test_it_can_be_started_again_after_it_was_stopped(manager: JobManager) -> None:
    manager.set_handler("a", lambda job: "done")
    for workers in (1, 3):
        manager.start(workers)
        job = manager.create("a")
        until(lambda job=job: status(manager, job) == "completed")
        assert manager.stop().complete


def test_it_can_be_started_again_while_a_handler_of_before_still_runs(manager: JobManager, gate: Gate) -> None:
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


def test_the_end_of_a_stop_leaves_alone_whom_a_later_start_is_to_tell(manager: JobManager, gate: Gate) -> None:
    told: list[str] = []
    manager.set_handler("slow", gate.pass_through)
    manager.set_handler("a", lambda job: None)
    manager.start(workers=1)
    manager.create("slow")
    until(lambda: gate.arrived)
    waiting = threading.Event()
    stopping = threading.Thread(target=lambda: (waiting.set(), manager.stop()))
    stopping.start()
    assert waiting.wait(10)
    until(lambda: manager._running_engine() is None)
    manager.start(workers=1)
    manager.create("a", on_done=lambda job: told.append(job.type), run_at=datetime.now(UTC) + timedelta(seconds=1))
    gate.open()
    stopping.join(10)
    until(lambda: told == ["a"])


def test_stop_in_a_handler_of_before_the_last_start_does_not_wait_either(manager: JobManager, gate: Gate) -> None:
    reports: list[StopReport] = []
    let_go = threading.Event()

    def late(job: Job) -> None:
        gate.pass_through(job)
        reports.append(manager.stop(timeout=3))
        let_go.set()

    manager.set_handler("late", late)
    manager.set_handler("busy", lambda job: let_go.wait(10))
    manager.create("late")
    manager.start(workers=1)
    until(lambda: gate.arrived)
    manager.stop(timeout=0)

    manager.start(workers=1)
    busy = manager.create("busy")
    until(lambda: status(manager, busy) == "running")
    gate.open()
    (report,) = until(lambda: reports)
    assert report.seconds < 3
    assert not report.complete


# -- asking to stop -----------------------------------------------------------------------------------------------------


def test_stop_in_a_handler_only_asks_and_the_manager_ends_when_the_handler_has(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    reports: list[StopReport] = []
    manager.set_handler("a", lambda job: reports.append(manager.stop(timeout=5)))
    job = manager.create("a")
    manager.start()
    until(lambda: processes(conn, schema) == 0)
    (report,) = reports
    assert not report.complete
    assert report.seconds < 5
    assert status(manager, job) == "completed"
    assert manager.stop().complete


def test_stop_in_a_listener_only_asks_and_the_manager_ends_when_all_are_told(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    reports: list[StopReport] = []
    told: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done("a", lambda job: reports.append(manager.stop(timeout=5)))
    manager.on_done("a", told.append)
    job = manager.create("a")
    manager.start()
    until(lambda: processes(conn, schema) == 0)
    (report,) = reports
    assert not report.complete
    assert report.seconds < 5
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
        # As it may come: in the middle of a log line, the lock of whose handler the workers need.
        for handler in logging.getLogger().handlers:
            handler.acquire()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert returned.wait(10)
        for handler in logging.getLogger().handlers:
            handler.release()
    finally:
        signal.signal(signal.SIGUSR1, before)
    gate.open()
    until(lambda: processes(conn, schema) == 0)
    assert status(manager, job) == "completed"
    assert manager.stop().complete


@pytest.mark.parametrize("ask", ["request_stop", "stop"])
def test_who_asks_for_the_end_while_it_starts_gets_it(
    ask: str, make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None)
    manager.migrate()
    with conn.transaction():
        conn.execute(f"lock table {schema}.process")  # which the start has to wait for
        starting = threading.Thread(target=manager.start)
        starting.start()
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())
        getattr(manager, ask)()
    starting.join(10)
    until(lambda: conn.execute(f"select from {schema}.process").fetchall() == [])
    job = manager.create("a")
    manager.start()  # the request was for the start before
    until(lambda: manager.find(job).status is Status.COMPLETED)


def test_from_the_request_on_nothing_more_is_begun(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    begun: list[Job] = []

    def handler(job: Job) -> None:
        begun.append(job)
        assert current_run().wait(30), "nobody asked the manager to stop"

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


def test_with_stops_also_when_its_block_raises_and_lets_that_pass(
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
