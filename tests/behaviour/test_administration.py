"""What administrators do to the database under a working manager: full queues of notifications, row level security, rights,
sequences, triggers, constraints, encodings, tables and adapters of others. It is PostgreSQL itself that raises the errors.

What is done to the rows of running jobs: test_held_by_nobody.py.
"""

import json
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import InvalidJob, Job, JobManager, NewJob, SchemaError, Snooze, Status, SteveError, embedded, grants
from steve._database.statements.script import Script
from steve._model.tuning import Tuning
from tests.conftest import until

MakeManager = Callable[..., JobManager]
Run = Callable[..., list[tuple[Any, ...]]]

CANARY = "canary-in-the-payload"


def execute(conn: psycopg.Connection, schema: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement in the schema of the tables, and return its rows."""
    conn.execute(sql.SQL("set search_path = {}, public").format(sql.Identifier(schema)))
    cursor = conn.execute(statement.encode(), parameters or None)  # without parameters a % is only a %
    return cursor.fetchall() if cursor.description else []


@pytest.fixture
def run(conn: psycopg.Connection, schema: str) -> Run:
    """`run(statement, *parameters)`, as the owner of the tables."""
    return lambda statement, *parameters: execute(conn, schema, statement, *parameters)


SOON = Tuning(unhealthy_after=0.2, backoff_most=0.2)
"""Trouble counts after a moment, and loops that wait for its end try often."""

SHARP = Tuning(server_age=0.0, observer_age=0.2, suspicion=0.2, look_interval=0.1)
"""A dead process is found, and its jobs are rescued, within a second."""


def status(manager: JobManager, job: object) -> Status | str:
    found = manager.find(job)
    assert found is not None
    return found.status


def end(manager: JobManager, job: object, expected: Status = Status.COMPLETED) -> Job:
    """Wait until the job has ended, and return it."""
    until(lambda: status(manager, job) in (Status.COMPLETED, Status.FAILED), timeout=60)
    found = manager.find(job)
    assert found is not None
    assert found.status is expected, found.error
    return found


def raised(call: Callable[[], object], kind: type[Exception]) -> str:
    """The error of a call as a traceback prints it, without the lines of source."""
    with pytest.raises(kind) as caught:
        call()
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    return "\n".join(line for line in lines if not line.startswith("    "))


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


MakeDatabase = Callable[..., str]


@pytest.fixture
def make_database(server: embedded.Server) -> Iterator[MakeDatabase]:
    """`make_database(encoding)`: the conninfo of a new database of the embedded server, dropped after the test. Ask for it
    before `make_manager`, whose managers are then stopped first.
    """
    names: list[str] = []

    def make(encoding: str = "UTF8") -> str:
        names.append(f"test_{uuid4().hex[:12]}")
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            statement = "create database {} encoding '{}' template template0 lc_collate 'C' lc_ctype 'C'"
            conn.execute(statement.format(names[-1], encoding).encode())
        return make_conninfo(server.conninfo, dbname=names[-1])

    yield make
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        for name in names:
            conn.execute(f"drop database {name} with (force)".encode())


# -- a full queue of notifications --------------------------------------------------------------------------------------

NO_NOTIFICATION = "the database takes no notification"


@pytest.fixture(scope="module")
def small() -> Iterator[embedded.Server]:
    """A server whose queue of notifications is soon full."""
    with embedded.server(max_notify_queue_pages="64") as server:
        yield server


class Clog:
    """A session that listens and does not read, and the queue that is full behind it."""

    def __init__(self, conninfo: str) -> None:
        self._stuck = psycopg.connect(conninfo)
        self._stuck.execute("listen elsewhere")
        self._stuck.commit()
        self._stuck.execute("select 1")  # in a transaction
        with psycopg.connect(conninfo, autocommit=True) as conn:
            for size in (7000, 0):
                with pytest.raises(psycopg.errors.ProgramLimitExceeded):
                    while True:
                        conn.execute("select pg_notify('elsewhere', repeat('x', %s) || random()::text)", [size])

    def let_go(self) -> None:
        self._stuck.close()


@pytest.fixture
def clog(small: embedded.Server, make_manager: MakeManager) -> Iterator[Callable[[], Clog]]:
    """`clog()` fills the queue until it is told to let go, or the test is over."""
    clogs: list[Clog] = []

    def clog() -> Clog:
        clogs.append(Clog(small.conninfo))
        return clogs[-1]

    yield clog
    for one in clogs:
        one.let_go()
    with psycopg.connect(small.conninfo, autocommit=True) as conn:
        until(lambda: conn.execute("select pg_notification_queue_usage() < 0.1").fetchone() == (True,))


def test_jobs_are_created_and_done_while_the_queue_of_notifications_is_full(
    small: embedded.Server, make_manager: MakeManager, clog: Callable[[], Clog], caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(small.conninfo, poll_interval=0.2)
    begun: Counter[str] = Counter()

    @manager.handler("retried")
    def retried(job: Job) -> None:
        begun["retried"] += 1
        if job.attempts == 1:
            raise ValueError("once")

    @manager.handler("snoozed")
    def snoozed(job: Job) -> None:
        begun["snoozed"] += 1
        if begun["snoozed"] == 1:
            raise Snooze(0)

    manager.set_handler("a", lambda job: job.payload)
    manager.start()
    clog()
    jobs = [
        manager.create("a", {"n": 1}),
        *manager.create_many([("a", {"n": 2}), ("a", {"n": 3})]),
        manager.create("snoozed"),
        manager.create("retried", backoff_strategy="none"),
    ]
    # By managers that do not know yet that it is full. The commits at the ends of the blocks must not fail because of it.
    with psycopg.connect(small.conninfo) as connection:
        jobs.append(make_manager(small.conninfo).create("a", {"n": 4}, connection=connection))
    with psycopg.connect(small.conninfo) as connection:
        jobs += make_manager(small.conninfo).create_many([("a", {"n": 5})], connection=connection)
    found = [end(manager, job) for job in jobs]
    assert [job.attempts for job in found] == [1, 1, 1, 1, 2, 1, 1]
    assert [job.result for job in found if job.type == "a"] == [{"n": n} for n in (1, 2, 3, 4, 5)]
    assert (begun["snoozed"], begun["retried"]) == (2, 2)
    assert [attempt.status for attempt in manager.history(jobs[3])] == ["success"]
    assert manager.health().ok
    assert len(warnings(caplog, NO_NOTIFICATION)) == 1


def test_what_is_not_begun_is_given_back_while_the_queue_is_full(
    small: embedded.Server, make_manager: MakeManager, clog: Callable[[], Clog], schema: str
) -> None:
    manager = make_manager(small.conninfo, poll_interval=0.1, _tuning=Tuning(claim_ahead=3600.0))
    gate = threading.Event()
    gate.set()
    manager.set_handler("a", lambda job: gate.wait(60) and None)
    manager.start(workers=1)
    try:
        for job in manager.create_many([("a", None)] * 500)[-20:]:
            end(manager, job)  # now it is known how short it is, and is claimed ahead
        until(lambda: not manager.fetch_all(Status.PENDING))
        gate.clear()
        clog()
        jobs = manager.create_many([("a", None)] * 100)
        with psycopg.connect(small.conninfo, autocommit=True) as conn:
            claimed = "select count(*) > 1 from job where uid = any(%s) and lease_no > 0"
            until(lambda: execute(conn, schema, claimed, [job.uid for job in jobs]) == [(True,)])
        until(lambda: len(manager.fetch_all(Status.RUNNING)) == 1)  # the others have not begun, and are given back
        assert [job.attempts for job in manager.fetch_all(Status.PENDING)] == [0] * 99
    finally:
        gate.set()
    assert {(end(manager, job).attempts, end(manager, job).crashes) for job in jobs} == {(1, 0)}


def test_the_jobs_of_a_dead_process_are_rescued_while_the_queue_is_full(
    small: embedded.Server, make_manager: MakeManager, clog: Callable[[], Clog], schema: str
) -> None:
    manager = make_manager(small.conninfo, lambda job: None, heartbeat=0.2, poll_interval=0.1, _tuning=SHARP)
    manager.start()
    clog()
    with psycopg.connect(small.conninfo, autocommit=True) as conn:
        execute(conn, schema, "insert into process (id, name, version, locked) values (7, 'dead', '0', true)")
        ((uid,),) = execute(
            conn,
            schema,
            "insert into job (type, status, process_id, attempts, lease_no, claimed_at)"
            " values ('a', 'running', 7, 1, 1, now()) returning uid",
        )
    found = end(manager, uid)
    assert (found.attempts, found.crashes) == (2, 1)
    assert [attempt.status for attempt in manager.history(uid)] == ["crashed", "success"]


@pytest.mark.parametrize("way", ["create", "retry", "create_many"])
def test_notifications_are_sent_again_when_the_queue_is_read(
    small: embedded.Server,
    make_manager: MakeManager,
    clog: Callable[[], Clog],
    way: str,
    schema: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = make_manager(small.conninfo, poll_interval=0.1, _tuning=Tuning(notify_pause=0.1))

    @manager.handler("a")
    def handler(job: Job) -> None:
        if job.attempts == 1 and way == "retry":
            raise ValueError("once")

    manager.start()
    one = clog()
    end(manager, manager.create("a", backoff_strategy="none"))
    until(lambda: warnings(caplog, NO_NOTIFICATION))
    one.let_go()

    def make() -> Job:
        if way == "create_many":
            return manager.create_many([("a", None)])[0]
        return manager.create("a", backoff_strategy="none", notify=way == "create")

    with psycopg.connect(small.conninfo, autocommit=True) as conn:
        conn.execute(f"listen {Script(schema, Tuning()).channel}".encode())

        def is_heard() -> bool:
            end(manager, make())
            return bool(list(conn.notifies(timeout=0.1, stop_after=1)))

        until(is_heard, timeout=60)
    assert len(warnings(caplog, NO_NOTIFICATION)) == 1


# -- row level security and rights --------------------------------------------------------------------------------------

TABLES = ("job", "attempt", "process", "migration")


@pytest.fixture
def role(conn: psycopg.Connection) -> Iterator[str]:
    """The name of a role that may log in. `hired` gives it the rights of a worker, and is stopped before it is gone."""
    name = f"test_{uuid4().hex[:8]}"
    try:
        conn.execute(f"create role {name} login password 'sesame'".encode())
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("the role of the tests may not create roles")
    yield name
    conn.execute(f"drop owned by {name} cascade; drop role {name}".encode())


@pytest.fixture
def hired(role: str, make_manager: MakeManager, conn: psycopg.Connection, database_url: str, schema: str) -> JobManager:
    """A manager of that role."""
    make_manager().migrate()
    conn.execute(grants(schema, worker=role).encode())
    url = make_conninfo(database_url, user=role, password="sesame")
    periods = {"heartbeat": 0.2, "poll_interval": 0.1}
    return make_manager(url, lambda job: job.payload, **periods, _tuning=SOON)


@pytest.fixture
def let_through(hired: JobManager, role: str, run: Run) -> None:
    """Enable row level security on all tables, with policies that let the role do everything."""
    for table in TABLES:
        run(f"alter table {table} enable row level security")
        run(f"create policy all_of_it on {table} to {role} using (true) with check (true)")


@pytest.mark.parametrize("table", TABLES)
def test_row_level_security_without_a_policy_for_the_role_is_named_with_its_table(
    hired: JobManager, run: Run, table: str
) -> None:
    run(f"alter table {table} enable row level security")
    with pytest.raises(SchemaError, match=rf"row.level security.*\b{table}\b"):
        hired.start()
    if table != "process":  # which only a worker needs
        problems = hired.check_health().problems
        assert len(problems) >= 1
        assert all("row level security" in problem and table in problem for problem in problems)
    run(f"alter table {table} disable row level security")
    hired.start()
    end(hired, hired.create("a"))
    until(lambda: hired.check_health().ok)


@pytest.mark.usefixtures("let_through")
def test_under_policies_that_let_the_role_do_all_jobs_live_their_whole_life(
    hired: JobManager, role: str, run: Run, database_url: str
) -> None:
    hired.start()
    until(lambda: hired.check_health().ok)
    jobs = [hired.create("a", {"n": 1}), hired.create("a", {"n": 2})]
    with psycopg.connect(make_conninfo(database_url, user=role, password="sesame")) as connection:
        jobs.append(hired.create("a", {"n": 3}, connection=connection))
    assert [end(hired, job).result for job in jobs] == [{"n": n} for n in (1, 2, 3)]
    assert [[attempt.status for attempt in hired.history(job)] for job in jobs] == [["success"]] * 3
    assert [one.uid for one in hired.fetch_all()] == [job.uid for job in jobs[::-1]]
    assert hired.prune(older_than=timedelta(0)) == 3
    until(lambda: hired.health().ok)
    assert hired.stop(timeout=60).complete
    assert run("select * from process") == []


@pytest.mark.usefixtures("let_through")
def test_with_such_policies_many_jobs_are_created_at_once_too(hired: JobManager, role: str, database_url: str) -> None:
    """PostgreSQL has no COPY into a table under row level security. In a caller's transaction its error comes through."""
    jobs = hired.create_many([("a", {"n": 1}), ("a", {"n": 2})])
    with psycopg.connect(make_conninfo(database_url, user=role, password="sesame")) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            hired.create_many([("a", {"n": 3}), ("a", {"n": 4})], connection=connection)
        connection.rollback()
    assert hired.fetch_all() == jobs[::-1]
    keyed = hired.create_many([("b", {}), NewJob("b", unique="k", unique_for=60), NewJob("b", tags={"t": 1})])
    assert hired.create_many([NewJob("b", unique="k", unique_for=60)])[0].uid == keyed[1].uid
    assert [hired.find(job) for job in keyed] == keyed
    hired.start()
    assert [end(hired, job).result for job in jobs] == [{"n": n} for n in (1, 2)]


@pytest.mark.parametrize("table", ["job", "attempt", "process"])
def test_row_level_security_makes_a_working_manager_unhealthy_until_it_is_disabled(
    hired: JobManager, run: Run, table: str
) -> None:
    hired.start()
    end(hired, hired.create("a"))
    run(f"alter table {table} enable row level security")
    until(lambda: not hired.health().ok, timeout=60)
    if table != "process":  # there it is the heartbeat that fails
        until(lambda: any("row level security" in problem and table in problem for problem in hired.health().problems))
    run(f"alter table {table} disable row level security")
    until(lambda: hired.health().ok, timeout=60)
    assert end(hired, hired.create("a")).attempts == 1


@pytest.mark.parametrize(("right", "table"), [("update", "job"), ("insert", "attempt")])
def test_a_worker_whose_role_lacks_a_right_does_not_start_and_says_which(
    hired: JobManager, role: str, run: Run, right: str, table: str
) -> None:
    run(f"revoke {right} on {table} from {role}")
    with pytest.raises(SchemaError, match=rf"{role}.*{right}.*\b{table}\b.*steve\.grants\(\)"):
        hired.start()
    assert run("select * from process") == []
    run(f"grant {right} on {table} to {role}")
    hired.start()
    end(hired, hired.create("a"))


# -- tables that are not as migrations made them ------------------------------------------------------------------------


FLAWS = {
    "drop index job_due": "job_due",
    "drop index job_ready": "job_ready",
    "drop index job_suspect": "job_suspect",
    "drop index job_claimed": "job_claimed",
    "drop index job_unique": "job_unique",
    "drop index job_tags": "job_tags",
    "alter table job drop constraint job_pkey": "job_pkey",
    "alter table attempt drop constraint attempt_pkey": "attempt_pkey",
    "alter table process drop constraint process_pkey": "process_pkey",
    "alter table job alter column status drop default": "column status of job has no default",
    "alter table job alter column lease_no drop default": "column lease_no of job has no default",
}


@pytest.mark.parametrize("change", FLAWS)
def test_check_health_says_which_index_key_or_default_the_tables_lack(manager: JobManager, run: Run, change: str) -> None:
    assert manager.check_health().ok
    run(change)
    health = manager.check_health()
    assert not health.ok
    assert FLAWS[change] in "; ".join(health.problems)


def test_somebody_elses_table_in_the_way_of_the_migrations_is_named(
    make_database: MakeDatabase, make_manager: MakeManager
) -> None:
    url = make_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.job (id serial primary key, title text)")
    manager = make_manager(url, schema="public")
    said = [raised(call, SchemaError) for call in (manager.migrate, manager.start)]
    for text in said:
        assert 'relation "job" already exists' in text
        assert "right" not in text
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


def test_the_words_of_a_rule_against_changes_of_tables_are_shown(
    make_database: MakeDatabase, make_manager: MakeManager
) -> None:
    url = make_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            """
            create function no_ddl() returns event_trigger language plpgsql
            as $$ begin raise exception 'by change request only' using hint = 'ask Ada'; end $$;
            create event trigger no_ddl on ddl_command_end execute function no_ddl()
            """
        )
    manager = make_manager(url)
    said = [raised(call, SchemaError) for call in (manager.migrate, manager.start)]
    for text in said:
        assert "by change request only ask Ada" in text
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("drop event trigger no_ddl")
    manager.start()


