"""The database goes away under a working manager and comes back: what runs goes on, what was done lands, nothing is lost,
no attempt is spent, and the log stays short. The server really stops, and connections are really cut.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, Snooze, Status, embedded
from steve._database.failures import InDoubt
from tests.conftest import until

AWAY = "cannot use the database and will try again"
BACK = "the database is back after"


class Doors:
    """Handlers that have begun wait here until they are let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open = threading.Event()

    def pass_through(self, job: Job) -> dict[str, Any]:
        self.begun.append(job.id)
        self.open.wait(30)
        return {"n": job.payload.get("n")}


@pytest.fixture
def doors(make_manager: Callable[..., JobManager]) -> Iterator[Doors]:
    doors = Doors()
    yield doors
    doors.open.set()


@pytest.fixture
def up(server: embedded.Server, make_manager: Callable[..., JobManager]) -> Iterator[embedded.Server]:
    """The embedded server; it runs when the test ends and its managers are stopped, whatever became of it."""
    yield server
    try:
        psycopg.connect(server.conninfo).close()
    except psycopg.OperationalError:
        server.start()


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def counts(manager: JobManager, *statuses: Status) -> list[int]:
    return [len(manager.fetch_all(status, limit=10_000)) for status in statuses]


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if text in record.getMessage()]


def most_in_a_second(records: list[logging.LogRecord]) -> int:
    times = sorted(record.created for record in records)
    return max((sum(1 for other in times if at <= other < at + 1) for at in times), default=0)


def assert_each_ran_once(manager: JobManager, jobs: list[Job]) -> None:
    found = [manager.find(job) for job in jobs]
    assert [(job.status, job.attempts, job.crashes, job.result) for job in found if job] == [
        (Status.COMPLETED, 1, 0, {"n": job.payload.get("n")}) for job in jobs
    ]
    assert [[attempt.status for attempt in manager.history(job)] for job in jobs] == [["success"]] * len(jobs)


