"""One statement on a connection: its text out of a file, its rows, and what is wrong when it fails: psycopg's errors become the
troubles of `errors`, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from .errors import Misconfigured, Refused, Trouble, Unexplained, Unknown, Weather

Connection = psycopg.Connection[Any]

FOR_LOOPS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}
FOR_LOOPS |= {"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0"}
"""The settings of a session that prepares its statements: they keep them on the indexes.

A plan made for a small table stays cached while the table grows: a sequential scan in it would become quadratic, and the high
cost of a plan that has no other choice may wake the JIT compiler. One made for a large group reads the table in order to join
it. Generic plans know neither. And no time limit of the role's, which is meant for requests, ends what the loops do or how
long they have nothing to do.
"""
SET_FOR_LOOPS = "select " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in (FOR_LOOPS | {"TimeZone": "UTC"}).items()
)
"""The same for one transaction, where a pooler gives every transaction another session."""


def quoted(schema: str) -> str:
    """The schema's name as an SQL identifier."""
    return '"' + schema.replace('"', '""') + '"'


def place_schema(sql: str, schema: str) -> str:
    """The statement of a file: its comments left out, its {schema} put in. psycopg counts a % as a placeholder: doubled."""
    lines = (line.split("--")[0].rstrip() for line in sql.splitlines())
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
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    cursor.execute(statement.encode(), parameters, prepare=prepare, binary=True)
    return cursor.fetchall()


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Turns psycopg's errors about this connection into `Trouble`."""
    try:
        yield
    except psycopg.Error as error:
        raise trouble(error, connection) from error


def trouble(error: psycopg.Error, connection: Connection | None = None) -> Trouble:
    """What psycopg's error means for who called; `connection`: the one that the statement was sent on."""
    state = error.sqlstate
    # Not all of its text: DETAIL and CONTEXT quote the data, a payload, say.
    message = f"{type(error).__name__}: {error.diag.message_primary or error}"
    if connection is not None and (connection.closed or (state or "").startswith("57P")):
        return Unknown(message, state)
    if state is None:
        # libpq's own words: a connection that could not be opened; or a value that could not be made into a parameter
        return Refused(message) if isinstance(error, psycopg.DataError) else Weather(message)
    for kind, classes in _KINDS:
        if state[:2] in classes:
            return kind(message, state)
    return Unexplained(message, state)


_KINDS: tuple[tuple[type[Trouble], set[str]], ...] = (
    (Refused, {"21", "22", "23", "44", "54", "P0"}),  # the data, constraints, limits; a trigger of the user's that raises
    (Misconfigured, {"28", "3D", "3F", "42"}),  # role, database, schema, tables and rights
    # lost, read-only, contention, resources, locks, timeouts; and plans and prepared statements that hold no more (0A, 26)
    (Weather, {"08", "0A", "25", "26", "40", "53", "55", "57", "58"}),
)
"""By the class of the SQLSTATE."""