def test_a_listen_db_of_another_database_is_refused_and_leaves_nothing_there(
    make_database: MakeDatabase, make_manager: MakeManager, schema: str
) -> None:
    here, there = make_database(), make_database()
    for url in (here, there):
        make_manager(url).migrate()
    manager = make_manager(here, lambda job: None, listen_db=there)
    with pytest.raises(SchemaError, match="listen_db leads to another database"):
        manager.start()
    for url in (here, there):
        with psycopg.connect(url, autocommit=True) as conn:
            assert execute(conn, schema, "select * from process") == []


# -- triggers and constraints on new jobs -------------------------------------------------------------------------------


def test_a_job_that_a_trigger_swallows_is_an_error_and_not_a_job(manager: JobManager, run: Run) -> None:
    run("create function swallow() returns trigger language plpgsql as $$ begin return null; end $$")
    run("create trigger swallow before insert on job for each row when (new.type = 'odd') execute function swallow()")
    with pytest.raises(SteveError, match="trigger on the table job swallowed it"):
        manager.create("odd")
    with pytest.raises(SteveError, match="of 3 jobs 2 were stored: a trigger"):
        manager.create_many([("a", None), ("odd", None), ("a", None)])
    assert run("select type from job") == [("a",), ("a",)]
    assert manager.create("a").type == "a"


