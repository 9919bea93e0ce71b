"""One statement on a connection: its text out of a file, its rows, and what is wrong when it fails: psycopg's errors become the
troubles of `errors`, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Loader
from psycopg.postgres import register_default_adapters, register_default_types
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays

from .errors import Misconfigured, Refused, Trouble, Unexplained, Unknown, Weather

Connection = psycopg.Connection[Any]

FOR_CALLS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "default_transaction_isolation": "read committed",
    "array_nulls": "on",  # else a null in an array of ours is the word
    "exit_on_error": "off",  # else an error that is ours to handle looks like a lost connection
    "client_connection_check_interval": "10s",  # a statement that waits for a lock notices that its client has given up
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_tidscan": "on",
    "enable_nestloop": "on",
}
"""What the statements rely on and a database or a role may set otherwise: set in each session of ours. A setting that only
decides how values are written (DateStyle, IntervalStyle, extra_float_digits) is not among them: values travel in binary, or in
a form that reads the same under all styles. search_path is not either, since a user's triggers on the tables may need it:
functions and types are called by their full names instead."""

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
"""The settings of a session that prepares its statements: they keep them on the indexes.

A plan made for a small table stays cached while the table grows: a sequential scan in it would become quadratic, and the high
cost of a plan that has no other choice may wake the JIT compiler. One made for a large group reads the table in order to join
it. Generic plans know neither. And no time limit of the role's, which is meant for requests, ends what the loops do or how
long they have nothing to do.
"""
SET_FOR_LOOPS = """\
select
  pg_catalog.set_config(name, value, true),
  extract(epoch from pg_catalog.pg_postmaster_start_time())::double precision
from unnest(%(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[]) as setting (name, value)
where pg_catalog.current_setting(name, true) is not null
  and (name <> 'client_connection_check_interval' or pg_catalog.version() !~ '(mingw|msvc|Visual|windows)')
"""
"""The same for one transaction, where a pooler gives every transaction another session. A server that does not know a setting,
or refuses it on its system, is not asked for it."""


def settings(values: dict[str, str]) -> dict[str, Any]:
    """The parameters that a statement like SET_FOR_LOOPS takes."""
    return {"names": list(values), "values": list(values.values())}


def quoted(schema: str) -> str:
    """The schema's name as an SQL identifier."""
    return '"' + schema.replace('"', '""') + '"'


def place_schema(sql: str, schema: str) -> str:
    """The statement of a file: comments and indentation left out, its {schema} put in. psycopg counts a % as a placeholder:
    doubled."""
    lines = (line.split("--")[0].strip() for line in sql.splitlines())
    # psycopg remembers how it parsed a statement of up to 4,096 bytes: the comments would cost every call a parse
    return "\n".join(line for line in lines if line).replace("{schema}", quoted(schema).replace("%", "%%"))


def ask(
    connection: Connection,
    statement: str,
    parameters: dict[str, Any] | list[Any] | None = None,
    *,
    prepare: bool | None = None,
) -> list[tuple[Any, ...]]:
    """The rows, by a cursor of our own class, whatever the connection's, and in binary: no DateStyle matters. Raises
    psycopg.Error."""
    cursor = Cursor(connection, row_factory=tuple_row)
    cursor.execute(statement.encode(), parameters, prepare=prepare, binary=True)
    return cursor.fetchall()


class Cursor(psycopg.Cursor[Any]):
    """Turns values into PostgreSQL's and back as psycopg does by itself, whatever adapters the application has registered,
    globally or on a connection of its own: it may want uuids as text, or lists as jsonb."""

    @property
    def adapters(self) -> AdaptersMap:
        # A database in SQL_ASCII checks no text, so its rows may hold bytes that are no UTF-8.
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


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Turns psycopg's errors about this connection into `Trouble`."""
    try:
        yield
    except psycopg.Error as error:
        raise trouble(error, connection) from error


def trouble(error: psycopg.Error, connection: Connection | None = None) -> Trouble:
    """What psycopg's error means for the caller; `connection`: the one that the statement was sent on."""
    state = error.sqlstate
    diagnosis = error.diag
    # Not all of its text: DETAIL and CONTEXT quote the data, a payload, say. Where the data may be at fault, PostgreSQL quotes
    # it in the message itself, and so may a trigger of the user's.
    quotes = (state or "")[:2] in _QUOTING or (diagnosis.source_file or "").startswith(_OF_USERS)
    text = f"SQLSTATE {state}" if quotes else diagnosis.message_primary or error
    message = f"{type(error).__name__}: {text}"
    if connection is not None and (connection.closed or (state or "").startswith("57P")):
        return Unknown(message, state)
    if state is None:
        # libpq's own words: a connection that could not be opened; or a value that could not be made into a parameter
        return Refused(message) if isinstance(error, psycopg.DataError) else Weather(message)
    kind = _KINDS.get(state) or _KINDS.get(state[:2], Refused)  # Refused: a state that a user's trigger made up, say
    return kind(message, state, diagnosis.constraint_name)


_QUOTING = {"22", "P0"}
_OF_USERS = ("pl_exec", "plpy", "plperl", "pltcl")
"""Where PostgreSQL raises what a function of the user's wants raised, under whatever SQLSTATE."""

_KINDS: dict[str, type[Trouble]] = {
    # lost, read-only, contention, full disks, locks, timeouts; plans and prepared statements that hold no more (0A, 26)
    **dict.fromkeys(("08", "0A", "25", "26", "40", "53", "55", "57", "58"), Weather),
    # role, database, schema, tables and rights
    **dict.fromkeys(("28", "3D", "3F", "42"), Misconfigured),
    # Limits and what PostgreSQL cannot explain: of the data; or of the server, as a full queue of notifications and the
    # protection against the wraparound of transaction ids (both 54000)
    **dict.fromkeys(("54", "XX", "F0", "53200"), Unexplained),
    # the data, constraints, a trigger of the user's that raises
    **dict.fromkeys(("21", "22", "23", "44", "P0"), Refused),
}
"""By the SQLSTATE or its class."""
