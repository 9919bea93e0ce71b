"""Processes die, are stopped, starve and lose their connections: the jobs of dead processes run elsewhere, those of living ones
are left alone, and no outcome is written or told twice. The processes are real, and so is what happens to them.
"""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, Status, current_run, embedded
from steve._database.pool import POOL_MOST
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

PROGRAM = """
import logging, os, sys, threading, time
from steve import JobManager, current_run
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

manager = JobManager(sys.argv[1], schema=sys.argv[2], **eval(sys.argv[3]))
manager.on_done(None, lambda job: say("told", job.uid, job.status))
started = threading.Event()  # no handler says or does anything before the main thread has said so

@manager.handler("waits")
def waits(job):
    started.wait()
    say("begun", job.uid)
    sys.stdin.readline()
    return "by the first"

@manager.handler("watches")
def watches(job):
    started.wait()
    say("begun", job.uid)
    early = current_run().wait(60)
    say("woken", early, current_run().lost, current_run().stopping)
    return "by the first"

@manager.handler("kills")
def kills(job):
    started.wait()
    os._exit(1)

@manager.handler("quick")
def quick(job):
    started.wait()
    time.sleep(0.002)

@manager.handler("starves")
def starves(job):
    started.wait()
    say("begun", job.uid)
    began = time.monotonic()
    while time.monotonic() - began < job.payload["seconds"]:
        3 ** 2_000_000  # holds the interpreter's lock
    return "by the first"

manager.start(workers=int(sys.argv[4]))
say("started")
started.set()
threading.Event().wait()
"""


class Worker:
    """A process with a started manager."""

    def __init__(self, url: str, schema: str, keywords: dict[str, Any], workers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, schema, repr(keywords), str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def let_go(self) -> None:
        """Let its handler go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def send(self, signal: signal.Signals) -> None:
        os.kill(self.process.pid, signal)

    def kill(self) -> list[str]:
        """Kill it. Returns the lines that it has printed and that were not read."""
        self.process.kill()
        return self.process.communicate()[0].splitlines()


Begin = Callable[..., Worker]


@pytest.fixture
def begin(manager: JobManager, database_url: str, schema: str) -> Iterator[Begin]:
    """`begin(workers, **keywords)` starts a process at work. It is killed after the test."""
    workers: list[Worker] = []

    def begin(threads: int = 1, **keywords: Any) -> Worker:
        workers.append(Worker(database_url, schema, keywords, threads))
        assert workers[-1].read() == "started"
        return workers[-1]

    yield begin
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


@pytest.fixture
def settled_server(conn: psycopg.Connection) -> None:
    """The server has run for so long that processes may take others for dead."""
    until(lambda: conn.execute("select now() - pg_postmaster_start_time() > '15 s'").fetchone() == (True,), timeout=60)


def processes(conn: psycopg.Connection, schema: str) -> list[tuple[Any, ...]]:
    query = sql.SQL("select id, locked, suspected_at from {}.process order by id").format(sql.Identifier(schema))
    return conn.execute(query).fetchall()


def history(manager: JobManager, job: Job) -> list[str]:
    return [str(attempt.status) for attempt in manager.history(job)]


# -- dead -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settled_server")
def test_the_job_of_a_killed_process_runs_elsewhere_long_before_its_lease_is_over(
    begin: Begin, manager: JobManager, conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the default settings."""
    job = manager.create("waits")
    first = begin()
    assert first.read() == f"begun {job.uid}"
    ran: list[tuple[int, int]] = []
    manager.set_handler("waits", lambda job: ran.append((job.attempts, job.crashes)))
    manager.start()
    name = manager.find(job)
    old_enough = sql.SQL("select bool_and(heartbeat_at > started_at + interval '5 s') from {}.process")
    # A process that has just connected judges no other.
    until(lambda: conn.execute(old_enough.format(sql.Identifier(schema))).fetchone() == (True,))
    first.kill()
    killed = time.monotonic()
    until(lambda: ran, timeout=60)
    assert time.monotonic() - killed < 30  # half of a lease, which is what it would take to wait for it
    assert ran == [(2, 1)]
    until(lambda: manager.find(job).status == "completed")
    crashed, success = manager.history(job)
    assert (crashed.status, crashed.number, success.status, success.number) == ("crashed", 1, "success", 2)
    assert crashed.process.endswith(f":{first.process.pid}")
    assert name is not None
    assert crashed.started_at == name.claimed_at
    assert crashed.error_message == f"ProcessCrashed: process {crashed.process} died while it held the job"
    assert f"process {crashed.process} died: of its jobs 1 are pending again, 0 failed" in caplog.text
    until(lambda: len(processes(conn, schema)) == 1)
    manager.stop()
    assert processes(conn, schema) == []


@pytest.mark.usefixtures("settled_server")
def test_a_job_that_kills_its_process_fails_and_its_neighbours_complete(begin: Begin, manager: JobManager) -> None:
    told: list[tuple[UUID, str, str]] = []
    manager.on_failure("kills", lambda job: told.append((job.uid, job.status, job.error or "")))
    manager.on_attempt("kills", lambda job, attempt: told.append((job.uid, job.status, attempt.status)))
    quick = manager.create_many([("quick", None)] * 200)
    poison = manager.create("kills", priority=1)
    quick += manager.create_many([("quick", None)] * 200)
    manager.set_handler("other", print)
    manager.start()  # rescues, and runs none of these
    deaths = 0
    worker = begin(2)

    def over() -> bool:
        nonlocal worker, deaths
        if worker.process.poll() is not None:
            deaths += 1
            worker = begin(2)
        return len(manager.fetch_all(Status.COMPLETED, limit=1000)) + len(manager.fetch_all(Status.FAILED)) == 401

    until(over, timeout=120)
    assert deaths == 3
    found = manager.find(poison)
    assert found is not None
    assert (found.status, found.attempts, found.crashes) == ("failed", 3, 3)
    assert found.error is not None
    assert re.fullmatch(
        r"ProcessCrashed: process \S+ died while it held the job; it is given up: 3 processes died while they held it",
        found.error,
    )
    assert history(manager, poison) == ["crashed"] * 3
    assert [job.uid for job in manager.fetch_all(Status.FAILED)] == [poison.uid]
    # Told once, by the process that rescued it last: this one, or the one that was started then.
    last = manager.create("quick")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(iter(worker.read, "")))
    reader.start()
    until(lambda: len(told) == 2 or f"told {poison.uid} failed" in heard)
    until(lambda: f"told {last.uid} completed" in heard)
    worker.process.kill()
    reader.join()
    if not told:
        assert heard.count(f"told {poison.uid} failed") == 1
    else:
        assert f"told {poison.uid} failed" not in heard
        assert sorted(told) == sorted([(poison.uid, "failed", "crashed"), (poison.uid, "failed", found.error)])