def test_child_tables_by_inheritance_are_left_alone(manager: JobManager, run: Run) -> None:
    """A child table whose pending row has the same ctid as the first row of job, and an archive."""
    run("create table copied () inherits (job)")
    run("create table archive () inherits (job)")
    run("insert into copied (type, queue) values ('a', 'default'), ('a', 'default'), ('a', 'default')")
    run(
        "insert into archive (type, status, completed_at)"
        " select 'a', 'completed', now() - interval '1 year' from generate_series(1, 3)"
    )
    before = run("select tableoid::regclass::text, * from job order by uid")
    begun: Counter[UUID] = Counter()
    manager.set_handler("a", lambda job: begun.update([job.uid]))
    later = manager.create("a", run_at=datetime.now(UTC) + timedelta(hours=1))
    jobs = manager.create_many([("a", None)] * 3)
    place = run("select ctid from only job where uid = %s", later.uid)
    assert place == run("select ctid from copied order by ctid limit 1")  # which is due
    manager.start()
    for job in jobs:
        until(lambda job=job: run("select status from only job where uid = %s", job.uid) == [("completed",)])
    assert manager.stop(timeout=60).complete
    assert begun == {job.uid: 1 for job in jobs}
    assert run("select status, attempts from only job where uid = %s", later.uid) == [("pending", 0)]
    assert run("select tableoid::regclass::text, * from job where tableoid <> 'job'::regclass order by uid") == before
    assert manager.prune(older_than=timedelta(0)) == 3
    assert run("select tableoid::regclass::text, * from job where tableoid <> 'job'::regclass order by uid") == before


