"""`steve.grants`: what each kind of role can do with the rights that it prints, and what PostgreSQL then refuses it.

The roles are real ones that log in, and the library runs as each of them; schema and roles have names that want quoting.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import AlreadyExists, Job, JobManager, NotPossible, SchemaError, Snooze, Status, current_run, grants
from steve._client.calls import Calls
from steve._client.create import Creator
from steve._client.enqueue import checked
from steve._database import migrations
from steve._database.connections import Connections
from steve._database.statements import statements_for
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from steve.job import NewJob
from steve.testing import clear
from tests.conftest import until

MakeManager = Callable[..., JobManager]

SECRET = "sesame"

ODD = 'o"d; drop table x; -- {role} %s\\'
"""What the names of the roles begin with."""


@pytest.fixture
def schema(database_url: str) -> Iterator[str]:
    """The name of a schema that does not exist yet, and does not exist after the test."""
    name = f'Ten ant"{uuid4().hex[:6]}; -- {{schema}} %s'
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))


class Role(NamedTuple):
    name: str
    url: str
    """A conninfo by which it logs in."""


@pytest.fixture
def roles(conn: psycopg.Connection, database_url: str) -> Iterator[dict[str, Role]]:
    """One of each kind, without any rights but to connect."""
    made = {}
    try:
        for kind in ("producer", "worker", "reader", "completer"):
            name = f"{ODD}{kind} {uuid4().hex[:8]}"
            conn.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(name), SECRET))
            made[kind] = Role(name, make_conninfo(database_url, user=name, password=SECRET))
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("the role of the tests may not create roles")
    yield made
    for role in made.values():
        conn.execute(sql.SQL("drop owned by {0} cascade; drop role {0}").format(sql.Identifier(role.name)))


@pytest.fixture
def granted(conn: psycopg.Connection, manager: JobManager, schema: str, roles: dict[str, Role]) -> dict[str, Role]:
    """The roles, with the rights that steve.grants prints for each."""
    conn.execute(grants(schema, **{kind: role.name for kind, role in roles.items()}).encode())
    return roles


def assert_forbidden(call: Callable[[], object], role: Role) -> None:
    with pytest.raises(SchemaError) as caught:
        call()
    assert "permission denied" in str(caught.value)
    assert SECRET not in str(caught.value)


def assert_denied(role: Role, schema: str, statements: list[str]) -> None:
    """PostgreSQL refuses the role each of them."""
    with psycopg.connect(role.url, autocommit=True) as theirs:
        theirs.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                pytest.fail(f"{statement}: {theirs.execute(statement.encode()).statusmessage}")


BEYOND_ALL = [
    "update job set payload = '{}'",
    "update job set type = 'b'",
    "update job set queue = 'b', priority = 1",
    "update job set max_attempts = 10000",
    "update job set uid = gen_random_uuid()",
    "update job set created_at = now()",
    "insert into job (uid, type, status, completed_at) values (gen_random_uuid(), 'a', 'completed', now())",
    "insert into job (uid, type, attempts) values (gen_random_uuid(), 'a', 3)",
    "insert into job (uid, type, result) values (gen_random_uuid(), 'a', '1')",
    "update attempt set error_message = null",
    "insert into migration (number, name, kind, checksum) values (99, 'x', 'contract', '')",
    "delete from migration",
    "truncate job",
    "truncate attempt",
    "update log set lines = '[]'",
    "truncate log",
    "truncate progress",
    "alter table job add column x text",
    "drop table job",
    "create table mine (x text)",
    "create function mine() returns text language sql as 'select 1::text'",
    "create trigger mine before insert on job for each row execute function suppress_redundant_updates_trigger()",
]
"""No role but the owner may do these."""

CHANGES = [
    "update job set status = 'running', process_id = 1",
    "update job set status = 'cancelled', completed_at = now()",
    "update job set run_at = now(), process = 'p'",
    "select from job for update",
    "delete from job",
    (
        "insert into attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
        "values (gen_random_uuid(), 1, 1, 'p', now(), now(), 'success')"
    ),
    "delete from attempt",
    "delete from log",
    "delete from progress",
    "update progress set done = 1",
    "insert into process (id, name, version) values (7, 'a', '1')",
    "update process set heartbeat_at = now()",
    "delete from process",
]
"""A worker's."""


