"""The database goes away under a working manager and comes back: handlers go on, their outcomes are written, no job is lost, no
attempt is spent, and the log stays short. The server really stops, and connections are really cut.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Attempt, Job, JobManager, Snooze, Status, embedded
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.conftest import until

LOOPS = ("claiming", "listening", "settling", "the heartbeat")

AWAY = "cannot use the database and will try again"
BACK = "the database is back after"


class Gate:
    """Handlers that have begun wait in `pass_through` while this is not open."""

    def __init__(self) -> None:
        self.begun: list[UUID] = []
        self.open = threading.Event()

    def pass_through(self, job: Job) -> dict[str, Any]:
        self.begun.append(job.uid)
        self.open.wait(100)
        return {"n": job.payload.get("n")}


@pytest.fixture
def gate(make_manager: Callable[..., JobManager]) -> Iterator[Gate]:
    """Open when the test ends, also when it fails."""
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def up(server: embedded.Server, make_manager: Callable[..., JobManager]) -> Iterator[embedded.Server]:
    """The embedded server. It runs again when the managers of the test are stopped, also when the test fails."""
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
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    conninfo = make_conninfo(up.conninfo, application_name="outage")
    tuning = Tuning(unhealthy_after=0.0)  # all loops that fail show at once
    manager = make_manager(conninfo, gate.pass_through, create_timeout=100, _tuning=tuning)
    told: list[UUID] = []
    manager.on_done(None, lambda job: told.append(job.uid))
    manager.start(workers=4)
    jobs = manager.create_many([("a", {"n": n}) for n in range(8)])
    until(lambda: len(gate.begun) == 4)
    created: list[Job] = []
    creator = threading.Thread(target=lambda: created.append(manager.create("a", {"n": "created meanwhile"})))

    up.stop("immediate")  # as a crash
    creator.start()
    gate.open.set()  # the handlers end while the server is down
    until(lambda: len(lines(caplog, " completed after ")) >= 4)
    until(lambda: all(loop in " ".join(manager.health().problems) for loop in LOOPS))
    until(lambda: len(lines(caplog, AWAY)) >= 2)  # the second comes a second after the first
    assert told == []
    assert creator.is_alive()
    assert lines(caplog, BACK) == []
    up.start()

    creator.join(60)
    jobs += created
    until(lambda: len(told) == 9)
    assert sorted(told) == [job.uid for job in jobs]
    assert sorted(gate.begun) == sorted(told), "a job ran twice"
    assert_each_ran_once(manager, jobs)
    until(lambda: lines(caplog, BACK))
    assert manager.stop(timeout=60).complete

    assert len(lines(caplog, BACK)) == 1
    said = [record for record in caplog.records if record.name == "steve" and not hasattr(record, "job_uid")]
    assert most_in_a_second(said) <= 5
    assert {record.levelname for record in lines(caplog, AWAY) + lines(caplog, BACK)} == {"WARNING"}


def test_cutting_all_connections_again_and_again_loses_no_job_and_spends_no_attempt(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, gate: Gate, database_url: str, schema: str
) -> None:
    """Handlers run when the connections are cut. No claim is under way whose reply could be lost."""
    manager = make_manager(make_conninfo(database_url, application_name=f"cut {schema}"), gate.pass_through)
    manager.start(workers=4)
    jobs: list[Job] = []
    for total in (4, 8, 12, 16):
        gate.open.clear()
        jobs += [manager.create("a", {"n": n}) for n in range(4)]
        until(lambda total=total: len(gate.begun) == total)
        cut(conn, f"cut {schema}")
        gate.open.set()
        until(lambda total=total: counts(manager, Status.COMPLETED) == [total])
    assert sorted(gate.begun) == [job.uid for job in jobs]
    assert_each_ran_once(manager, jobs)


def cut(conn: psycopg.Connection, application: str) -> int:
    """End all connections of that name. Returns how many there were."""
    query = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = %s"
    row = conn.execute(query, [application]).fetchone()
    assert row is not None
    return int(row[0])


def test_cutting_connections_while_jobs_stream_through_loses_none(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Wherever the cut comes: during a claim, a settlement or a create, or between them."""
    application = f"cut {schema}"
    manager = make_manager(make_conninfo(database_url, application_name=application), lambda job: None, poll_interval=0.2)
    told: list[UUID] = []
    manager.on_done(None, lambda job: told.append(job.uid))
    manager.start(workers=4)
    jobs: list[Job] = []
    for _ in range(12):
        jobs += manager.create_many([("a", None)] * 300)
        cut(conn, application)
    until(lambda: counts(manager, Status.COMPLETED) == [len(jobs)], timeout=60)
    assert len(jobs) == 3600
    manager.stop()
    assert sorted(told) == [job.uid for job in jobs]