CREATES: dict[str, Callable[[JobManager], object]] = {
    "create": lambda manager: manager.create("odd", {"word": CANARY}),
    "create_many": lambda manager: manager.create_many([("a", None), ("odd", {"word": CANARY})]),
}


@pytest.mark.parametrize("create", CREATES)
def test_a_users_constraint_that_refuses_a_job_is_named_and_no_payload_shown(
    manager: JobManager, run: Run, create: str
) -> None:
    run("alter table job add constraint rule_of_the_house check (type <> 'odd')")
    text = raised(lambda: CREATES[create](manager), InvalidJob)
    assert "rule_of_the_house" in text
    assert "23514" in text
    assert CANARY not in text
    assert run("select count(*) from job") == [(0,)]


@pytest.mark.parametrize("state", ["P0001", "23514", "U0001"])
@pytest.mark.parametrize("create", CREATES)
def test_the_message_of_a_trigger_that_refuses_a_job_is_not_shown(
    manager: JobManager, run: Run, create: str, state: str
) -> None:
    raising = f"raise exception 'not %', new.payload using errcode = '{state}'"
    run(f"create function refuse() returns trigger language plpgsql as $$ begin {raising}; end $$")
    run("create trigger refuse before insert on job for each row when (new.type = 'odd') execute function refuse()")
    text = raised(lambda: CREATES[create](manager), InvalidJob)
    assert state in text
    assert CANARY not in text
    assert "not {" not in text
    assert run("select count(*) from job") == [(0,)]


