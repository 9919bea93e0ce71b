"""One statement on a connection: its text out of a file, its rows, and the settings that our sessions get."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Loader
from psycopg.postgres import register_default_adapters, register_default_types
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays

from steve._database.failures import Connection

FOR_CALLS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "default_transaction_isolation": "read committed",
    "array_nulls": "on",  # otherwise a null in an array of ours is a word
    "exit_on_error": "off",  # otherwise an error that is ours to handle looks like a lost connection
    "client_connection_check_interval": "10s",  # a statement that waits for a lock notices that its client has given up
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_tidscan": "on",
    "enable_nestloop": "on",
}
"""Settings that the statements rely on, and that a database or a role may set otherwise: each session of ours gets these.

Those that only decide how values are written (DateStyle, IntervalStyle, extra_float_digits) are not among them: values travel
in binary, or in a form that reads the same under all styles. search_path is not either, because a user's triggers on the tables
may need it: the statements call functions and types by their full names instead."""

FOR_LOOPS = FOR_CALLS | {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",  # PostgreSQL 17
}
"""The settings of a session that prepares its statements. They keep the plans on the indexes, and the loops alive.

A plan that was made for a small table stays cached while the table grows: a sequential scan in it would become quadratic, and
its high cost might start the JIT compiler. A plan that was made for a large group reads the whole table in order to join it.
Generic plans know neither the size of the table nor that of the group. And the time limits of a role, which are meant for
requests, must not end what the loops do, nor their waits.
"""
SET_FOR_LOOPS = """\
select
  pg_catalog.set_config(name, value, true),
  extract(epoch from pg_catalog.pg_postmaster_start_time())::double precision
from unnest(%(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[]) as setting (name, value)
where pg_catalog.current_setting(name, true) is not null
  and (name <> 'client_connection_check_interval' or pg_catalog.version() !~ '(mingw|msvc|Visual|windows)')
"""
"""Sets these for one transaction, for a pooler that gives every transaction another session; and returns when the server
started. A setting is left out where the server does not know it, or refuses it on its operating system."""


def settings(values: dict[str, str]) -> dict[str, Any]:
    """The parameters of SET_FOR_LOOPS and of statements made from it."""
    return {"names": list(values), "values": list(values.values())}


def quoted(schema: str) -> str:
    """The schema's name as an SQL identifier."""
    return '"' + schema.replace('"', '""') + '"'


def read_statement(sql: str, schema: str) -> str:
    """The statement in the text of a file: without comments and indentation, and with the schema's name in place of {schema}. A
    % in the name is doubled, because psycopg would take it for a placeholder."""
    lines = (line.split("--")[0].strip() for line in sql.splitlines())
    # psycopg remembers how it parsed a statement of up to 4,096 bytes: with the comments it would parse it at every call.
    return "\n".join(line for line in lines if line).replace("{schema}", quoted(schema).replace("%", "%%"))


def execute(
    connection: Connection,
    statement: str,
    parameters: dict[str, Any] | list[Any] | None = None,
    *,
    prepare: bool | None = None,
) -> list[tuple[Any, ...]]:
    """The rows, through a cursor of our own class rather than the connection's, and in binary, so that no DateStyle matters.
    Raises psycopg.Error."""
    cursor = Cursor(connection, row_factory=tuple_row)
    cursor.execute(statement.encode(), parameters, prepare=prepare, binary=True)
    return cursor.fetchall()


class Cursor(psycopg.Cursor[Any]):
    """Turns values into PostgreSQL's and back as psycopg does by default, whatever adapters the application has registered,
    globally or on its connection: it may want uuids as text, or lists as jsonb."""

    @property
    def adapters(self) -> AdaptersMap:
        # A database in SQL_ASCII checks no text, so its rows may hold bytes that are not UTF-8.
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
