"""Sends one statement on a connection and returns its rows. It also holds the settings that our sessions get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, lru_cache
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Loader
from psycopg.postgres import register_default_adapters, register_default_types
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays

from steve._database.caller import AnyConnection, Caller
from steve._database.failures import Connection, translated
from steve._database.fragments import FRAGMENTS

FOR_CALLS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "default_transaction_isolation": "read committed",
    "array_nulls": "on",  # otherwise PostgreSQL reads a null in our arrays as a word
    "exit_on_error": "off",  # otherwise any error ends the session, and looks like a lost connection
    "client_connection_check_interval": "10s",  # ends a statement that waits for a lock after its client has given up
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_tidscan": "on",
    "enable_nestloop": "on",
    "jit": "off",  # a create_many of 100,000 jobs would spend a tenth of its time in the compiler
}
"""Settings that the statements rely on. A database or a role may have other defaults, so each session of ours gets these.

Settings that only decide how values are written (DateStyle, IntervalStyle, extra_float_digits) are not needed: values travel in
binary, or in a form that reads the same under all styles. search_path stays as it is, because a user's triggers on the tables
may need it. So the statements use the full names of functions and types."""

FOR_LOOPS = FOR_CALLS | {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",  # PostgreSQL 17
}
"""The settings of a session that prepares its statements.

The first four keep the plans on the indexes. A plan stays cached while the table grows. If it was made for a small table and
scans it sequentially, or reads all that is due in order to sort it, the work becomes quadratic. If it was made for a large
group of jobs, it reads the whole table in order to join it. Generic plans depend on neither size.

The others lift a role's time limits, which are meant for requests and must not end the statements and waits of the loops.
"""
SET_FOR_LOOPS = """\
select
  pg_catalog.set_config(name, value, true),
  extract(epoch from pg_catalog.pg_postmaster_start_time())::double precision
from unnest(%(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[]) as setting (name, value)
where pg_catalog.current_setting(name, true) is not null
  and (name <> 'client_connection_check_interval' or pg_catalog.version() !~ '(mingw|msvc|Visual|windows)')
"""
"""Sets the settings for one transaction only, because a pooler may run the next one in a different session. Returns when the
server started. It leaves out settings that the server does not know, or refuses on its operating system."""


def settings(values: dict[str, str]) -> dict[str, Any]:
    """The parameters of SET_FOR_LOOPS, and of statements made from its text."""
    return {"names": list(values), "values": list(values.values())}


def with_lock_timeout(values: dict[str, str], seconds: float) -> dict[str, str]:
    return values | {"lock_timeout": f"{seconds * 1000:.0f}ms"}


def quoted(schema: str) -> str:
    """The schema's name as an SQL identifier."""
    return '"' + schema.replace('"', '""') + '"'


def read_statement(sql: str, schema: str) -> str:
    """The statement in the text of a file, without comments and indentation, with the fragments and the schema's name in place
    of their tokens.

    A % in the name is doubled, because psycopg would take it for a placeholder.
    """
    for token, fragment in FRAGMENTS.items():
        sql = sql.replace(token, fragment)
    lines = (line.split("--")[0].strip() for line in sql.splitlines())
    text = "\n".join(line for line in lines if line)
    return text.replace("{schema}", quoted(schema).replace("%", "%%"))


def execute(
    connection: Connection,
    statement: str,
    parameters: dict[str, Any] | list[Any] | None = None,
    *,
    prepare: bool | None = None,
) -> list[tuple[Any, ...]]:
    """Send the statement and return its rows. Raises psycopg.Error.

    It uses our own class of cursor, not the connection's, and the binary format, so that the DateStyle does not matter.
    """
    query = statement.encode()
    if parameters is not None:
        query, names = _numbered(statement)
        if isinstance(parameters, dict):
            parameters = [parameters[name] for name in names]
    cursor = Cursor(connection, row_factory=tuple_row)
    cursor.execute(query, parameters, prepare=prepare, binary=True)
    return cursor.fetchall()


@contextmanager
def atomic(connection: AnyConnection) -> Iterator[None]:
    """A transaction; within a transaction, a savepoint. It never ends a transaction that a caller would have to end."""
    if isinstance(connection, Caller):
        with connection.atomic():
            yield
        return
    with translated(connection):
        if not connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            connection.execute("select")  # begins the caller's transaction, which psycopg would otherwise commit below
        with connection.transaction():
            yield


@contextmanager
def savepoint(connection: AnyConnection) -> Iterator[None]:
    """A savepoint, if a transaction is open or will be. A statement alone needs none."""
    with nullcontext() if is_alone(connection) else atomic(connection):
        yield


def is_in_transaction(connection: Connection) -> bool:
    """Whether a transaction is open, be it that PostgreSQL takes nothing more from it."""
    return connection.info.transaction_status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)


def is_broken(connection: Connection) -> bool:
    """Whether a statement of the open transaction has failed, so that PostgreSQL takes nothing more from it."""
    return connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR


def is_alone(connection: AnyConnection) -> bool:
    """Whether the next statement is a transaction of its own."""
    if isinstance(connection, Caller):
        return connection.is_alone()
    return connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@lru_cache(maxsize=1_000)
def _numbered(statement: str) -> tuple[bytes, list[str]]:
    """The statement with $1, $2 and so on in place of %(name)s and %s, and the names in that order.

    psycopg would do the same, but it remembers this only for statements of up to 4,096 bytes. The claim is longer.
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        name = found[1] or f"%s number {len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return re.sub(r"%(?:%|s|\((\w+)\)s)", number, statement).encode(), names


class Cursor(psycopg.RawCursor[Any]):
    """Takes parameters by number: $1. It adapts values as psycopg does by default. The application may have registered other
    adapters, globally or on its connection, for example to get uuids as text or to send lists as jsonb."""

    @property
    def adapters(self) -> AdaptersMap:
        # A database with the encoding SQL_ASCII checks no text, so its rows may hold bytes that are not UTF-8.
        unchecked = self.connection.pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII"
        return _lenient_adapters() if unchecked else _adapters()


@cache
def _adapters() -> AdaptersMap:
    adapters = AdaptersMap()
    register_default_types(adapters.types)
    register_default_adapters(adapters)
    register_all_arrays(adapters)
    return adapters


@cache
def _lenient_adapters() -> AdaptersMap:
    adapters = AdaptersMap(_adapters())
    for name in ("text", "varchar", "bpchar", "name"):
        adapters.register_loader(name, _LenientText)
        adapters.register_loader(name, _LenientBinaryText)
    return adapters


class _LenientText(Loader):
    def load(self, data: Any) -> str:
        return bytes(data).decode(errors="replace")


class _LenientBinaryText(_LenientText):
    format = psycopg.pq.Format.BINARY