# -- jobs by plain SQL --------------------------------------------------------------------------------------------------


def test_a_job_by_plain_sql_needs_only_its_type(manager: JobManager, run: Run) -> None:
    manager.set_handler("a", lambda job: job.payload)
    made = [run("insert into job (type) values ('a') returning uid, created_at")[0] for _ in range(20)]
    manager.start()
    for uid, created_at in made:
        assert (uid.version, uid.variant) == (7, "specified in RFC 4122")
        assert abs((uid.int >> 80) / 1000 - created_at.timestamp()) < 10  # its time, in milliseconds
        found = end(manager, uid)
        assert (found.result, found.attempts, found.max_attempts, found.queue) == ({}, 1, 3, "default")
    assert len({uid for uid, _ in made}) == 20


def test_a_job_that_a_trigger_on_another_table_inserts_is_part_of_that_transaction(
    make_manager: MakeManager, run: Run, database_url: str, schema: str
) -> None:
    manager = make_manager(handler=lambda job: job.payload, poll_interval=0.1)
    manager.start()
    run("create table orders (email text)")
    run(
        "create function welcome() returns trigger language plpgsql as $$ begin"
        " insert into job (type, payload) values ('a', jsonb_build_object('email', new.email)); return new; end $$"
    )
    run("create trigger welcome after insert on orders for each row execute function welcome()")
    with psycopg.connect(database_url) as connection:
        execute(connection, schema, "insert into orders values ('none')")
        connection.rollback()
        execute(connection, schema, "insert into orders values ('ada')")
        assert manager.fetch_all() == []
        connection.commit()
    (job,) = manager.fetch_all()
    assert end(manager, job).result == {"email": "ada"}


# -- triggers on what a manager writes ----------------------------------------------------------------------------------

STATES = (
    "22012", "23514", "23505", "P0001", "54000", "54001", "53200", "XX000", "38000", "57014", "40001", "55P03", "0A000",
    "U0001", "42501",
)  # fmt: skip
"""SQLSTATEs of many classes. A trigger may raise any of them."""

OUTCOMES = "update on job for each row when (old.status = 'running' and new.status <> 'running' and new.crashes = old.crashes)"
CLAIMS = "update on job for each row when (old.status <> 'running' and new.status = 'running')"
HEARTBEATS = "update on process for each row"


Obstruct = Callable[[str, str], Callable[[], None]]


@pytest.fixture
def obstruct(run: Run, conn: psycopg.Connection, make_manager: MakeManager) -> Iterator[Obstruct]:
    """`obstruct(state, what)` makes a trigger that raises that SQLSTATE. Returns a function that drops it."""

    def clear() -> None:
        run("drop function if exists obstruct cascade")

    def obstruct(state: str, what: str) -> Callable[[], None]:
        raising = f"raise exception '% {CANARY}', new using errcode = '{state}'"
        run(f"create function obstruct() returns trigger language plpgsql as $$ begin {raising}; end $$")
        run(f"create trigger obstruct before {what} execute function obstruct()")
        return clear

    conn.execute("set lock_timeout = '20s'")
    yield obstruct
    clear()


class Various:
    """Handlers for every way in which an attempt can end."""

    def __init__(self, manager: JobManager) -> None:
        self.begun: Counter[str] = Counter()
        self.gate = threading.Event()
        manager.set_handler("completes", lambda job: self._begin(job) and {"n": job.payload["n"]})
        manager.set_handler("retries", self._retries)
        manager.set_handler("fails", self._fails)
        manager.set_handler("snoozes", self._snoozes)

    def _begin(self, job: Job) -> bool:
        self.begun[job.type] += 1
        return self.gate.wait(60)

    def _retries(self, job: Job) -> str:
        self._begin(job)
        if job.attempts == 1:
            raise ValueError("the first time")
        return "the second time"

    def _fails(self, job: Job) -> None:
        self._begin(job)
        raise ValueError("for good")

    def _snoozes(self, job: Job) -> str:
        self._begin(job)
        if self.begun["snoozes"] == 1:
            raise Snooze(0)
        return "awake"


@pytest.mark.parametrize("state", STATES)
def test_outcomes_that_a_trigger_refuses_wait_and_are_written_when_it_is_gone(
    make_manager: MakeManager, state: str, obstruct: Obstruct
) -> None:
    manager = make_manager(_tuning=SOON)
    manager.migrate()
    various = Various(manager)
    ended: list[tuple[str, str, int]] = []
    done: list[UUID] = []
    manager.on_attempt(None, lambda job, one: one.status == "running" or ended.append((job.type, one.status, one.number)))
    manager.on_done(None, lambda job: done.append(job.uid))
    manager.start(workers=4)
    jobs = {
        "completes": manager.create("completes", {"n": 1}),
        "retries": manager.create("retries", backoff_strategy="none"),
        "fails": manager.create("fails", max_attempts=1),
        "snoozes": manager.create("snoozes"),
    }
    try:
        until(lambda: len(various.begun) == 4)
        clear = obstruct(state, OUTCOMES)
    finally:
        various.gate.set()
    until(lambda: not manager.health().ok, timeout=60)
    assert {status(manager, job) for job in jobs.values()} == {"running"}
    assert ended == []
    clear()
    assert end(manager, jobs["completes"]).result == {"n": 1}
    assert end(manager, jobs["retries"]).result == "the second time"
    assert end(manager, jobs["fails"], Status.FAILED).error == "ValueError: for good"
    assert end(manager, jobs["snoozes"]).result == "awake"
    histories = {name: [(one.number, one.status) for one in manager.history(job)] for name, job in jobs.items()}
    assert histories == {
        "completes": [(1, "success")],
        "retries": [(1, "error"), (2, "success")],
        "fails": [(1, "error")],
        "snoozes": [(1, "success")],
    }
    assert [one.error_message for one in manager.history(jobs["retries"])] == ["ValueError: the first time", None]
    assert all(manager.find(job).crashes == 0 for job in jobs.values())  # type: ignore[union-attr]
    until(lambda: manager.health().ok, timeout=60)
    assert manager.stop(timeout=60).complete
    assert sorted(ended) == sorted((name, outcome, n) for name, lines in histories.items() for n, outcome in lines)
    assert sorted(done) == sorted(job.uid for job in jobs.values())
    assert various.begun == {"completes": 1, "retries": 2, "fails": 1, "snoozes": 2}


