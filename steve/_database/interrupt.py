"""Asks PostgreSQL to cancel the statement that runs on a connection of the user's, from another thread.

What a user may give as a connection, caller.py knows. This file knows what to do with it.
"""

from __future__ import annotations

import psycopg
from psycopg import pq

from steve._database.failures import Connection

CANCELLED = "57014"


def is_active(connection: Connection) -> bool:
    """Whether a statement is under way. It reads one number of libpq's, so any thread may ask."""
    return not connection.closed and connection.info.transaction_status == pq.TransactionStatus.ACTIVE


def cancel_statement(connection: Connection, seconds: float) -> None:
    """Returns when PostgreSQL has sent the cancel to the session, at most so many seconds later if libpq is of version 17 or
    newer. If the session is idle by then, the cancel has no effect, not even on the next statement. Raises psycopg.Error."""
    connection.cancel_safe(timeout=seconds)


def is_cancellation(error: BaseException) -> bool:
    """Whether PostgreSQL raised this error because it was asked to cancel the statement."""
    return isinstance(error, psycopg.Error) and error.sqlstate == CANCELLED
