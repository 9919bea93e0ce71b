"""`processes()`: what each process of the fleet says of itself with its heartbeats."""

import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, Process
from steve._model.tuning import Tuning
from tests.conftest import until

MakeManager = Callable[..., JobManager]

OFTEN: dict[str, Any] = {"lease": 60.0, "heartbeat": 0.1, "_tuning": Tuning(look_interval=0.05)}
"""Heartbeats come so often that a test can wait for them."""


@pytest.fixture
def worker(make_manager: MakeManager, manager: JobManager) -> JobManager:
    """Its heartbeats come often; it is not started yet."""
    return make_manager(**OFTEN)


def only(manager: JobManager) -> Process:
    (process,) = manager.processes()
    return process


def test_a_started_manager_is_seen_at_once_by_one_that_is_not_started(manager: JobManager, make_manager: MakeManager) -> None:
    assert manager.processes() == []
    worker = make_manager(handlers={"mail": lambda job: None, "report": lambda job: None}, queues=["a", "b"], max_crashes=7)
    worker.start(workers=3)
    process = only(manager)
    assert (process.name, process.host, process.pid) == (
        f"{socket.gethostname()}:{os.getpid()}",
        socket.gethostname(),
        os.getpid(),
    )
    assert (process.alive, process.quiet, process.stopping, process.problems) == (True, False, False, ())
    assert (process.workers, process.busy, set(process.types), process.any_type) == (3, 0, {"mail", "report"}, False)
    assert (process.max_crashes, process.lease, process.running, process.pace) == (7, 60.0, (), None)
    (pool,) = process.pools
    assert (pool.queues, pool.workers, pool.busy) == (("a", "b"), 3, 0)
    assert 0 <= process.heartbeat_age < 30
    assert process.started_at <= process.heartbeat_at
    worker.stop()
    assert manager.processes() == []


def test_what_runs_is_said_with_its_beginning(
    worker: JobManager, manager: JobManager, gate: threading.Event, conn: psycopg.Connection
) -> None:
    begun = threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        gate.wait()

    worker.set_handler("a", handler)
    worker.start(workers=2)
    before = conn.execute("select now()").fetchone()[0]
    job = manager.create("a")
    begun.wait()
    after = conn.execute("select now()").fetchone()[0]
    process = until(lambda: only(manager).running and only(manager))
    (running,) = process.running
    assert (running.uid, running.type) == (job.uid, "a")
    assert before <= running.begun
    # It is later by the time that the heartbeat was on its way, which is short for one of many.
    until(lambda: only(manager).running[0].begun <= after + timedelta(seconds=2))
    assert (process.workers, process.busy, process.not_shown) == (2, 1, 0)
    gate.set()
    until(lambda: not only(manager).running)
    until(lambda: only(manager).pace is not None)


def test_of_many_running_jobs_the_fifty_that_began_first_are_shown(
    worker: JobManager, manager: JobManager, gate: threading.Event
) -> None:
    begun: list[Job] = []

    def handler(job: Job) -> None:
        begun.append(job)
        gate.wait()

    worker.set_handler("a", handler)
    worker.start(workers=60)
    first = [manager.create("a") for _ in range(50)]
    until(lambda: len(begun) == 50)
    for _ in range(10):
        manager.create("a")
    process = until(lambda: only(manager).not_shown == 10 and only(manager))
    assert {running.uid for running in process.running} == {job.uid for job in first}
    assert process.busy == 60


def test_handlers_of_a_running_manager_are_said_with_the_next_heartbeat(worker: JobManager, manager: JobManager) -> None:
    worker.start()
    assert only(manager).types == ()
    worker.set_handler("new", lambda job: None)
    until(lambda: only(manager).types == ("new",))
    worker.reset_handlers()
    until(lambda: only(manager).types == ())


def test_a_manager_that_waits_for_its_last_handler_is_stopping(
    worker: JobManager, manager: JobManager, gate: threading.Event
) -> None:
    begun = threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        gate.wait()

    worker.set_handler("a", handler)
    worker.start()
    manager.create("a")
    begun.wait()
    worker.request_stop()
    until(lambda: only(manager).stopping)
    assert only(manager).busy == 1


def test_a_heartbeat_is_written_even_if_the_tables_refuse_what_the_process_says(
    worker: JobManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    worker.start()
    refuse = sql.SQL("alter table {}.process add check (not info->'types' @> '\"bad\"')").format(sql.Identifier(schema))
    conn.execute(refuse)
    worker.set_handler("bad", lambda job: None)
    at = only(manager).heartbeat_at
    for _ in range(2):
        at = until(lambda at=at: only(manager).heartbeat_at > at and only(manager).heartbeat_at)
    assert (only(manager).alive, only(manager).types) == (True, ())


@pytest.mark.parametrize("info", ["null", "[1]", '"x"', '{"pools": 3, "running": [[1]], "types": [7, "a"], "pace": "fast"}'])
def test_a_row_that_says_nonsense_is_shown_all_the_same(
    manager: JobManager, conn: psycopg.Connection, schema: str, info: str
) -> None:
    insert = sql.SQL("insert into {}.process (id, name, version, info) values (7, 'odd', '', %s)").format(
        sql.Identifier(schema)
    )
    conn.execute(insert, [info])
    assert manager.why(manager.create("any")).codes, "and why() reads it, too"
    process = only(manager)
    assert (process.name, process.host, process.pid, process.workers, process.running, process.pace) == (
        "odd",
        "",
        None,
        0,
        (),
        None,
    )


def test_a_process_without_heartbeats_for_its_lease_is_not_alive(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    insert = "insert into {}.process (id, name, version, heartbeat_at) values (7, 'host:9', '1', now() - interval '61 s')"
    conn.execute(sql.SQL(insert).format(sql.Identifier(schema)))
    assert (only(manager).alive, only(manager).pid, round(only(manager).heartbeat_age)) == (False, 9, 61)