@pytest.mark.parametrize("state", ["P0001", "23514", "U0001"])
def test_the_message_of_a_trigger_that_refuses_an_outcome_is_not_logged(
    make_manager: MakeManager, state: str, obstruct: Obstruct, caplog: pytest.LogCaptureFixture
) -> None:
    """It may quote the payload."""
    manager = make_manager(handlers={"a": lambda job: None}, _tuning=SOON)
    manager.migrate()
    clear = obstruct(state, OUTCOMES)
    manager.start()
    job = manager.create("a", {"word": CANARY})
    until(lambda: not manager.health().ok, timeout=60)
    clear()
    end(manager, job)
    assert warnings(caplog, CANARY) == []


@pytest.mark.parametrize("state", ["P0001", "XX000"])
def test_an_outcome_that_waits_for_longer_than_a_lease_is_not_taken_for_lost(
    make_manager: MakeManager,
    run: Run,
    state: str,
    obstruct: Obstruct,
) -> None:
    tuning = replace(SOON, reconcile_pause=0.5)
    manager = make_manager(lease=1.0, heartbeat=0.2, poll_interval=0.1, _tuning=tuning)
    various = Various(manager)
    manager.set_handler("lost", lambda job: None)
    manager.start(workers=2)
    job = manager.create("completes", {"n": 1})
    try:
        until(lambda: various.begun["completes"])
        clear = obstruct(state, OUTCOMES)
    finally:
        various.gate.set()
    until(lambda: not manager.health().ok, timeout=60)
    for _ in range(2):  # one that really is lost shows that the process has looked
        ((uid,),) = run(
            "insert into job (type, status, process_id, attempts, lease_no, claimed_at)"
            " select 'lost', 'running', id, 1, 1, now() from process returning uid"
        )
        until(lambda uid=uid: manager.find(uid).crashes == 1, timeout=60)  # type: ignore[union-attr]
    assert status(manager, job) == "running"
    clear()
    assert (end(manager, job).attempts, end(manager, job).crashes, various.begun["completes"]) == (1, 0, 1)


@pytest.mark.parametrize("state", ["22012", "P0001", "XX000", "54000", "57014", "0A000", "42501"])
def test_claims_that_a_trigger_refuses_make_the_manager_unhealthy_until_it_is_gone(
    make_manager: MakeManager, manager: JobManager, state: str, obstruct: Obstruct
) -> None:
    clear = obstruct(state, CLAIMS)
    worker = make_manager(handler=lambda job: job.payload, poll_interval=0.1, _tuning=SOON)
    worker.start()
    jobs = worker.create_many([("a", {"n": n}) for n in range(20)])
    until(lambda: any("claiming" in problem for problem in worker.health().problems), timeout=60)
    assert {(status(worker, job), worker.find(job).attempts) for job in jobs} == {("pending", 0)}  # type: ignore[union-attr]
    clear()
    found = [end(worker, job) for job in jobs]
    assert {(job.attempts, job.crashes) for job in found} == {(1, 0)}
    assert [job.result for job in found] == [job.payload for job in jobs]
    until(lambda: worker.health().ok, timeout=60)


@pytest.mark.parametrize("state", ["P0001", "57014"])
def test_heartbeats_that_a_trigger_refuses_for_several_leases_cost_no_process_a_job(
    make_manager: MakeManager,
    state: str,
    obstruct: Obstruct,
    run: Run,
) -> None:
    tuning = replace(SHARP, unhealthy_after=0.2, backoff_most=0.2)
    gate = threading.Event()
    begun: list[UUID] = []

    def handler(job: Job) -> None:
        begun.append(job.uid)
        if job.type == "waits":
            gate.wait(60)

    periods = {"lease": 3.0, "heartbeat": 0.2, "poll_interval": 0.1}
    managers = [make_manager(handler=handler, **periods, _tuning=tuning) for _ in range(2)]
    try:
        for manager in managers:
            manager.start(workers=2)
        jobs = managers[0].create_many([("waits", None)] * 3)
        until(lambda: len(begun) == 3)
        processes = run("select id from process order by id")
        clear = obstruct(state, HEARTBEATS)
        until(lambda: all((one.health().heartbeat_age or 0) > 6.5 for one in managers), timeout=60)
        assert not any(one.health().ok for one in managers)
        end(managers[0], managers[0].create("quick"))  # the work goes on
        clear()
        until(lambda: all(one.health().ok for one in managers), timeout=60)
        for beats in range(1, 4):  # and no process is judged by the beats that it could not make
            run("update process set started_at = heartbeat_at")
            until(lambda: run("select count(*) from process where heartbeat_at > started_at") == [(2,)])
            assert beats
        assert {status(managers[0], job) for job in jobs} == {"running"}
    finally:
        gate.set()
    assert {(end(managers[0], job).attempts, end(managers[0], job).crashes) for job in jobs} == {(1, 0)}
    assert run("select id from process order by id") == processes
    assert sorted(begun) == sorted(set(begun))


