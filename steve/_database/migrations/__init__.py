"""Makes and changes the tables, by numbered SQL files. They are applied in order, each once, by one process at a time.

`NNNN_expand_x.sql` may be applied while older code works. `NNNN_contract_x.sql` may be applied only when no process runs older
code any more, and only `migrate(contract=True)` does that. The table `migration` records what was applied, with the checksum of
the text, so a released file must never be edited. `JobManager.start` and `JobManager.migrate` call this module. Nothing else
runs DDL.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import psycopg
from psycopg import errors

from steve._database.execute import execute, quoted
from steve._database.failures import Connection, DatabaseFailure, Misconfigured, Refused, failure_of
from steve.errors import SchemaError


class Migration(NamedTuple):
    number: int
    name: str
    """The name of the file without `.sql`."""
    kind: str
    """"expand" or "contract"."""
    sql: str
    checksum: str


class Applied(NamedTuple):
    """A row of the table `migration`."""

    number: int
    name: str
    kind: str
    checksum: str


class Step(NamedTuple):
    """SQL to run. `name`: the name of the migration; None for the SQL before the first one."""

    name: str | None
    sql: str


@cache
def load() -> tuple[Migration, ...]:
    """The migrations that this version of steve knows, in order. They are read once, because a deploy may replace the files."""
    migrations = []
    for file in files(__name__).iterdir():
        name, dot, ending = file.name.partition(".")
        if dot and ending == "sql":
            number, kind, _ = name.split("_", 2)
            sql = file.read_text()
            migrations.append(Migration(int(number), name, kind, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return tuple(sorted(migrations))


def read(connection: Connection, schema: str) -> list[Applied] | None:
    """The migrations that were applied to the schema. None: steve has no tables there. Raises psycopg.Error and SchemaError."""
    try:
        # An open transaction gets a savepoint, so that it can go on if the table is missing.
        with connection.transaction() if connection.info.transaction_status else nullcontext():
            table = f"{quoted(schema)}.migration"
            rows = execute(connection, f"select number, name, kind, checksum from {table} order by number")
            if not rows and execute(connection, "select pg_catalog.row_security_active(%s)", [table]) == [(True,)]:
                role = connection.info.user
                raise SchemaError(
                    f"row level security hides the rows of {table} from the role {role!r}: create a policy for it"
                )
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return None
    return [Applied(*row) for row in rows]


def missing(known: Sequence[Migration], applied: Sequence[Applied], contract: bool) -> list[Migration]:
    """The migrations to apply, in order: all expand migrations and, with `contract`, the contract migrations.

    Raises SchemaError if the schema is too new for this code, or if the text of a file differs from what was applied.
    """
    by_number = {migration.number: migration for migration in known}
    for row in applied:
        mine = by_number.get(row.number)
        if mine is None and row.kind == "contract":
            raise SchemaError(
                f"the tables are too new: {row.name} was applied, which this version of steve does not know: upgrade"
            )
        if mine is not None and mine.checksum != row.checksum:
            raise SchemaError(
                f"migration {row.name} was applied with another text than {mine.name} has here: "
                "install the version of steve that made these tables, or one released after it"
            )
    done = {row.number for row in applied}
    return [m for m in known if m.number not in done and (m.kind == "expand" or contract)]


def plan(
    known: Sequence[Migration], applied: Sequence[Applied] | None, schema: str, *, contract: bool, create: bool
) -> list[Step]:
    """The SQL that brings the schema up to date, in the order in which it runs. `create`: create the schema, too."""
    steps = []
    if applied is None:
        steps.append(Step(None, (f"create schema {quoted(schema)};\n" if create else "") + _MIGRATION_TABLE % quoted(schema)))
    for migration in missing(known, applied or [], contract):
        record = (
            f"insert into {quoted(schema)}.migration (number, name, kind, checksum)\n"
            f"values ({migration.number}, '{migration.name}', '{migration.kind}', '{migration.checksum}');\n"
        )
        steps.append(Step(migration.name, migration.sql.replace("{schema}", quoted(schema)) + "\n" + record))
    return steps


def as_one_statement(migrations: Sequence[Migration], schema: str) -> str:
    """A statement that does what `migrate` does for these migrations, for whatever connection it is sent on."""
    name = quoted(schema)
    steps = "".join(
        _ONE_STEP.format(
            schema=name,
            number=one.number,
            name=one.name,
            kind=one.kind,
            checksum=one.checksum,
            sql=one.sql.replace("{schema}", name),
        )
        for one in migrations
    )
    text = _ONE_STATEMENT.format(
        schema=name, text=_literal(name), key=_literal(f"steve:migrate:{schema}"), table=_MIGRATION_TABLE % name, steps=steps
    )
    tag = "$steve$"
    while tag in text:  # a schema may be called so
        tag = f"{tag[:-1]}_$"
    return f"do {tag}\n{text}{tag};\n"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_ONE_STATEMENT = """\
declare
  path constant text := pg_catalog.current_setting('search_path');
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({key}, 0));
  -- Functions and types in a migration are PostgreSQL's own.
  perform pg_catalog.set_config('search_path', 'pg_catalog', true);
  if pg_catalog.to_regnamespace({text}) is null then
    create schema {schema};
  end if;
  if pg_catalog.to_regclass({text} || '.migration') is null then
    {table}  end if;
{steps}  perform pg_catalog.set_config('search_path', path, true);
end
"""
"""The path is put back, because other statements may follow in the same transaction."""

_ONE_STEP = """\
  if exists (select from {schema}.migration where number = {number} and checksum <> '{checksum}') then
    raise exception 'migration {name} was applied with another text than this version of steve has';
  end if;
  if not exists (select from {schema}.migration where number = {number}) then
{sql}
    insert into {schema}.migration (number, name, kind, checksum)
    values ({number}, '{name}', '{kind}', '{checksum}');
  end if;
