"""The failures of the database, divided by what the caller can do about them. psycopg's errors are turned into these here.

    DatabaseFailure
    ├── Transient           nothing was written; the same call may succeed later
    │   └── Unexplained     nothing was written; the cause may be the data or the server
    ├── InDoubt             the connection broke after the statement was sent: it may or may not have been carried out
    ├── Refused             PostgreSQL does not accept this data
    └── Misconfigured       the schema or the role's rights are wrong

They stay inside steve. The engine decides by their class what to do, and `_client` turns them into errors that users know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

Connection = psycopg.Connection[Any]


class DatabaseFailure(Exception):
    """The base. `sqlstate` is PostgreSQL's, or None if it sent none."""

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Transient(DatabaseFailure):
    """Nothing was written. The same call may succeed later, so try again."""


class NoConnection(Transient):
    """The pool had no connection for the caller in time."""


class Unexplained(Transient):
    """Nothing was written. The cause may be the data or the server: a limit, no memory, an internal error."""


class InDoubt(DatabaseFailure):
    """The connection broke after the statement was sent. The statement may or may not have been carried out."""


class Refused(DatabaseFailure):
    """PostgreSQL did not accept the data: it cannot hold them, or a constraint or a trigger refuses them."""


class Misconfigured(DatabaseFailure):
    """The schema or the role's rights are wrong. Nothing works until somebody corrects them."""


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Raises psycopg's errors on this connection as DatabaseFailure."""
    try:
        yield
    except psycopg.Error as error:
        raise failure_of(error, connection) from error


def failure_of(error: psycopg.Error, connection: Connection | None = None) -> DatabaseFailure:
    """What psycopg's error means for the caller. `connection`: the connection that the statement was sent on."""
    state = error.sqlstate
    diagnosis = error.diag
    # The message must not show data, such as a payload. So DETAIL and CONTEXT, which quote the data, are left out. For some
    # errors PostgreSQL, or a user's trigger, quotes the data in the primary message too: then only the SQLSTATE is shown.
    quotes = (state or "")[:2] in _QUOTING or (diagnosis.source_file or "").startswith(_OF_USERS)
    text = f"SQLSTATE {state}" if quotes else diagnosis.message_primary or error
    message = f"{type(error).__name__}: {text}"
    if connection is not None and (connection.closed or (state or "").startswith("57P")):
        return InDoubt(message, state)
    if state is None:
        if isinstance(error, PoolTimeout):
            return NoConnection(message)
        # Not an error of the server's: psycopg could not turn a value into a parameter, or libpq could not open a connection.
        return Refused(message) if isinstance(error, psycopg.DataError) else Transient(message)
    return _kind(state)(message, state)


def failure_by_state(state: str) -> DatabaseFailure:
    """As `failure_of`, for the error of another driver, on a caller's connection."""
    return _kind(state)(f"SQLSTATE {state}", state)


def _kind(state: str) -> type[DatabaseFailure]:
    return _KINDS.get(state) or _KINDS.get(state[:2], Refused)  # Refused: for example, a user's trigger made up the state


LOCK_NOT_AVAILABLE = "55P03"
"""The SQLSTATE of a statement that waited for a lock for longer than lock_timeout."""

_QUOTING = {"22", "P0"}

_OF_USERS = ("pl_exec", "plpy", "plperl", "pltcl")
"""The beginnings of the names of PostgreSQL's source files that raise the errors of users' functions, under any SQLSTATE."""

_KINDS: dict[str, type[DatabaseFailure]] = {
    # lost connections, read-only servers, contention, full disks, locks, timeouts; outdated prepared statements (0A, 26)
    **dict.fromkeys(("08", "0A", "25", "26", "40", "53", "55", "57", "58"), Transient),
    # role, database, schema, tables and rights
    **dict.fromkeys(("28", "3D", "3F", "42"), Misconfigured),
    # limits, and internal errors: the cause may be the data; or the server, for example if the queue of notifications is full,
    # or if it protects itself against the wraparound of transaction ids (both 54000)
    **dict.fromkeys(("54", "XX", "F0", "53200"), Unexplained),
    # data, constraints, a user's trigger that raises
    **dict.fromkeys(("21", "22", "23", "44", "P0"), Refused),
}
"""The kind of failure by SQLSTATE, or by the class of the SQLSTATE, its first two characters."""