def test_a_process_whose_heartbeats_are_refused_is_not_rescued_within_its_lease(
    make_manager: MakeManager, obstruct: Obstruct, run: Run
) -> None:
    """Its session lives."""
    gate = threading.Event()
    begun: list[UUID] = []

    def handler(job: Job) -> None:
        begun.append(job.uid)
        gate.wait(60)

    one, other = (make_manager(handler=handler, heartbeat=0.5, _tuning=SHARP) for _ in range(2))
    try:
        one.start()
        job = one.create("a")
        until(lambda: begun)
        ((id,),) = run("select id from process")
        refused = f"update on process for each row when (new.id = {id} and new.heartbeat_at <> old.heartbeat_at)"
        clear = obstruct("42501", refused)
        other.start()
        until(lambda: (one.health().heartbeat_age or 0) > 3, timeout=60)  # others look meanwhile
        clear()
        until(lambda: (one.health().heartbeat_age or 0) < 2, timeout=60)
    finally:
        gate.set()
    assert (end(one, job).attempts, end(one, job).crashes, begun) == (1, 0, [job.uid])


# -- adapters that the application registers ----------------------------------------------------------------------------

LIFE = """
import json, logging, sys
from datetime import datetime, timedelta
from uuid import UUID
import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.json import JsonbDumper

class AsText(Loader):
    def load(self, data):
        return "text " + bytes(data).hex()

class AsTextFromBinary(AsText):
    format = Format.BINARY

class Raising(Dumper):
    def dump(self, value):
        raise TypeError("no str is dumped here")

class RaisingInBinary(Raising):
    format = Format.BINARY

def load_as_text(adapters, *names):
    for name in names:
        adapters.register_loader(name, AsText)
        adapters.register_loader(name, AsTextFromBinary)

def raise_at_text(adapters):
    adapters.register_dumper(str, Raising)
    adapters.register_dumper(str, RaisingInBinary)

REGISTER = {
    "nothing": lambda adapters: None,
    "lists as jsonb": lambda adapters: adapters.register_dumper(list, JsonbDumper),
    "uuid": lambda adapters: load_as_text(adapters, "uuid"),
    "timestamptz": lambda adapters: load_as_text(adapters, "timestamptz"),
    "bool and int8": lambda adapters: load_as_text(adapters, "bool", "int8", "int4", "int2"),
    "text and float8": lambda adapters: load_as_text(adapters, "text", "float8", "jsonb"),
    "a dumper of str that raises": raise_at_text,
}
url, schema, what, where = sys.argv[1:]
if where == "globally":
    REGISTER[what](psycopg.adapters)

from steve import JobManager

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
manager = JobManager(url, lambda job: {"got": job.payload}, schema=schema, create_timeout=5.0)
told = []
manager.on_done(None, lambda job: told.append(job))
manager.migrate()
jobs = [manager.create("a", {"list": [1, "b"], "yes": True})]
jobs += manager.create_many([("a", {"n": 2}), ("a", {"n": 3})])
with psycopg.connect(url) as connection:
    if where == "on the caller's connection":
        REGISTER[what](connection.adapters)
    jobs.append(manager.create("a", {"n": 4}, connection=connection))
    jobs += manager.create_many([("a", {"n": 5})], connection=connection)
with psycopg.connect(url) as connection:
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    if where == "on the caller's connection":
        REGISTER[what](cursor.adapters)
    jobs.append(manager.create("a", {"n": 6}, connection=cursor))
manager.start()
import time
deadline = time.monotonic() + 60
while len(told) < len(jobs) and time.monotonic() < deadline:
    time.sleep(0.01)
found = [manager.find(job.uid) for job in jobs]
listed = manager.fetch_all(limit=50)
attempts = [attempt for job in jobs for attempt in manager.history(job)]
problems = [*manager.health().problems, *manager.check_health().problems]
assert all(type(job.uid) is UUID for job in [*jobs, *found, *listed, *told])
assert all(type(job.created_at) is datetime and job.created_at.tzinfo for job in [*jobs, *found])
assert all(type(attempt.started_at) is datetime for attempt in attempts)
pruned = manager.prune(older_than=timedelta(0))
complete = manager.stop(timeout=60).complete
print(json.dumps({
    "same": [job.uid == other.uid for job, other in zip(jobs, found)],
    "created": [job.payload for job in jobs],
    "results": [job.result for job in found],
    "found": [[job.status, job.attempts, job.crashes, job.priority, job.queue] for job in found],
    "listed": [str(job.uid) for job in listed] == [str(job.uid) for job in jobs[::-1]],
    "attempts": [[attempt.number, attempt.status] for attempt in attempts],
    "problems": problems,
    "pruned": pruned,
    "complete": complete,
}))
"""

PAYLOADS = [{"list": [1, "b"], "yes": True}, *({"n": n} for n in (2, 3, 4, 5, 6))]

