"""Migrations are applied once however many processes start, in a schema of any name, and never under code that does not know
a contract.
"""

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, SchemaError, Status
from steve import migrations as published
from steve._database import migrations
from steve._database.execute import quoted
from steve._database.migrations import Migration
from steve._database.statements.script import Script
from steve._model.tuning import Tuning
from tests.conftest import until

MakeManager = Callable[..., JobManager]


def known(*more: tuple[str, str]) -> list[Migration]:
    """The real migrations, and some made up for a test: names without a number ("expand_x"), and SQL."""
    real = migrations.load()
    made_up = []
    for number, (name, text) in enumerate(more, real[-1].number + 1):
        checksum = hashlib.sha256(text.encode()).hexdigest()
        made_up.append(Migration(number, f"{number:04}_{name}", name.partition("_")[0], text, checksum))
    return [*real, *made_up]


def applied(conn: psycopg.Connection, schema: str) -> list[str]:
    query = sql.SQL("select name from {}.migration order by number").format(sql.Identifier(schema))
    return [name for (name,) in conn.execute(query).fetchall()]


def columns(conn: psycopg.Connection, schema: str) -> list[str]:
    query = "select table_name || '.' || column_name from information_schema.columns where table_schema = %s"
    return [name for (name,) in conn.execute(query, [schema]).fetchall()]


def catalog(conn: psycopg.Connection, schema: str) -> dict[str, list[Any]]:
    """What PostgreSQL's catalog says of the schema: the same for two schemas that differ only in their names and ids."""
    queries = {
        "tables": "select relname, relkind, relpersistence, reloptions from pg_class where relnamespace = %(id)s order by 1",
        "columns": """
            select attrelid::regclass::text, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
              attcollation::regcollation::text, pg_get_expr(adbin, adrelid)
            from pg_attribute join pg_class on pg_class.oid = attrelid
            left join pg_attrdef on adrelid = attrelid and adnum = attnum
            where relnamespace = %(id)s and attnum > 0 order by 1, 2""",
        "constraints": """
            select conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)
            from pg_constraint where connamespace = %(id)s order by 1, 2""",
        "indexes": """
            select pg_get_indexdef(indexrelid), indisvalid, indisunique, indisprimary
            from pg_index join pg_class on pg_class.oid = indexrelid where relnamespace = %(id)s order by 1""",
        "migrations": f"select number, name, kind, checksum from {quoted(schema)}.migration order by 1",
    }
    (id,) = conn.execute("select oid from pg_namespace where nspname = %s", [schema]).fetchone()
    dump = {what: [list(row) for row in conn.execute(query, {"id": id}).fetchall()] for what, query in queries.items()}
    return json.loads(json.dumps(dump, default=str).replace(schema, "THE_SCHEMA"))


# -- applied once -------------------------------------------------------------------------------------------------------

MIGRATES = """
import sys
from steve import JobManager
print("ready", flush=True)
for line in sys.stdin:
    how, schema = line.split()
    manager = JobManager(sys.argv[1], schema=schema)
    if how == "migrate":
        names = manager.migrate()
    else:
        manager.start()
        names = ["?"]
    manager.create("a")  # it goes on
    manager.stop()
    print(*names, flush=True)
"""