def test_what_runs_while_the_server_is_down_lands_when_it_is_back(
    up: embedded.Server,
    make_manager: Callable[..., JobManager],
    doors: Doors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = make_manager(make_conninfo(up.conninfo, application_name="outage"), doors.pass_through)
    told: list[int] = []
    manager.on_done(None, lambda job: told.append(job.id))
    manager.start(workers=4)
    jobs = manager.create_many([("a", {"n": n}) for n in range(8)])
    until(lambda: len(doors.begun) == 4)
    created: list[Job] = []
    creator = threading.Thread(target=lambda: created.append(manager.create("a", {"n": "created meanwhile"})))

    up.stop("immediate")  # as a crash
    creator.start()
    doors.open.set()  # the handlers end while the server is down, and two workers have nothing to do but try
    until(lambda: len(lines(caplog, " completed after ")) >= 4)
    until(lambda: len(lines(caplog, AWAY)) >= 2, timeout=15)  # the second comes a second later
    assert told == []
    assert creator.is_alive()
    assert lines(caplog, BACK) == []
    up.start()

    creator.join(20)
    jobs += created
    until(lambda: len(told) == 9, timeout=20)
    assert sorted(told) == [job.id for job in jobs]
    assert sorted(doors.begun) == sorted(told), "a job ran twice"
    assert_each_ran_once(manager, jobs)
    until(lambda: lines(caplog, BACK))
    assert manager.stop(timeout=20).complete

    assert len(lines(caplog, BACK)) == 1
    said = [record for record in caplog.records if record.name == "steve" and not hasattr(record, "job_uid")]
    assert most_in_a_second(said) <= 5
    assert {record.levelname for record in lines(caplog, AWAY) + lines(caplog, BACK)} == {"WARNING"}


def test_cutting_all_connections_again_and_again_loses_no_job_and_spends_no_attempt(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, doors: Doors, database_url: str, schema: str
) -> None:
    """Handlers run when the connections are cut; no claim is on its way, whose answer could be lost."""
    manager = make_manager(make_conninfo(database_url, application_name=f"cut {schema}"), doors.pass_through)
    manager.start(workers=4)
    jobs: list[Job] = []
    for total in (4, 8, 12, 16):
        doors.open.clear()
        jobs += [manager.create("a", {"n": n}) for n in range(4)]
        until(lambda total=total: len(doors.begun) == total)
        cut(conn, f"cut {schema}")
        doors.open.set()
        until(lambda total=total: counts(manager, Status.COMPLETED) == [total], timeout=20)
    assert sorted(doors.begun) == [job.id for job in jobs]
    assert_each_ran_once(manager, jobs)


def cut(conn: psycopg.Connection, application: str) -> int:
    """Ends all connections of that name; how many there were."""
    query = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = %s"
    row = conn.execute(query, [application]).fetchone()
    assert row is not None
    return int(row[0])


def test_cutting_connections_while_jobs_stream_through_loses_none(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Wherever the cut falls: into a claim, a settlement, a create or between them."""
    application = f"cut {schema}"
    manager = make_manager(make_conninfo(database_url, application_name=application), lambda job: None, poll_interval=0.2)
    told: list[int] = []
    manager.on_done(None, lambda job: told.append(job.id))
    manager.start(workers=4)
    jobs: list[Job] = []
    for _ in range(12):
        jobs += manager.create_many([("a", None)] * 300)
        cut(conn, application)
    until(lambda: counts(manager, Status.COMPLETED) == [len(jobs)], timeout=15)
    assert len(jobs) == 3600
    manager.stop()
    assert sorted(told) == [job.id for job in jobs]


def test_a_manager_that_stops_after_its_idle_connections_were_cut_leaves_no_process_behind(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Nothing has been settled since the cut, so that only the end of the process meets the broken connection."""
    manager = make_manager(make_conninfo(database_url, application_name=f"cut {schema}"), lambda job: None)
    manager.start()
    job = manager.create("a")
    until(lambda: (found := manager.find(job)) and found.status == Status.COMPLETED)
    assert cut(conn, f"cut {schema}") >= 3
    assert manager.stop().complete
    assert conn.execute(f"select count(*) from {schema}.process".encode()).fetchone() == (0,)


# -- a statement that was done, but its answer never came -----------------------------------------------------------------


def lose_answer(monkeypatch: pytest.MonkeyPatch, manager: JobManager, name: str) -> list[str]:
    """From now on the first statement of that name that does something is done, and the connection breaks before it says so.
    Returns where that is noted.
    """
    done = getattr(manager._store, name)
    lost: list[str] = []

    def do(connection: psycopg.Connection, *arguments: Any) -> Any:
        answer = done(connection, *arguments)
        if lost or not answer or answer == ([], None):
            return answer
        lost.append(name)
        connection.close()
        raise InDoubt("the connection is lost")

    monkeypatch.setattr(manager._store, name, do)
    return lost


@pytest.mark.parametrize("way", ["create", "create_many"])
def test_a_create_whose_answer_is_lost_stores_each_job_once(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    lost = lose_answer(monkeypatch, manager, "insert_job" if way == "create" else "insert_jobs")
    jobs = [manager.create("a", {"n": 1})] if way == "create" else manager.create_many([("a", {"n": n}) for n in range(20)])
    assert lost
    assert manager.fetch_all() == jobs[::-1]


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [("result", ["completed"]), ("retry", ["pending", "completed"]), ("failure", ["failed"]), ("snooze", ["completed"])],
)
def test_a_settlement_whose_answer_is_lost_is_told_once_and_logged_once(
    make_manager: Callable[..., JobManager],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    outcome: str,
    statuses: list[str],
) -> None:
    begun: list[int] = []

    def handler(job: Job) -> str:
        begun.append(job.attempts)
        if len(begun) == 1 and outcome == "snooze":
            raise Snooze(0)
        if outcome == "failure" or (len(begun) == 1 and outcome == "retry"):
            raise RuntimeError(outcome)
        return outcome

    manager = make_manager(handler=handler, poll_interval=0.3)
    told: list[str] = []
    manager.on_attempt(None, lambda job, attempt: told.append(job.status) if job.status != "running" else None)
    manager.start(workers=1)
    lost = lose_answer(monkeypatch, manager, "settle_jobs")
    job = manager.create("a", max_attempts=1 if outcome == "failure" else 2, backoff_strategy="none")
    until(lambda: len(told) == len(statuses))
    manager.stop()
    assert lost
    assert told == statuses
    assert [attempt.status for attempt in manager.history(job)] == [
        "success" if status == "completed" else "error" for status in statuses
    ]
    assert lines(caplog, "was taken from this process") == []


def test_a_claim_whose_answer_is_lost_loses_no_job(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process lives, so that nobody would rescue what it holds without knowing it."""
    manager = make_manager(handler=lambda job: None, poll_interval=0.2)
    manager.migrate()
    jobs = manager.create_many([("a", None)] * 20)
    lost = lose_answer(monkeypatch, manager, "claim_jobs")
    manager.start()
    until(lambda: counts(manager, Status.COMPLETED) == [20], timeout=5)
    assert lost
    assert {job.attempts for job in map(manager.find, jobs) if job} == {1}


def test_a_manager_that_stops_after_a_claim_whose_answer_is_lost_gives_its_jobs_back(
    make_manager: Callable[..., JobManager], monkeypatch: pytest.MonkeyPatch, conn: psycopg.Connection, schema: str
) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 30.0)  # the next claim would come late
    manager = make_manager(handler=lambda job: None)
    manager.migrate()
    manager.create_many([("a", None)] * 20)
    lost = lose_answer(monkeypatch, manager, "claim_jobs")
    manager.start()
    until(lambda: lost and counts(manager, Status.RUNNING) != [0])
    assert manager.stop(timeout=10).complete
    assert counts(manager, Status.PENDING) == [20]
    # If that claim is committed after all, whoever rescues must find who has its jobs.
    assert conn.execute(f"select count(*) from {schema}.process").fetchone() == (1,)


# -- a statement that fits its table no more ------------------------------------------------------------------------------


ANOTHERS = """
do $$ declare one text; begin
  for one in select name from pg_prepared_statements loop
    execute format('deallocate %I', one);
    execute format('prepare %I as select 1', one);
  end loop;
end $$"""
"""In the session of another connection, whose socket has the number that ours had before somebody closed it."""


@pytest.mark.parametrize(
    "change",
    ["alter table {}.job alter column priority type integer", "deallocate all", ANOTHERS],
    ids=["another type", "gone", "another's"],
)
def test_statements_that_were_prepared_for_a_table_as_it_was_are_prepared_anew(
    manager: JobManager, conn: psycopg.Connection, schema: str, change: str
) -> None:
    """By the loops and by the callers' connections."""
    manager.set_handler("a", lambda job: None)
    manager.start()
    for _ in range(10):  # psycopg prepares what it has sent five times
        job = manager.create("a")
        until(lambda job=job: manager.history(job))
    if change.startswith("alter"):
        conn.execute(change.format(schema))
    else:
        for line in (manager._engines[0]._lines.claim, manager._engines[0]._lines.settle):
            line.connection().pgconn.exec_(change.encode())  # psycopg does not hear of it
        pool = manager._connections._pool()
        with pool.connection() as one:
            one.pgconn.exec_(change.encode())
    job = manager.create("a")
    until(lambda: manager.history(job))
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.attempts) == (Status.COMPLETED, 1)


# -- for too long, and for another reason ---------------------------------------------------------------------------------


def test_a_manager_that_stops_while_the_database_is_away_gives_up_in_time_and_says_what_is_lost(
    up: embedded.Server, doors: Doors, schema: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.settle.settler.SETTLE_SECONDS", 0.5)
    monkeypatch.setattr("steve._engine.claim.buffer.PARTING_SECONDS", 0.1)
    manager = JobManager(up.conninfo, doors.pass_through, schema=schema)
    try:
        manager.start(workers=3)
        jobs = manager.create_many([("a", {"n": n}) for n in range(3)])
        until(lambda: len(doors.begun) == 3)
        up.stop()
        doors.open.set()
        before = time.monotonic()
        report = manager.stop(timeout=20)
        assert time.monotonic() - before < 10
        assert (report.complete, report.unsettled, report.still_running) == (False, 3, ())
        assert [record.levelname for record in lines(caplog, "did not take the outcome of 3 attempts: it is not recorded")] == [
            "ERROR"
        ]
        up.start()
        assert counts(manager, Status.RUNNING, Status.COMPLETED) == [3, 0]  # for a rescue
        assert [manager.history(job) for job in jobs] == [[], [], []]
    finally:
        doors.open.set()
        manager.stop()


def test_a_schema_that_is_dropped_under_a_working_manager_is_said_once_a_second_as_an_error(
    manager: JobManager,
    conn: psycopg.Connection,
    schema: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_MOST", 0.2)
    manager.set_handler("a", lambda job: None)
    manager.start()
    # One job first: a plan that is being made while the schema is renamed keeps its tables, which it holds by number.
    first = manager.create("a")
    until(lambda: manager.history(first))
    conn.execute(f"alter schema {schema} rename to {schema}_away")
    try:
        manager._handlers_changed()
        until(lambda: len(lines(caplog, AWAY)) >= 2)
    finally:
        conn.execute(f"alter schema {schema}_away rename to {schema}")
    until(lambda: lines(caplog, BACK))
    job = manager.create("a")
    until(lambda: manager.history(job))
    away = lines(caplog, AWAY)
    assert {record.levelname for record in away} == {"ERROR"}
    assert all(later.created - earlier.created >= 0.99 for earlier, later in pairwise(away))
    assert "UndefinedTable" in away[0].getMessage()