def test_a_manager_that_stops_after_its_connections_were_cut_deletes_its_row(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Nothing has been settled since the cut, so the broken connection is met only when the row is to be deleted."""
    conninfo = make_conninfo(database_url, application_name=f"cut {schema}")
    # Longer than the heartbeat needs for a new connection: while the database is away, nobody tries to delete the row.
    manager = make_manager(conninfo, lambda job: None, _tuning=Tuning(shutdown_grace=60.0))
    manager.start()
    job = manager.create("a")
    until(lambda: (found := manager.find(job)) and found.status == Status.COMPLETED)
    assert cut(conn, f"cut {schema}") >= 3
    assert manager.stop().complete
    assert conn.execute(f"select count(*) from {schema}.process".encode()).fetchone() == (0,)


# -- a statement that was carried out, and whose reply was lost -----------------------------------------------------------


WAITS = """
create function {schema}.wait() returns trigger language plpgsql as
  $$ begin perform pg_advisory_xact_lock_shared({key}); return null; end $$;
create trigger wait after insert or update on {schema}.job for each row execute function {schema}.wait();
"""
"""A statement that writes jobs waits at its end while a test holds the lock; a claim that finds none does not."""


class LostReply:
    """Has a statement carried out whose reply does not come through the proxy."""

    def __init__(self, proxy: Proxy, conn: psycopg.Connection, schema: str) -> None:
        self._proxy = proxy
        self._conn = conn
        self._key = int(schema.removeprefix("test_"), 16)
        conn.execute(WAITS.format(schema=schema, key=self._key))

    def hold(self) -> None:
        """The next statement that writes jobs waits."""
        self._conn.execute("select pg_advisory_lock(%s)", [self._key])

    def lose(self, is_done: Callable[[], object], before: Callable[[], object] = lambda: None) -> None:
        """Let that statement go on, wait until it is committed, and break all connections before its reply is read. `before`
        that, call this."""
        waiting = "select from pg_locks where locktype = 'advisory' and not granted and objid::bigint = %s"
        until(lambda: self._conn.execute(waiting, [self._key & 0xFFFFFFFF]).fetchall())
        self._proxy.swallow()
        self._conn.execute("select pg_advisory_unlock(%s)", [self._key])
        until(is_done)
        before()
        self._proxy.cut()  # before accept(), which would pass on a reply that comes late
        self._proxy.accept()


@pytest.fixture
def lost_reply(manager: JobManager, proxy: Proxy, conn: psycopg.Connection, schema: str) -> LostReply:
    return LostReply(proxy, conn, schema)


def number_of(conn: psycopg.Connection, schema: str, condition: str) -> int:
    """How many jobs meet the condition."""
    row = conn.execute(f"select count(*) from {schema}.job where {condition}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("way", ["create", "create_many"])
def test_a_create_whose_reply_is_lost_stores_each_job_once(
    make_manager: Callable[..., JobManager],
    proxy: Proxy,
    conn: psycopg.Connection,
    schema: str,
    lost_reply: LostReply,
    way: str,
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=60)
    created: list[Job] = []

    def create() -> None:
        if way == "create":
            created.append(manager.create("a", {"n": 1}))
        else:
            created.extend(manager.create_many([("a", {"n": n}) for n in range(20)]))

    lost_reply.hold()
    creator = threading.Thread(target=create)
    creator.start()
    lost_reply.lose(lambda: number_of(conn, schema, "true"))
    creator.join(90)
    assert len(created) == (1 if way == "create" else 20)
    assert manager.fetch_all() == created[::-1]


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [
        ("result", ["completed"]),
        ("result of a retry", ["pending", "completed"]),
        ("retry", ["pending", "completed"]),
        ("failure", ["failed"]),
        ("snooze", ["completed"]),
    ],
)
def test_a_settlement_whose_reply_is_lost_is_told_once_and_logged_once(
    make_manager: Callable[..., JobManager],
    proxy: Proxy,
    conn: psycopg.Connection,
    schema: str,
    lost_reply: LostReply,
    caplog: pytest.LogCaptureFixture,
    gate: Gate,
    outcome: str,
    statuses: list[str],
) -> None:
    def handler(job: Job) -> str:
        if outcome == "result of a retry" and job.attempts == 1:
            raise RuntimeError(outcome)
        gate.pass_through(job)
        is_first = len(gate.begun) == 1
        if is_first and outcome == "snooze":
            raise Snooze(0)
        if outcome == "failure" or (is_first and outcome == "retry"):
            raise RuntimeError(outcome)
        return outcome

    manager = make_manager(proxy.conninfo, handler=handler, poll_interval=0.3)
    told: list[tuple[str, Attempt]] = []
    manager.on_attempt(None, lambda job, attempt: told.append((job.status, attempt)) if job.status != "running" else None)
    manager.start(workers=1)
    job = manager.create("a", max_attempts=1 if outcome == "failure" else 2, backoff_strategy="none")
    until(lambda: gate.begun)
    lost_reply.hold()
    gate.open.set()
    lost_reply.lose(lambda: number_of(conn, schema, "status <> 'running'"))
    until(lambda: len(told) == len(statuses))
    manager.stop()
    assert [status for status, _ in told] == statuses
    history = manager.history(job)
    assert [attempt.status for attempt in history] == ["success" if status == "completed" else "error" for status in statuses]
    assert [attempt for _, attempt in told] == history
    # A success at the first attempt is recognised by the job's own row, all else by the log.
    logged = conn.execute(f"select count(*) from {schema}.attempt").fetchone()
    assert logged == (0 if outcome == "result" else len(statuses),)
    assert lines(caplog, "was taken from this process") == []


@pytest.mark.parametrize(
    ("outcome", "table"), [("result", "job"), ("failure", "attempt")], ids=["by the job's own row", "by the log"]
)
def test_an_outcome_that_a_failover_lost_is_not_taken_for_that_of_another_process_under_the_same_lease(
    make_manager: Callable[..., JobManager],
    proxy: Proxy,
    conn: psycopg.Connection,
    schema: str,
    lost_reply: LostReply,
    caplog: pytest.LogCaptureFixture,
    gate: Gate,
    outcome: str,
    table: str,
) -> None:
    """The server that was promoted knew neither the claim nor the outcome. There another process has run the job."""

    def handler(job: Job) -> str:
        gate.pass_through(job)
        if outcome == "failure":
            raise RuntimeError(outcome)
        return outcome

    manager = make_manager(proxy.conninfo, handler=handler)
    told: list[Job] = []
    manager.on_done(None, told.append)
    manager.start(workers=1)
    manager.create("a", max_attempts=1)
    until(lambda: gate.begun)
    lost_reply.hold()
    gate.open.set()
    lost_reply.lose(
        lambda: number_of(conn, schema, "status <> 'running'"),
        lambda: conn.execute(f"update {schema}.{table} set process = 'elsewhere:1'"),
    )
    until(lambda: lines(caplog, "was taken from this process"))
    manager.stop()
    assert told == []


def test_a_claim_whose_reply_is_lost_loses_no_job(
    make_manager: Callable[..., JobManager],
    proxy: Proxy,
    conn: psycopg.Connection,
    schema: str,
    lost_reply: LostReply,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process lives, so no rescue would come for what it holds without knowing."""
    manager = make_manager(proxy.conninfo, handler=lambda job: None, poll_interval=0.2, _tuning=Tuning(reconcile_pause=600.0))
    jobs = manager.create_many([("a", None)] * 20)
    lost_reply.hold()
    manager.start()
    lost_reply.lose(lambda: number_of(conn, schema, "status = 'running'"))
    until(lambda: counts(manager, Status.COMPLETED) == [20])
    assert {(job.attempts, job.crashes) for job in map(manager.find, jobs) if job} == {(1, 0)}
    assert lines(caplog, "the reply to a claim was lost")


def test_a_manager_that_stops_gives_back_the_jobs_of_a_claim_whose_reply_was_lost(
    make_manager: Callable[..., JobManager], proxy: Proxy, conn: psycopg.Connection, schema: str, lost_reply: LostReply
) -> None:
    manager = make_manager(proxy.conninfo, handler=lambda job: None, _tuning=Tuning(shutdown_grace=20.0))
    manager.create_many([("a", None)] * 20)
    lost_reply.hold()
    manager.start()
    lost_reply.lose(lambda: number_of(conn, schema, "status = 'running'"), manager.request_stop)  # no claim comes any more
    assert manager.stop(timeout=60).complete
    assert number_of(conn, schema, "status = 'pending'") == 20
    # If that claim is committed only later, the rescue must find out whose jobs these are.
    assert conn.execute(f"select count(*) from {schema}.process").fetchone() == (1,)


# -- prepared statements that are not valid any more -----------------------------------------------------------------------


GONE = "execute 'deallocate all';"
OTHERS = """
for one in select name from pg_prepared_statements loop
  execute format('deallocate %I', one);
  execute format('prepare %I as select 1', one);
end loop;"""
"""As in the session of another connection, whose socket has the number that ours had before somebody closed it."""

ONCE_PER_SESSION = """
create function {schema}.change() returns trigger language plpgsql as $$
declare one text;
begin
  if coalesce(current_setting('test.changed', true), '') = '' then
    perform set_config('test.changed', 'yes', false);
    {change}
  end if;
  return null;
end $$;
create trigger change after insert or update on {schema}.job for each statement execute function {schema}.change();
"""
"""Changes the prepared statements of each session that next writes a job: those of callers, of the claims, of the settler."""


@pytest.mark.parametrize(
    "change",
    ["alter table {schema}.job alter column priority type integer", GONE, OTHERS],
    ids=["another type", "gone", "others"],
)
def test_prepared_statements_that_are_not_valid_any_more_are_prepared_again(
    manager: JobManager, conn: psycopg.Connection, schema: str, change: str
) -> None:
    """On the connections of the loops and of the callers."""
    manager.set_handler("a", lambda job: None)
    manager.start()
    for _ in range(10):  # psycopg prepares what it has sent five times
        job = manager.create("a")
        until(lambda job=job: manager.history(job))
    statement = change if change.startswith("alter") else ONCE_PER_SESSION.replace("{change}", change)
    conn.execute(statement.replace("{schema}", schema))
    for _ in range(2):  # the first job makes the sessions change their statements, the second one needs these
        job = manager.create("a")
        until(lambda job=job: manager.history(job))
        found = manager.find(job)
        assert found is not None
        assert (found.status, found.attempts) == (Status.COMPLETED, 1)


# -- outages that last, and outages for another reason ----------------------------------------------------------------------


def test_a_manager_that_stops_during_an_outage_gives_up_and_says_what_is_lost(
    up: embedded.Server, gate: Gate, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    tuning = Tuning(settle_deadline=0.5, shutdown_grace=0.1)
    manager = JobManager(up.conninfo, gate.pass_through, schema=schema, _tuning=tuning)
    try:
        manager.start(workers=3)
        jobs = manager.create_many([("a", {"n": n}) for n in range(3)])
        until(lambda: len(gate.begun) == 3)
        up.stop()
        gate.open.set()
        before = time.monotonic()
        report = manager.stop(timeout=60)
        assert time.monotonic() - before < 25  # by default it tries for half a minute
        assert (report.complete, report.unsettled, report.still_running) == (False, 3, ())
        assert [record.levelname for record in lines(caplog, "did not take the outcome of 3 attempts: it is not recorded")] == [
            "ERROR"
        ]
        up.start()
        assert counts(manager, Status.RUNNING, Status.COMPLETED) == [3, 0]  # for a rescue
        assert [manager.history(job) for job in jobs] == [[], [], []]
    finally:
        gate.open.set()
        manager.stop()


def test_a_schema_that_is_dropped_under_a_manager_is_an_error_once_a_second(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handlers={"a": lambda job: None}, _tuning=Tuning(backoff_most=0.2))
    manager.start()
    # One job first: a plan that is being made while the schema is renamed keeps its tables, which it knows by number.
    first = manager.create("a")
    until(lambda: manager.history(first))
    conn.execute(f"alter schema {schema} rename to {schema}_away")
    try:
        manager.set_handler("another", lambda job: None)  # wakes the claimer
        until(lambda: len(lines(caplog, AWAY)) >= 2)
    finally:
        conn.execute(f"alter schema {schema}_away rename to {schema}")
    until(lambda: lines(caplog, BACK))
    job = manager.create("a")
    until(lambda: manager.history(job))
    away = lines(caplog, AWAY)
    assert {record.levelname for record in away} == {"ERROR"}
    assert all(later.created - earlier.created >= 0.5 for earlier, later in pairwise(away))  # a record may be made late
    assert "UndefinedTable" in away[0].getMessage()