def test_one_of_ten_processes_makes_the_tables_and_all_go_on(database_url: str, conn: psycopg.Connection) -> None:
    schemas = [f"test_{uuid4().hex[:12]}" for _ in range(3)]
    command = [sys.executable, "-c", MIGRATES, database_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(10)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for schema, how in zip(schemas, ("migrate", "start", "migrate"), strict=True):
            for process in processes:
                process.stdin.write(f"{how} {schema}\n")
                process.stdin.flush()
            names = sorted(process.stdout.readline().strip() for process in processes)
            assert names == (["?"] * 10 if how == "start" else [""] * 9 + [" ".join(m.name for m in known())])
            assert applied(conn, schema) == [m.name for m in known()]
            assert conn.execute(f"select count(*) from {schema}.job").fetchone() == (10,)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        for schema in schemas:
            conn.execute(f"drop schema if exists {schema} cascade")


def test_migrate_returns_the_names_and_the_second_time_none(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager()
    names = manager.migrate()
    assert names == [m.name for m in migrations.load()] == applied(conn, schema)
    assert manager.migrate() == []
    assert manager.migrate(contract=True) == []
    assert manager.migrate(dry_run=True) == []


def test_it_makes_the_tables_in_a_schema_that_exists_already(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    manager = make_manager()
    assert manager.migrate() == [m.name for m in known()]
    assert manager.find(manager.create("a")).status == "pending"


def test_the_files_are_numbered_in_order_and_named_by_their_kind() -> None:
    loaded = migrations.load()
    assert [m.number for m in loaded] == list(range(1, len(loaded) + 1))
    for migration in loaded:
        assert migration.name.startswith(f"{migration.number:04}_{migration.kind}_")
        assert migration.kind in ("expand", "contract")


# -- dry run ------------------------------------------------------------------------------------------------------------


def test_the_sql_of_a_dry_run_makes_the_same_schema_by_hand(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    other = f"{schema}_by_hand"
    make_manager().migrate()
    try:
        by_hand = make_manager(schema=other)
        script = by_hand.migrate(dry_run=True)
        assert conn.execute("select from pg_namespace where nspname = %s", [other]).fetchall() == []
        conn.execute("\n".join(script).encode())  # as `psql -f` sends it: without parameters
        assert catalog(conn, other) == catalog(conn, schema)
        assert by_hand.migrate() == []
        assert by_hand.find(by_hand.create("a")).status == "pending"
    finally:
        conn.execute(f"drop schema if exists {other} cascade")


def test_a_dry_run_shows_only_what_is_missing(conn: psycopg.Connection, schema: str) -> None:
    migrations.migrate(conn, schema)
    more = known(("expand_x", "alter table {schema}.job add column x text;"), ("contract_y", "select 1;"))
    (step,) = migrations.migrate(conn, schema, dry_run=True, known=more)
    assert f'alter table "{schema}".job add column x text;' in step
    assert "0002_expand_x" in step
    assert len(migrations.migrate(conn, schema, dry_run=True, contract=True, known=more)) == 2
    assert "job.x" not in columns(conn, schema)


# -- expand and contract ------------------------------------------------------------------------------------------------


def test_migrations_one_by_one_make_the_same_schema_as_all_at_once(conn: psycopg.Connection, schema: str) -> None:
    more = known(
        ("expand_x", "alter table {schema}.job add column x text; create index on {schema}.job (x);"),
        ("expand_y", "alter table {schema}.job add column y text check (y <> '');"),
        ("contract_z", "alter table {schema}.job drop column x;"),
    )
    other = f"{schema}_steps"
    try:
        names = [m.name for m in more]
        assert migrations.migrate(conn, schema, contract=True, known=more) == names
        for count, migration in enumerate(more, 1):
            assert migrations.migrate(conn, other, contract=True, known=more[:count]) == [migration.name]
        assert catalog(conn, other) == catalog(conn, schema)
    finally:
        conn.execute(f"drop schema if exists {other} cascade")


def test_a_contract_is_applied_only_when_asked_for(conn: psycopg.Connection, schema: str) -> None:
    more = known(
        ("contract_x", "alter table {schema}.job add column x text;"), ("expand_y", "alter table {schema}.job add y text;")
    )
    assert migrations.migrate(conn, schema, known=more) == [more[0].name, "0003_expand_y"]
    assert migrations.migrate(conn, schema, known=more) == []
    assert "job.x" not in columns(conn, schema)
    assert migrations.migrate(conn, schema, contract=True, known=more) == ["0002_contract_x"]
    assert "job.x" in columns(conn, schema)


def test_a_process_goes_on_under_an_expand_that_it_does_not_know(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    more = known(("expand_x", "alter table {schema}.job add column x text not null default 'new';"))
    manager = make_manager(handlers={"a": lambda job: "done"})
    manager.start()
    before = manager.create("a")
    until(lambda: manager.find(before).status == "completed")
    migrations.migrate(conn, schema, known=more)  # a newer version is deployed beside it
    after = manager.create("a")
    until(lambda: manager.find(after).status == "completed")
    manager.stop()

    manager.start()  # and may be started again
    again = manager.create("a")
    until(lambda: manager.find(again).status == "completed")
    assert manager.migrate() == []
    assert applied(conn, schema) == [m.name for m in more]


def test_a_process_does_not_start_under_a_contract_that_it_does_not_know(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    migrations.migrate(conn, schema, contract=True, known=known(("contract_x", "alter table {schema}.job drop column error;")))
    manager = make_manager()
    for call in (manager.start, lambda: manager.start(migrate=False), manager.migrate, lambda: manager.migrate(contract=True)):
        with pytest.raises(SchemaError, match="too new: 0002_contract_x") as caught:
            call()
        assert "upgrade" in str(caught.value)
    assert manager.stop().complete


@pytest.mark.parametrize("call", ["start", "migrate", "dry run"])
def test_a_migration_applied_with_another_text_is_refused(
    call: str, make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager()
    manager.migrate()
    conn.execute(sql.SQL("update {}.migration set checksum = 'edited'").format(sql.Identifier(schema)))
    calls = {"start": manager.start, "migrate": manager.migrate, "dry run": lambda: manager.migrate(dry_run=True)}
    with pytest.raises(SchemaError, match=known()[0].name) as caught:
        calls[call]()
    assert "another text" in str(caught.value)
    assert "install the version" in str(caught.value)


def test_a_migration_that_fails_undoes_those_before_it_too(conn: psycopg.Connection, schema: str) -> None:
    more = known(("expand_x", "alter table {schema}.job add column x text; select 1/0;"))
    with pytest.raises(SchemaError, match=r"the migration \d+_expand_x of schema .* cannot be applied: division by zero"):
        migrations.migrate(conn, schema, known=more)
    assert conn.execute("select from pg_namespace where nspname = %s", [schema]).fetchall() == []
    assert migrations.migrate(conn, schema) == [more[0].name]


# -- waiting ------------------------------------------------------------------------------------------------------------


def test_a_locked_table_is_tried_again_until_it_is_free(conn: psycopg.Connection, database_url: str, schema: str) -> None:
    migrations.migrate(conn, schema)
    # Its own, shorter patience than the three seconds that it would be given.
    more = known(("expand_x", "set local lock_timeout = '300ms'; alter table {schema}.job add column x text;"))
    result: list[list[str]] = []
    with psycopg.connect(database_url) as reader, psycopg.connect(database_url, autocommit=True) as migrator:
        reader.execute(sql.SQL("select from {}.job").format(sql.Identifier(schema)))
        thread = threading.Thread(target=lambda: result.append(migrations.migrate(migrator, schema, known=more)))
        thread.start()
        query = "select xact_start from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        tries: set[object] = set()

        def has_tried_twice() -> bool:
            tries.update(conn.execute(query, [migrator.info.backend_pid]).fetchall())
            return len(tries) >= 2

        until(has_tried_twice)
        assert result == []
        reader.rollback()
        thread.join(60)
    assert result == [["0002_expand_x"]]


def test_a_locked_table_and_a_migration_elsewhere_are_named_as_causes(
    conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    migrations.migrate(conn, schema)
    more = known(("expand_x", "set local lock_timeout = '20ms'; alter table {schema}.job add column x text;"))
    with psycopg.connect(database_url) as other:
        other.execute(sql.SQL("select from {}.job").format(sql.Identifier(schema)))
        with pytest.raises(SchemaError, match="lock timeout") as caught:
            migrations.migrate(conn, schema, known=more, patience=0.2)
        assert f'"{schema}"' in str(caught.value)
        other.rollback()
        other.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"steve:migrate:{schema}"])
        with pytest.raises(SchemaError, match="another process migrates it"):
            migrations.migrate(conn, schema, known=more, patience=0.2)
    assert migrations.migrate(conn, schema, known=more) == ["0002_expand_x"]


# -- rights -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def role(conn: psycopg.Connection, database_url: str) -> Iterator[tuple[str, str]]:
    """A role without any rights but to connect: its name, and a conninfo."""
    name = f"steve_test_{uuid4().hex[:8]}"
    try:
        conn.execute(f"create role {name} login password 'sesame'")
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("the role of the tests may not create roles")
    conninfo = make_conninfo(database_url, user=name, password="sesame")
    yield name, conninfo
    conn.execute(f"drop owned by {name} cascade")
    conn.execute(f"drop role {name}")


def test_a_role_that_may_not_create_a_schema_is_told_what_to_do(
    role: tuple[str, str], make_manager: MakeManager, schema: str
) -> None:
    manager = make_manager(role[1])
    for call in (manager.migrate, manager.start, lambda: manager.create("a")):
        with pytest.raises(SchemaError) as caught:
            call()
        for words in (f'"{schema}"', "manager.migrate()", "python -m steve migrate", "as the owner"):
            assert words in str(caught.value)
        assert "sesame" not in str(caught.value)


def test_a_role_without_rights_on_the_schema_is_told_so(
    role: tuple[str, str], make_manager: MakeManager, schema: str, conn: psycopg.Connection
) -> None:
    make_manager().migrate()
    manager = make_manager(role[1])

    def assert_refused(*calls: Callable[[], object]) -> None:
        for call in calls:
            with pytest.raises(SchemaError, match=f'"{schema}".*permission denied') as caught:
                call()
            assert "right" in str(caught.value) or "manager.migrate()" in str(caught.value)
            assert "sesame" not in str(caught.value)

    assert_refused(manager.migrate, manager.start, lambda: manager.create("a"), manager.fetch_all)
    conn.execute(f"grant usage on schema {schema} to {role[0]}")
    assert_refused(manager.migrate, manager.start)


def test_a_role_that_may_only_read_and_write_works_and_cannot_migrate(
    role: tuple[str, str], make_manager: MakeManager, schema: str, conn: psycopg.Connection
) -> None:
    make_manager().migrate()
    conn.execute(f"grant usage on schema {schema} to {role[0]}")
    conn.execute(f"grant select, insert, update, delete on all tables in schema {schema} to {role[0]}")
    manager = make_manager(role[1], handlers={"a": lambda job: "done"})
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status == "completed")
    manager.stop()
    assert manager.migrate() == []  # nothing to do, nothing refused

    with psycopg.connect(role[1], autocommit=True) as theirs, pytest.raises(SchemaError, match="as the owner") as caught:
        migrations.migrate(theirs, schema, known=known(("expand_x", "alter table {schema}.job add column x text;")))
    assert "must be owner" in str(caught.value)


def test_an_expand_that_the_role_may_not_apply_is_named(
    role: tuple[str, str], make_manager: MakeManager, schema: str, conn: psycopg.Connection
) -> None:
    make_manager().migrate()
    conn.execute(f"grant usage on schema {schema} to {role[0]}")
    conn.execute(f"grant select, insert, update, delete on all tables in schema {schema} to {role[0]}")
    (last,) = migrations.load()[-1:]
    conn.execute(f"delete from {schema}.migration where number = {last.number}")  # the code is newer than the tables
    manager = make_manager(role[1])
    for call in (lambda: manager.start(migrate=False), manager.start, manager.migrate):
        with pytest.raises(SchemaError, match=last.name) as caught:
            call()
        for words in (f'"{schema}"', "manager.migrate()", "python -m steve migrate", "as the owner"):
            assert words in str(caught.value)


def test_a_read_only_database_cannot_be_migrated(database_url: str, make_manager: MakeManager, schema: str) -> None:
    manager = make_manager(make_conninfo(database_url, options="-c default_transaction_read_only=on"))
    with pytest.raises(SchemaError, match="read-only") as caught:
        manager.migrate()
    assert f'"{schema}"' in str(caught.value)


# -- any schema ---------------------------------------------------------------------------------------------------------

SCHEMAS = [
    'Ten ant"x',
    "a%b",
    "%s %(id)s %%",
    "ü" * 31 + "x",  # 63 bytes of UTF-8
    "select",
    "{schema}",
    "x--y",
    "back\\slash 'quotes' $$",
    "two\nlines; drop table job",
    "x'; select 1/0; --",
    " ",
]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_job_is_created_and_run_in_a_schema_of_any_name(
    name: str, make_manager: MakeManager, database_url: str, conn: psycopg.Connection
) -> None:
    identifier = sql.Identifier(name)
    conn.execute(sql.SQL("drop schema if exists {} cascade").format(identifier))
    try:
        manager = make_manager(schema=name, poll_interval=3600)
        with pytest.raises(SchemaError) as caught:
            manager.create("a")
        assert f'schema "{name}"' in str(caught.value)
        assert manager.migrate() == applied(conn, name)
        told: list[Status | str] = []
        manager.on_done("a", lambda job: told.append(job.status))
        manager.set_handler("a", lambda job: {"n": 1 / job.payload["n"]})
        manager.start()
        good = manager.create("a", {"n": 2})
        until(lambda: told == ["completed"])
        (bad,) = manager.create_many([("a", {"n": 0})], max_attempts=2, backoff_strategy="none")
        until(lambda: told == ["completed", "failed"])
        with psycopg.connect(database_url) as theirs:
            waiting = manager.create("b", connection=theirs)
        assert manager.find(good).result == {"n": 0.5}
        assert manager.find(bad).error == "ZeroDivisionError: division by zero"
        assert [attempt.status for attempt in manager.history(bad)] == ["error", "error"]
        assert manager.fetch_all() == [waiting, manager.find(bad), manager.find(good)]
        assert manager.fetch_all("pending", type="b", before=None) == [waiting]
        assert manager.stop().complete
        process = sql.SQL("select from {}.process").format(identifier)
        assert conn.execute(process).fetchall() == []
    finally:
        conn.execute(sql.SQL("drop schema if exists {} cascade").format(identifier))


def test_several_schemas_in_one_database_do_not_see_each_other(
    make_manager: MakeManager, schema: str, conn: psycopg.Connection
) -> None:
    names = [schema, f"{schema}_2"]
    channels = [Script(name, Tuning()).channel for name in names]
    jobs: list[list[Job]] = [[], []]
    try:
        managers = [make_manager(schema=name, poll_interval=3600) for name in names]
        for manager, seen in zip(managers, jobs, strict=True):
            manager.set_handler("a", seen.append)
            manager.start()
        assert len(set(channels)) == 2
        for channel in channels:
            conn.execute(f"listen {channel}")
        second = managers[1].create("a")
        first = managers[0].create("a")
        until(lambda: all(jobs))
        assert [[job.uid for job in seen] for seen in jobs] == [[first.uid], [second.uid]]
        heard = [notification.channel for notification in conn.notifies(timeout=30, stop_after=2)]
        assert heard == [channels[1], channels[0]]
        assert managers[0].find(second) is None
        assert len(managers[0].fetch_all()) == 1
        for manager in managers:
            assert manager.stop().complete
    finally:
        conn.execute(f"drop schema if exists {names[1]} cascade")


@pytest.mark.parametrize("name", ["steve_sql", 'O\'Neill $steve$ $$ "x" %s :y'])
def test_the_migrations_as_sql_make_what_migrate_makes_and_change_nothing_after_it(database_url: str, name: str) -> None:
    text = published.sql(schema=name)
    manager = JobManager(database_url, schema=name)
    with psycopg.connect(database_url, autocommit=True) as connection:
        try:
            with connection.transaction():  # as a tool that applies migrations has it
                connection.execute("set local search_path = pg_temp, public")
                connection.execute(text.encode())
                assert connection.execute("show search_path").fetchone() == ("pg_temp, public",), "other statements follow"
            assert manager.migrate() == []
            manager.create("x")
            connection.execute(text.encode())
            assert [job.type for job in manager.fetch_all()] == ["x"]
            connection.execute(sql.SQL("update {}.migration set checksum = 'other'").format(sql.Identifier(name)))
            with pytest.raises(psycopg.errors.RaiseException, match="applied with another text"):
                connection.execute(text.encode())
        finally:
            manager.stop()
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


def test_the_migrations_as_sql_are_named_and_one_can_be_had_alone() -> None:
    first, *_ = published.names()
    assert published.sql(first, schema="x") in published.sql(schema="x") or len(published.names()) > 1
    assert published.names(contract=True)[: len(published.names())] == published.names()
    # SQLAlchemy, and so Alembic, takes a word after a colon for a parameter.
    assert re.findall(r"(?<![:\w\\]):(\w+)(?!:)", published.sql()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "0000_nothing"}, ValueError, "0001_expand"),
        ({"schema": "pg_x"}, ValueError, "pg_"),
        ({"schema": ""}, ValueError, "schema"),
        ({"schema": 7}, TypeError, "schema"),
    ],
)
def test_the_migrations_as_sql_refuse_what_cannot_be(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        published.sql(**arguments)