LIVED = {
    "same": [True] * 6,
    "created": PAYLOADS,
    "results": [{"got": payload} for payload in PAYLOADS],
    "found": [["completed", 1, 0, 0, "default"]] * 6,
    "listed": True,
    "attempts": [[1, "success"]] * 6,
    "problems": [],
    "pruned": 6,
    "complete": True,
}

ADAPTERS = (
    "lists as jsonb",
    "uuid",
    "timestamptz",
    "bool and int8",
    "text and float8",
    "a dumper of str that raises",
)


@pytest.mark.parametrize("where", ["globally", "on the caller's connection"])
@pytest.mark.parametrize("what", ADAPTERS)
def test_adapters_that_the_application_registers_change_nothing(database_url: str, schema: str, what: str, where: str) -> None:
    """In a process of its own, which registers the adapters before it imports steve."""
    child = subprocess.run(
        [sys.executable, "-c", LIFE, database_url, schema, what, where], capture_output=True, text=True, timeout=110
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    assert json.loads(child.stdout) == LIVED


# -- databases and sessions in other encodings --------------------------------------------------------------------------

UNHOLDABLE = "przypomnij-użytkownikowi"
"""A name that LATIN1 cannot hold."""


def test_names_that_the_database_cannot_hold_are_left_out_and_all_others_are_served(
    make_database: MakeDatabase, make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_database("LATIN1")
    handlers = {"café": lambda job: job.payload, "mail": lambda job: job.payload, UNHOLDABLE: lambda job: None}
    manager = make_manager(url, handlers=handlers, queues=["default", "kolejka-ż"], poll_interval=0.1)
    manager.start()
    for type in ("mail", "café", "mail"):
        assert end(manager, manager.create(type, {"city": "Malmö"})).result == {"city": "Malmö"}
    said = warnings(caplog, "cannot hold the name")
    assert sorted(said) == sorted(set(said))
    assert [sum(name in text for text in said) for name in (UNHOLDABLE, "kolejka-ż")] == [1, 1]
    assert manager.health().ok


def test_an_error_that_the_database_cannot_hold_keeps_its_words(make_database: MakeDatabase, make_manager: MakeManager) -> None:
    manager = make_manager(make_database("LATIN1"), poll_interval=0.1)

    @manager.handler("a")
    def handler(job: Job) -> None:
        raise ValueError("connection refused → giving up")

    manager.start()
    for attempts in (1, 2):
        job = manager.create("a", max_attempts=attempts, backoff_strategy="none")
        found = end(manager, job, Status.FAILED)
        assert found.error == r"ValueError: connection refused \u2192 giving up"
        assert found.attempts == attempts
        for attempt in manager.history(job):
            assert (attempt.status, attempt.error_message) == ("error", found.error)
            assert r"connection refused \u2192 giving up" in str(attempt.error_details)


@pytest.mark.parametrize("where", ["type", "queue", "payload"])
def test_a_job_that_the_database_cannot_hold_is_invalid(
    make_database: MakeDatabase, make_manager: MakeManager, where: str
) -> None:
    manager = make_manager(make_database("LATIN1"))
    manager.migrate()
    type = UNHOLDABLE if where == "type" else "a"
    queue = UNHOLDABLE if where == "queue" else "default"
    payload = {"text": f"{CANARY} →"} if where == "payload" else {}
    calls = (
        lambda: manager.create(type, payload, queue=queue),
        lambda: manager.create_many([("a", None), (type, payload)], queue=queue),
    )
    for call in calls:
        assert CANARY not in raised(call, InvalidJob)
    assert manager.fetch_all() == []


ODD_ROWS = {
    "error": "insert into job (type, error) values ('odd', E'caf\\xe9')",
    "queue": "insert into job (type, queue) values ('odd', E'caf\\xe9')",
    "type": "insert into job (type) values (E'caf\\xe9')",
}


@pytest.mark.parametrize("column", ODD_ROWS)
def test_a_row_with_bytes_that_are_no_text_does_not_stop_the_claims_of_others(
    make_database: MakeDatabase, make_manager: MakeManager, schema: str, column: str
) -> None:
    """A database in SQL_ASCII checks no text."""
    url = make_database("SQL_ASCII")
    manager = make_manager(url, lambda job: job.payload, poll_interval=0.1)
    manager.migrate()
    with psycopg.connect(url, autocommit=True) as conn:
        execute(conn, schema, ODD_ROWS[column])
    manager.start()
    jobs = [manager.create("ä", {"n": "ö"}), *manager.create_many([("ü", {"n": "→"}), ("b", {"n": 3})])]
    assert [end(manager, job).result for job in jobs] == [{"n": "ö"}, {"n": "→"}, {"n": 3}]


def test_the_encoding_of_a_callers_session_does_not_matter_to_payloads(manager: JobManager, database_url: str) -> None:
    payload = {"text": "ż → 🚀 café", "ż": ["→"]}
    with psycopg.connect(database_url, client_encoding="LATIN1") as connection:
        jobs = [
            manager.create("café", payload, connection=connection),
            *manager.create_many([("café", payload)], connection=connection),
        ]
        with pytest.raises(InvalidJob, match=r"type.*client_encoding"):
            manager.create(UNHOLDABLE, connection=connection)
        with pytest.raises(InvalidJob, match=r"queue.*client_encoding"):
            manager.create("a", queue=UNHOLDABLE, connection=connection)
        assert connection.info.encoding == "iso8859-1"  # and the transaction goes on
    for job in jobs:
        found = manager.find(job)
        assert found is not None
        assert (found.type, found.payload, job.payload) == ("café", payload, payload)
        assert found == job