def test_a_producer_creates_jobs_alone_and_in_its_own_transaction(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager
) -> None:
    producer = granted["producer"]
    theirs = make_manager(producer.url)
    jobs = [theirs.create("a", {"n": 1}), *theirs.create_many([("a", {"n": 2}), ("b", None)], queue="other", priority=3)]
    with psycopg.connect(producer.url) as connection:
        jobs.append(theirs.create("a", {"n": 3}, connection=connection))
        jobs += theirs.create_many([("a", {"n": 4})], connection=connection)
        assert manager.find(jobs[-1]) is None
    assert [manager.find(job) for job in jobs] == jobs
    assert theirs.migrate() == []  # it sees that there is nothing to do


def test_a_worker_and_a_reader_wait_for_jobs_and_a_producer_does_not(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    done = manager.cancel(manager.create("a", delay=3600))
    assert done is not None
    later = manager.create("a", delay=3600)
    count = sql.SQL("select count(*) from {}.waiter").format(sql.Identifier(schema))
    for kind, announces in (("reader", 0), ("worker", 1)):
        theirs = make_manager(granted[kind].url)
        theirs.future(later)
        assert theirs.wait(done, 30) == done
        until(lambda announces=announces: conn.execute(count).fetchone() == (announces,))  # type: ignore[misc]
        theirs.stop()
    theirs = make_manager(granted["producer"].url)
    assert_forbidden(lambda: theirs.wait(done, 30), granted["producer"])


def test_a_future_that_a_reader_gives_up_leaves_its_job_alone(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    job = manager.create("a", delay=3600)
    reader = make_manager(granted["reader"].url)
    reader.future(job).cancel()
    until(lambda: "the jobs of 1 futures that were given up cannot be cancelled" in caplog.text)
    assert manager.find(job) == job


def test_a_worker_controls_jobs_and_the_others_do_not(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    calls: list[Callable[[JobManager, Job], object]] = [
        lambda theirs, job: theirs.set_priority(job, 3),
        lambda theirs, job: theirs.reschedule(job, delay=3),
        lambda theirs, job: theirs.cancel(job, "why"),
        lambda theirs, job: theirs.retry(job, attempts=2),
        lambda theirs, job: theirs.cancel_all(type="a"),
        lambda theirs, job: theirs.retry_all(type="a"),
        lambda theirs, job: theirs.cancel(job),
        lambda theirs, job: theirs.delete_all(type="b"),
        lambda theirs, job: theirs.delete(job),
    ]
    job = manager.create("a")
    for kind in ("producer", "reader"):
        theirs = make_manager(granted[kind].url)
        for call in calls:
            assert_forbidden(lambda call=call, theirs=theirs: call(theirs, job), granted[kind])  # type: ignore[misc]
    assert manager.find(job) == job
    theirs = make_manager(granted["worker"].url)
    with theirs.acting_as("ada"):
        for call in calls:
            assert call(theirs, job) is not None
    assert manager.find(job) is None
    assert len(conn.execute(sql.SQL("select 1 from {}.audit").format(sql.Identifier(schema))).fetchall()) == len(calls) - 1
    assert_denied(granted["worker"], schema, ["update audit set actor = 'bob'", "delete from duty", "truncate audit"])


def test_a_worker_pauses_and_resumes_a_reader_sees_what_is_paused_and_a_producer_does_neither(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, schema: str
) -> None:
    worker = make_manager(granted["worker"].url)
    with worker.acting_as("ada"):
        paused = worker.pause("q", until=datetime(2100, 1, 1, tzinfo=UTC))
        worker.pause()
        assert worker.resume()
    reader, producer = make_manager(granted["reader"].url), make_manager(granted["producer"].url)
    assert manager.paused() == worker.paused() == reader.paused() == [paused]
    for call in (lambda: reader.pause(), lambda: reader.resume("q")):
        assert_forbidden(call, granted["reader"])
    for call in (lambda: producer.pause(), lambda: producer.resume("q"), lambda: producer.paused()):
        assert_forbidden(call, granted["producer"])
    worker.start()
    assert worker.stop().complete


def test_a_worker_counts_a_reader_looks_and_a_producer_does_neither(
    granted: dict[str, Role], make_manager: MakeManager, schema: str
) -> None:
    theirs = make_manager(granted["worker"].url, handlers={"a": print}, _tuning=Tuning(stat_merge=0.05))
    job = theirs.create("a")
    theirs.start(workers=1)
    until(lambda: theirs.find(job).status == "completed")  # type: ignore[union-attr]
    theirs.stop()
    for kind in ("worker", "reader"):
        assert make_manager(granted[kind].url).stats().counts["default", "a", "completed"] == 1
    assert_forbidden(lambda: make_manager(granted["producer"].url).stats(), granted["producer"])
    for kind in ("reader", "producer"):
        assert_denied(granted[kind], schema, ["update stat set failed = 0", "delete from stat"])


def test_a_worker_clears_the_tables_between_tests_and_a_reader_and_a_producer_do_not(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    theirs = make_manager(granted["worker"].url)
    with theirs.acting_as("ada"):
        job = theirs.create("a", unique="k", unique_for=60)
        theirs.cancel(job)
        theirs.pause("q")
    for kind in ("reader", "producer"):
        other = make_manager(granted[kind].url)
        assert_forbidden(lambda other=other: clear(other), granted[kind])  # type: ignore[misc]
    assert manager.find(job) is not None
    clear(theirs)
    for table in ("job", "unique_window", "audit", "pause"):
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
        assert conn.execute(query).fetchall() == [(0,)], table


class TwiceSent:
    """In place of the connections of a manager: the reply to the first try of each call is lost."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def call(self, statement: Callable[[psycopg.Connection], Any], **more: Any) -> Any:
        first = statement(self._connection)
        again = statement(self._connection)
        assert again == first
        return again


def test_a_producer_whose_reply_was_lost_learns_what_it_stored(
    granted: dict[str, Role], manager: JobManager, schema: str
) -> None:
    settings = Settings(schema=schema)
    statements = statements_for(settings)
    with psycopg.connect(granted["producer"].url, autocommit=True) as connection:
        twice = cast(Connections, TwiceSent(connection))
        calls = Calls(connections=twice, statements=statements, settings=settings)
        creator = Creator(statements=statements, calls=calls, connections=twice, settings=settings)
        one = creator.create(checked(NewJob("a", {"n": 1}), Settings()), False, None)
        many = creator.create_many([checked(NewJob("b"), Settings()) for _ in range(3)], False, None)
    assert manager.fetch_all() == [*reversed(many), one]


def test_a_producer_meets_its_first_conflict_without_the_right_to_look(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager
) -> None:
    producer = granted["producer"]
    theirs = make_manager(producer.url)
    options: dict[str, Any] = {"unique": "k", "tags": {"t": 1}, "metadata": {"m": 1}, "timeout": 5, "expires_in": 60}
    job = theirs.create("a", **options)
    assert manager.find(job) == job
    (many,) = theirs.create_many([NewJob("a", tags={"t": 1}, timeout=5, expires_in=60)])
    assert manager.find(many) == many
    assert_forbidden(lambda: theirs.create("a", unique="k"), producer)
    assert_forbidden(lambda: theirs.create("a", unique="l", unique_for=60), producer)


@pytest.mark.parametrize("kind", ["producer", "worker"])
def test_with_unique_a_role_creates_jobs_that_conflict(
    roles: dict[str, Role], conn: psycopg.Connection, make_manager: MakeManager, manager: JobManager, schema: str, kind: str
) -> None:
    conn.execute(grants(schema, **{kind: roles[kind].name}, unique=True).encode())  # type: ignore[arg-type]
    theirs = make_manager(roles[kind].url)
    first = theirs.create("a", unique="k", unique_for=60)
    assert theirs.create("a", unique="k", unique_for=60).uid == first.uid
    with pytest.raises(AlreadyExists):
        theirs.create("a", unique="k", on_conflict="raise")
    with psycopg.connect(roles[kind].url) as connection:
        changed = theirs.create("b", {"n": 2}, unique="k", on_conflict="replace", connection=connection)
    assert (changed.uid, manager.find(first).payload) == (first.uid, {"n": 2})
    table = sql.SQL("update {}.job set status = 'running', process_id = 1, claimed_at = now(), attempts = 1")
    conn.execute(table.format(sql.Identifier(schema)))
    (beside,) = theirs.create_many([NewJob("b", {"n": 3}, unique="k", unique_for=60)], on_conflict="replace")
    assert not beside.duplicate
    conn.execute(
        sql.SQL("update {}.job set status = 'failed', process_id = null, completed_at = now()").format(sql.Identifier(schema))
    )
    assert theirs.create("b", unique="k", unique_for=60).uid == beside.uid
    if kind == "producer":
        assert_denied(roles[kind], schema, [*CHANGES[:2], *CHANGES[4:], "update job set uid = gen_random_uuid()"])


def test_a_worker_returns_the_job_that_is_there_and_cleans_windows_but_replaces_none(
    granted: dict[str, Role], make_manager: MakeManager, schema: str
) -> None:
    worker = granted["worker"]
    theirs = make_manager(worker.url)
    first = theirs.create("a", unique="k", unique_for=0.001)
    assert theirs.create("a", unique="k", unique_for=0.001).uid == first.uid
    assert_forbidden(lambda: theirs.create("a", unique="k", on_conflict="replace"), worker)
    with psycopg.connect(worker.url, autocommit=True) as connection:
        assert statements_for(Settings(schema=schema)).unique.clean_windows(connection, 10) == 1


def test_a_producer_can_do_nothing_else_and_is_told_so(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, schema: str
) -> None:
    producer = granted["producer"]
    job = manager.create("a", {"word": "a secret"})
    theirs = make_manager(producer.url, handler=lambda job: None)
    for call in (
        lambda: theirs.find(job),
        lambda: theirs.history(job),
        theirs.fetch_all,
        lambda: theirs.prune(older_than=timedelta(0)),
        theirs.start,
    ):
        assert_forbidden(call, producer)
    with pytest.raises(SchemaError) as caught:
        theirs.find(job)
    for words in (f'schema "{schema}"', f"does not let the role {producer.name!r} do this", "table job", "steve.grants()"):
        assert words in str(caught.value)
    columns = ("payload", "result", "error", "status", "type", "*", "job", "row_to_json(job)")
    assert_denied(
        producer,
        schema,
        [
            *(f"select {column} from job" for column in columns),
            "insert into job (uid, type) values (gen_random_uuid(), 'a') returning *",
            "insert into job (uid, type) values (gen_random_uuid(), 'a') on conflict (uid) do update set type = 'b'",
            "copy job to stdout",
            "select 1 from job where payload ->> 'word' like 'a%'",
            "select from attempt",
            "select from process",
            "select from log",
            "select from progress",
            *CHANGES,
            *BEYOND_ALL,
        ],
    )
    assert manager.find(job) == job


def test_a_worker_does_all_that_a_manager_does_but_migrate(
    granted: dict[str, Role], make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    def handler(job: Job) -> str:
        if job.payload["do"] == "raise":
            raise LookupError("no")
        if job.payload["do"] == "snooze":
            raise Snooze(3600)
        current_run().progress(1, 2)
        logging.getLogger("grants").warning("a line")
        return "done"

    theirs = make_manager(granted["worker"].url, handler=handler, capture_logs="WARNING")
    theirs.start()
    done = theirs.create("a", {"do": "return"})
    failed, put_off = theirs.create_many(
        [("a", {"do": "raise"}), ("a", {"do": "snooze"})], max_attempts=2, backoff_strategy="none"
    )
    until(lambda: theirs.find(done).result == "done")
    until(lambda: theirs.find(failed).status is Status.FAILED)
    until(lambda: (job := theirs.find(put_off)).status is Status.PENDING and job.run_at > put_off.run_at)
    assert [attempt.status for attempt in theirs.history(failed)] == ["error", "error"]
    assert theirs.find(done).progress.done == 1.0
    assert [line.message for line in theirs.logs(done)] == ["a line"]
    assert len(theirs.fetch_all()) == 3
    assert theirs.stop().complete
    assert conn.execute(sql.SQL("select from {}.process").format(sql.Identifier(schema))).fetchall() == []
    assert theirs.prune(older_than=timedelta(0)) == 2
    assert [job.uid for job in theirs.fetch_all()] == [put_off.uid]
    assert theirs.history(failed) == []


def test_a_worker_may_look_up_a_statement_whose_reply_was_lost(granted: dict[str, Role], schema: str) -> None:
    statements = statements_for(Settings(schema=schema))
    with psycopg.connect(granted["worker"].url, autocommit=True) as connection:
        assert statements.claims.find_claimed(connection, 1, []) == []
        assert statements.settlement.find_settled(connection, "host:1", []) == {}
        assert statements.jobs.find_inserted(connection, [uuid4()]) == {}
        statements.claims.find_horizon(connection)


def test_a_worker_cannot_change_a_jobs_data_the_log_or_the_tables(
    granted: dict[str, Role], manager: JobManager, schema: str
) -> None:
    job = manager.create("a", {"n": 1})
    assert_denied(granted["worker"], schema, BEYOND_ALL)
    assert manager.find(job) == job


def test_a_reader_looks_and_does_nothing_else(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, schema: str
) -> None:
    job = manager.create("a", {"n": 1})
    reader = granted["reader"]
    theirs = make_manager(reader.url, handler=lambda job: None)
    assert theirs.find(job) == job
    assert theirs.history(job, running=True) == []
    assert theirs.fetch_all() == [job]
    assert theirs.logs(job) == []
    assert theirs.why(job).codes == ("no_process",)
    assert theirs.processes() == []
    for call in (
        lambda: theirs.create("a"),
        lambda: theirs.create_many([("a", None)]),
        lambda: theirs.prune(older_than=timedelta(0)),
        theirs.start,
    ):
        assert_forbidden(call, reader)
    assert_denied(
        reader,
        schema,
        [
            "insert into job (uid, type) values (gen_random_uuid(), 'a')",
            "copy job (uid, type) from stdin",
            *CHANGES,
            *BEYOND_ALL,
        ],
    )
    assert manager.find(job) == job


@pytest.mark.parametrize("kind", ["completer", "worker"])
def test_a_completer_completes_first_and_later_attempts(
    granted: dict[str, Role], make_manager: MakeManager, manager: JobManager, kind: str
) -> None:
    def handler(job: Job) -> None:
        if job.payload["later"] and job.attempts == 1:
            raise LookupError
        with psycopg.connect(granted[kind].url) as connection:
            current_run().complete("by complete", connection=connection)
            with pytest.raises(NotPossible):
                current_run().complete("again", connection=connection)
            connection.rollback()
            current_run().complete("by complete", connection=connection)

    manager.set_handler("a", handler)
    manager.start()
    jobs = [manager.create("a", {"later": later}, backoff_strategy="none") for later in (False, True)]
    for job in jobs:
        until(lambda job=job: manager.find(job).status.startswith(("completed", "failed")))  # type: ignore[misc, union-attr]
        assert manager.find(job).result == "by complete"  # type: ignore[union-attr]


def test_a_completer_can_do_nothing_else(granted: dict[str, Role], manager: JobManager, schema: str) -> None:
    job = manager.create("a", {"n": 1})
    denied = [
        "select payload from job",
        "delete from job",
        "select * from attempt",
        "update job set run_at = now()",
        *CHANGES[6:],
    ]
    denied = [one for one in denied if not one.startswith(("insert into attempt", "delete from attempt"))]
    assert_denied(granted["completer"], schema, [*denied, *BEYOND_ALL])
    assert manager.find(job) == job


def test_a_role_that_may_not_complete_is_told_what_it_needs(granted: dict[str, Role], manager: JobManager, schema: str) -> None:
    told: list[SchemaError] = []

    def handler(job: Job) -> None:
        with psycopg.connect(granted["reader"].url) as connection:
            try:
                current_run().complete(connection=connection)
            except SchemaError as error:
                told.append(error)
                raise

    manager.set_handler("a", handler)
    manager.start()
    job = manager.create("a", max_attempts=1)
    until(lambda: manager.find(job).status is Status.FAILED)  # type: ignore[union-attr]
    assert "permission denied for table job" in str(told[0])
    assert f"steve.grants(schema={schema!r}, completer=...)" in str(told[0])
    assert repr(granted["reader"].name) in str(told[0])
    assert isinstance(told[0].__cause__, psycopg.errors.InsufficientPrivilege)


def test_a_role_that_may_not_migrate_is_told_what_the_tables_lack(
    granted: dict[str, Role], make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    """Each role may read which migrations were applied."""
    (last,) = migrations.load()[-1:]
    conn.execute(sql.SQL("delete from {}.migration where number = {}").format(sql.Identifier(schema), last.number))
    for role in granted.values():
        for call in (make_manager(role.url).start, make_manager(role.url).migrate):
            with pytest.raises(SchemaError, match=last.name):
                call()


def test_a_role_of_one_kind_gets_no_right_of_another(
    roles: dict[str, Role], conn: psycopg.Connection, manager: JobManager, schema: str
) -> None:
    def rights() -> set[tuple[str, ...]]:
        query = "select grantee, table_name, column_name, privilege_type from information_schema.column_privileges"
        names = [role.name for role in roles.values()]
        return set(conn.execute(f"{query} where grantee = any(%s) and table_schema = %s", [names, schema]).fetchall())

    together: set[tuple[str, ...]] = set()
    for kind, role in roles.items():
        conn.execute(grants(schema, **{kind: role.name}).encode())
        conn.execute(grants(schema, **{kind: role.name}).encode())  # again changes nothing
        assert {grantee for grantee, *_ in rights() - together} == {role.name}
        together = rights()


def test_grants_prints_grants_and_nothing_else() -> None:
    text = grants("jobs", producer="web", worker="work", reader="eve")
    statements = [" ".join(statement.split()) for statement in text.split(";")]
    assert statements.pop() == ""
    assert all(statement.startswith("grant ") for statement in statements)
    assert {statement.rpartition(" to ")[2] for statement in statements} == {'"web"', '"work"', '"eve"'}
    assert not any(word in text for word in ("function", "trigger", "definer", " all ", "public", "with grant"))
    assert "steve" not in text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "name at least one role: producer=, worker=, reader= or completer="),
        ({"worker": ""}, ValueError, "worker must be 1 to 63 bytes"),
        ({"worker": "w" * 64}, ValueError, "worker must be 1 to 63 bytes"),
        ({"reader": "a\x00b"}, ValueError, "reader contains a NUL"),
        ({"producer": 5}, TypeError, "producer must be a str, not int"),
        ({"producer": ["web"]}, TypeError, "producer must be a str, not list"),
        ({"reader": "public"}, ValueError, 'reader must be a role: "public" would be everybody'),
        ({"schema": "pg_jobs", "worker": "w"}, ValueError, 'schema must not begin with "pg_"'),
        ({"schema": None, "worker": "w"}, TypeError, "schema must be a str, not NoneType"),
        ({"schema": "s" * 64, "worker": "w"}, ValueError, "schema must be 1 to 63 bytes"),
    ],
)
def test_a_wrong_name_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        grants(**arguments)
    assert str(caught.value).startswith(message)