"""


def migrate(
    connection: Connection,
    schema: str,
    *,
    contract: bool = False,
    dry_run: bool = False,
    known: Sequence[Migration] | None = None,
    patience: float = 60.0,
) -> list[str]:
    """Apply the migrations that are missing and return their names. With `dry_run` apply none and return their SQL.

    `connection`: must be in autocommit. `patience`: seconds to wait for another process that migrates, or for a table's lock.
    Raises SchemaError, with PostgreSQL's own words if it refuses a migration, and psycopg.Error if the connection fails.
    """
    known = load() if known is None else known
    deadline = time.monotonic() + patience
    steps: list[Step] = []
    under_way: str | None = None
    waited_for = "another process migrates it"
    while True:
        try:
            with connection.transaction():
                # Try, and try again later. A statement that waits for the lock would be subject to lock_timeout, and CREATE
                # INDEX CONCURRENTLY in another session would wait for this transaction.
                key = f"steve:migrate:{schema}"
                if execute(connection, _LOCK, [key]) == [(True,)]:
                    steps = _steps(connection, schema, known, contract)
                    if dry_run:
                        return [step.sql for step in steps]
                    execute(connection, _PREPARE)
                    for step in steps:
                        under_way = step.name
                        # The text holds many statements, which cannot be prepared.
                        psycopg.Cursor(connection).execute(step.sql.encode(), prepare=False)
                    return [step.name for step in steps if step.name is not None]
        except errors.LockNotAvailable as error:
            waited_for = str(error)
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
            names = ", ".join(step.name for step in steps if step.name)
            where = _where(connection, schema)
            raise SchemaError(f"{where} lacks {names}, which cannot be applied here ({_words(error)}): {WHAT_TO_DO}") from error
        except psycopg.Error as error:
            if connection.closed or not isinstance(failure_of(error, connection), Refused | Misconfigured):
                raise
            what = f"the migration {under_way} of" if under_way else "the migrations of"
            raise SchemaError(f"{what} {_where(connection, schema)} cannot be applied: {_words(error)}") from error
        if time.monotonic() > deadline:
            raise SchemaError(f"{_where(connection, schema)} could not be migrated within {patience:g} s: {waited_for}")
        time.sleep(0.1)


def ensure(connection: Connection, schema: str, *, apply: bool, patience: float = 60.0) -> None:
    """If the schema lacks what this code needs, apply it, or raise SchemaError if not `apply`. Raises psycopg.Error."""
    if not check(connection, schema):
        if not apply:
            raise describe_missing(connection, schema, None)
        migrate(connection, schema, patience=patience)


def check(connection: Connection, schema: str) -> bool:
    """Whether the schema has all expand migrations that this code knows. Raises SchemaError if it is too new."""
    applied = read(connection, schema)
    return applied is not None and not missing(load(), applied, contract=False)


def describe_missing(connection: Connection, schema: str, error: Exception | None) -> SchemaError:
    """The error for a schema that lacks what this code needs. `error`: the failure of the statement that noticed, or None."""
    where = _where(connection, schema)
    try:
        applied = read(connection, schema)
        names = [migration.name for migration in missing(load(), applied or [], contract=False)]
    except psycopg.Error:
        names = []
    else:
        if applied is None:
            return SchemaError(f"{where} is missing: {WHAT_TO_DO}")
    if names:
        return SchemaError(f"{where} lacks {', '.join(names)}: {WHAT_TO_DO}")
    if isinstance(error, DatabaseFailure) and error.sqlstate == "42501":
        return SchemaError(
            f"{where} does not let the role {connection.info.user!r} do this ({error}): steve.grants() prints the rights that "
            "a producer, a worker and a reader have"
        )
    return SchemaError(f"{where} cannot be used: {error}")


WHAT_TO_DO = "run manager.migrate() or `python -m steve migrate` as the owner, or start a worker that may"


_LOCK = "select pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))"
_PREPARE = """\
select
  -- Other sessions would queue behind a long wait for a table's lock. So give up soon, and try again.
  pg_catalog.set_config('lock_timeout', '3s', true),
  -- Functions and types in a migration are PostgreSQL's own, whatever the role's search_path says.
  pg_catalog.set_config('search_path', 'pg_catalog', true)
"""


def _words(error: psycopg.Error) -> str:
    """PostgreSQL's own words. They quote no data, because a migration sends none."""
    return " ".join(text for text in (error.diag.message_primary, error.diag.message_hint) if text) or str(error)


def _where(connection: Connection, schema: str) -> str:
    return f'schema "{schema}" in database "{connection.info.dbname}"'


def _steps(connection: Connection, schema: str, known: Sequence[Migration], contract: bool) -> list[Step]:
    applied = read(connection, schema)
    exists = execute(connection, "select 1 from pg_catalog.pg_namespace where nspname = %s", [schema])
    return plan(known, applied, schema, contract=contract, create=not exists)


_MIGRATION_TABLE = """\
create table %s.migration (
  number     integer primary key,
  name       text        not null,
  kind       text        not null check (kind in ('expand', 'contract')),
  checksum   text        not null,
  applied_at timestamptz not null default clock_timestamp()
);
"""