def test_a_terminated_heartbeat_costs_nothing(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    conninfo = make_conninfo(database_url, application_name=f"{APPLICATION} b")
    never = Tuning(look_interval=60.0)  # the next beat would come after twenty seconds
    manager = make_manager(conninfo, lambda job: current_run().wait(60), heartbeat=20.0, _tuning=never)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status == "running")
    until(lambda: [locked for _, locked, _ in processes(conn, schema)] == [True])
    query = """select pid from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and application_name = %s"""
    (before,) = conn.execute(query, [f"{APPLICATION} b"]).fetchall()
    for _ in range(3):
        (pid,) = until(lambda: conn.execute(query, [f"{APPLICATION} b"]).fetchone())
        conn.execute("select pg_terminate_backend(%s)", [pid])
        began = time.monotonic()
        until(lambda pid=pid: conn.execute(query, [f"{APPLICATION} b"]).fetchone() not in (None, (pid,)))
        assert time.monotonic() - began < 12
    assert before != conn.execute(query, [f"{APPLICATION} b"]).fetchone()
    assert manager.stop(timeout=60).complete
    assert history(manager, job) == ["success"]


def test_it_beats_while_callers_hold_every_connection_of_the_pool(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    """Handlers that keep connections busy must not look like a process that is dead."""
    manager = make_manager(heartbeat=0.1)
    manager.start()
    job = manager.create("a")
    callers = [threading.Thread(target=manager.find, args=(job,)) for _ in range(POOL_MOST)]
    query = sql.SQL("select heartbeat_at from {}.process").format(sql.Identifier(schema))
    beats: set[Any] = set()
    with conn.transaction():
        conn.execute(sql.SQL("lock table {}.job").format(sql.Identifier(schema)))
        for caller in callers:
            caller.start()
        waiting = "select from pg_locks where not granted and mode = 'AccessShareLock'"
        until(lambda: len(conn.execute(waiting).fetchall()) >= POOL_MOST)
        until(lambda: beats.update(conn.execute(query).fetchall()) or len(beats) >= 3)
    for caller in callers:
        caller.join()


# -- stalled --------------------------------------------------------------------------------------------------------------

FAST = {"lease": 1.5, "heartbeat": 0.3}


def test_the_late_outcome_of_a_stopped_process_is_dropped_and_not_told(
    begin: Begin, make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    second = make_manager(**FAST)
    told: list[str] = []
    second.on_done(None, lambda job: told.append(job.result))
    job = second.create("watches")
    first = begin(**FAST)
    assert first.read() == f"begun {job.uid}"
    second.set_handler("watches", lambda job: "by the second")
    second.start()
    first.send(signal.SIGSTOP)
    until(lambda: told == ["by the second"], timeout=60)
    first.send(signal.SIGCONT)
    assert first.read() == "woken True True False"  # because it lost the job, long before its minute is over
    until(lambda: [suspected for *_, suspected in processes(conn, schema)] == [None, None])  # it is alive again
    again = second.create("quick")  # and works: what it settles now comes after what it settled before
    second.set_handler("watches", None)
    until(lambda: second.find(again).status == "completed")
    until(lambda: first.read() == f"told {again.uid} completed")
    found = second.find(job)
    assert (found.status, found.result, found.attempts, found.crashes) == ("completed", "by the second", 2, 1)
    assert history(second, job) == ["crashed", "success"]
    assert "gave no sign of life" in (second.history(job)[0].error_message or "")
    assert first.kill() == []
    assert told == ["by the second"]


def test_a_handler_that_starves_the_heartbeat_for_less_than_the_lease_keeps_its_job(
    begin: Begin, make_manager: Callable[..., JobManager]
) -> None:
    second = make_manager(lease=20.0, heartbeat=0.3)
    ran: list[UUID] = []
    second.set_handler("starves", lambda job: ran.append(job.uid))
    job = second.create("starves", {"seconds": 3})
    first = begin(lease=20.0, heartbeat=0.3)
    assert first.read() == f"begun {job.uid}"
    second.start()
    until(lambda: second.find(job).status == "completed", timeout=60)
    assert ran == []
    assert history(second, job) == ["success"]


def test_a_restart_of_the_server_makes_no_process_look_dead(
    server: embedded.Server, make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture
) -> None:
    """Down for longer than the lease. Only the pause after a restart of the server protects them."""
    lease = 6.0  # when the pause is over, none of them may be silent for so long, even on a machine that is busy
    managers = [make_manager(server.conninfo, lambda job: current_run().wait(90), lease=lease, heartbeat=0.3) for _ in range(3)]
    for manager in managers:
        manager.start(workers=1)
    jobs = managers[0].create_many([("a", None)] * 3)
    until(lambda: len(managers[0].fetch_all(Status.RUNNING)) == 3)
    server.stop("immediate")
    try:
        until(lambda: all((manager.health().heartbeat_age or 0.0) > lease + 1.0 for manager in managers))
    finally:
        server.start()
    until(lambda: caplog.text.count("the database is back after") >= 3, timeout=60)
    with psycopg.connect(server.conninfo) as observer:  # until they may take one another for dead again
        query = "select now() - pg_postmaster_start_time() > '18 s'"
        until(lambda: observer.execute(query).fetchone() == (True,) or observer.rollback(), timeout=60)
    for manager in managers:
        assert manager.stop(timeout=60).complete
    assert [history(managers[0], job) for job in jobs] == [["success"]] * 3
    assert "of its jobs" not in caplog.text


# -- rows -----------------------------------------------------------------------------------------------------------------


def test_a_heartbeat_that_finds_its_row_gone_inserts_it_again(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(**FAST)
    manager.start()
    until(lambda: [locked for _, locked, _ in processes(conn, schema)] == [True])
    before = processes(conn, schema)
    conn.execute(sql.SQL("delete from {}.process").format(sql.Identifier(schema)))
    until(lambda: processes(conn, schema) == before)
    manager.stop()
    assert processes(conn, schema) == []


def test_jobs_of_a_process_without_a_row_are_rescued_after_two_leases(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None, **FAST)
    manager.migrate()
    job = manager.create("a")
    held = "update {}.job set status = 'running', process_id = 4711, claimed_at = now(), attempts = 1, lease_no = 1"
    conn.execute(sql.SQL(held).format(sql.Identifier(schema)))
    began = time.monotonic()
    manager.start()
    until(lambda: manager.find(job).status == "completed", timeout=60)
    assert time.monotonic() - began >= FAST["lease"]
    assert history(manager, job) == ["crashed", "success"]


def test_a_process_whose_handlers_outlive_stop_beats_on(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    """As seen by another process, which takes one that does not beat for stalled, and again a lease later."""
    gate = threading.Event()
    tuning = Tuning(observer_age=0.0, server_age=0.0)
    # Two leases of the silent one are longer than one of the manager, which no busy machine exceeds.
    manager = make_manager(handler=lambda job: gate.wait(100), lease=6.0, heartbeat=0.3)
    other = make_manager(handler=lambda job: None, **FAST, _tuning=tuning)
    manager.start(workers=1)
    job = manager.create("a")
    until(lambda: manager.find(job).status == "running")
    silent = "insert into {}.process (id, name, version, lease) values (7, 'silent', '', %s)"
    conn.execute(sql.SQL(silent).format(sql.Identifier(schema)), [4.0])
    suspicions = sql.SQL("select suspected_at from {}.process where name = 'silent' and suspected_at is not null")
    seen: set[Any] = set()
    try:
        assert not manager.stop(timeout=0.1).complete
        other.start()
        until(lambda: seen.update(conn.execute(suspicions.format(sql.Identifier(schema))).fetchall()) or len(seen) == 2, 60)
        assert manager.find(job).status == "running"
    finally:
        gate.set()
    assert manager.stop(timeout=60).complete
    assert history(manager, job) == ["success"]
    assert len(processes(conn, schema)) == 2  # the other and the silent one


# -- crashed jobs ---------------------------------------------------------------------------------------------------------


def crash(conn: psycopg.Connection, schema: str, jobs: list[Job], crashes: int) -> None:
    """Make these jobs what a rescue leaves behind."""
    query = sql.SQL("update {}.job set attempts = %s, crashes = %s where uid = any(%s)").format(sql.Identifier(schema))
    conn.execute(query, [crashes, crashes, [job.uid for job in jobs]])


def test_a_job_on_its_last_chance_runs_alone(make_manager: Callable[..., JobManager], database_url: str, schema: str) -> None:
    running: set[UUID] = set()
    beside: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def handler(job: Job) -> None:
        running.add(job.uid)
        beside[job.crashes].append(len(running))
        time.sleep(0.02)
        beside[job.crashes].append(len(running))
        running.remove(job.uid)

    manager = make_manager(handler=handler)
    manager.start(workers=8)
    manager.create_many([("a", None)] * 150)
    until(lambda: beside[0])  # these run when the others come
    with psycopg.connect(database_url) as connection:
        jobs = manager.create_many([("a", None)] * 150, connection=connection)
        crash(connection, schema, jobs[::50], 2)
        crash(connection, schema, jobs[25::50], 1)
    until(lambda: len(manager.fetch_all(Status.COMPLETED, limit=1000)) == 300, timeout=60)
    assert beside[2] == [1] * 6
    assert len(beside[1]) == 6
    assert max(beside[0]) > 1


def test_many_crashed_jobs_do_not_wait_for_the_poll(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(handler=lambda job: None, poll_interval=600)
    manager.migrate()
    crash(conn, schema, manager.create_many([("a", None)] * 500), 1)
    manager.start(workers=2)
    until(lambda: len(manager.fetch_all(Status.COMPLETED, limit=1000)) == 500, timeout=60)


def test_a_crash_spends_no_attempt(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "steve")

    def fail(job: Job) -> None:
        raise RuntimeError("no")

    manager = make_manager(handler=fail)
    manager.migrate()
    jobs = [manager.create("a", max_attempts=2, backoff_strategy="none") for _ in range(2)]
    crash(conn, schema, jobs[:1], 1)
    manager.start()
    until(lambda: len(manager.fetch_all(Status.FAILED)) == 2)
    assert [manager.find(job).attempts for job in jobs] == [3, 2]


def test_the_row_of_a_process_that_died_behind_a_pooler_is_deleted(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    """It never had a session of its own whose end would show its death. A silence of ten leases shows it."""
    manager = make_manager(handler=lambda job: None, lease=0.3, heartbeat=0.1)
    manager.migrate()
    conn.execute(
        f"insert into {schema}.process (id, name, version, lease, locked, heartbeat_at)"
        " values (7, 'gone:1', '0', 0.3, false, now() - interval '1 hour')"
    )
    manager.start()
    until(lambda: conn.execute(f"select name from {schema}.process where name = 'gone:1'").fetchall() == [], timeout=60)
    assert manager.stop().complete


def test_a_job_whose_outcome_the_server_forgot_in_a_crash_runs_again(
    server: embedded.Server, make_manager: Callable[..., JobManager], schema: str
) -> None:
    """As under synchronous_commit = off, or when a standby that lagged is promoted: the claim is there, the outcome is not."""
    ran: list[UUID] = []
    manager = make_manager(server.conninfo, lambda job: ran.append(job.uid), **FAST)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status is Status.COMPLETED)
    with psycopg.connect(server.conninfo) as there:
        there.execute(
            f"update {schema}.job set status = 'running', result = null, completed_at = null, process = null,"
            f" claimed_at = now() - interval '1 s', process_id = (select id from {schema}.process)"
        )
    server.stop("immediate")
    server.start()
    until(lambda: ran == [job.uid, job.uid], timeout=60)
    until(lambda: manager.find(job).status is Status.COMPLETED)
    assert manager.stop().complete
    assert history(manager, job) == ["crashed", "success"], "every extra run has a line that says why"
