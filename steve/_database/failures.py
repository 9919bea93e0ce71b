"""What went wrong in the database, by what the caller can do about it: psycopg's errors become these, once.

    DatabaseFailure
    ├── Transient           nothing was written; the same call may succeed later
    │   └── Unexplained     the same, and the cause may lie in the data or in the server
    ├── InDoubt             the connection broke after the statement was sent: it may have been carried out
    ├── Refused             PostgreSQL does not take this data
    └── Misconfigured       the schema or the role's rights are wrong

These stay inside steve: the engine decides by their class, and `_client` turns them into the errors that users know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

Connection = psycopg.Connection[Any]


class DatabaseFailure(Exception):
    """Only its subclasses are raised. `sqlstate`, `constraint`: PostgreSQL's; None if it did not say."""

    def __init__(self, message: str, sqlstate: str | None = None, constraint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.constraint = constraint


class Transient(DatabaseFailure):
    """Nothing was written, and the same call may succeed later: try again."""


class NoConnection(Transient):
    """The pool had no connection for the caller in time."""


class Unexplained(Transient):
    """Nothing was written, and the reason may lie in the data or in the server: a limit, no memory, an internal error."""


class InDoubt(DatabaseFailure):
    """The connection broke after the statement was sent: it may have been carried out or not."""


class Refused(DatabaseFailure):
    """PostgreSQL did not take this data: it cannot hold it, or a constraint or a trigger refuses it."""


class Misconfigured(DatabaseFailure):
    """The schema or the role's rights are wrong: nothing works until they are put right."""


@contextmanager
def translated(connection: Connection) -> Iterator[None]:
    """Turns psycopg's errors about this connection into DatabaseFailure."""
    try:
        yield
    except psycopg.Error as error:
        raise failure_of(error, connection) from error


def failure_of(error: psycopg.Error, connection: Connection | None = None) -> DatabaseFailure:
    """What psycopg's error means for the caller; `connection`: the one that the statement was sent on."""
    state = error.sqlstate
    diagnosis = error.diag
    # Not all of its text: DETAIL and CONTEXT quote the data, such as a payload. Where the data may be at fault, PostgreSQL
    # quotes it in the message itself, and so may a trigger of the user's.
    quotes = (state or "")[:2] in _QUOTING or (diagnosis.source_file or "").startswith(_OF_USERS)
    text = f"SQLSTATE {state}" if quotes else diagnosis.message_primary or error
    message = f"{type(error).__name__}: {text}"
    if connection is not None and (connection.closed or (state or "").startswith("57P")):
        return InDoubt(message, state)
    if state is None:
        if isinstance(error, PoolTimeout):
            return NoConnection(message)
        # libpq's own words: a connection that could not be opened; or a value that could not be made into a parameter
        return Refused(message) if isinstance(error, psycopg.DataError) else Transient(message)
    kind = _KINDS.get(state) or _KINDS.get(state[:2], Refused)  # Refused: for example a state that a user's trigger made up
    return kind(message, state, diagnosis.constraint_name)


_QUOTING = {"22", "P0"}

_OF_USERS = ("pl_exec", "plpy", "plperl", "pltcl")
"""Source files of PostgreSQL that raise errors for users' functions, under any SQLSTATE."""

_KINDS: dict[str, type[DatabaseFailure]] = {
    # lost, read-only, contention, full disks, locks, timeouts; plans and prepared statements that are no longer valid (0A, 26)
    **dict.fromkeys(("08", "0A", "25", "26", "40", "53", "55", "57", "58"), Transient),
    # role, database, schema, tables and rights
    **dict.fromkeys(("28", "3D", "3F", "42"), Misconfigured),
    # limits, and errors that PostgreSQL cannot explain: the data may be the cause, or the server, as when the queue of
    # notifications is full, or when it protects itself against the wraparound of transaction ids (both 54000)
    **dict.fromkeys(("54", "XX", "F0", "53200"), Unexplained),
    # the data, constraints, a trigger of the user's that raises
    **dict.fromkeys(("21", "22", "23", "44", "P0"), Refused),
}
"""By the SQLSTATE or its class."""
