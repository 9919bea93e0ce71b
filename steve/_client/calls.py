"""Sends a statement for a caller, on a connection for callers, and turns a failure into an error that users know.

These errors are not chained to psycopg's. The text of psycopg's errors quotes the data (DETAIL, CONTEXT), so a traceback would
show a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from steve._database import migrations
from steve._database.connections import Connections, SentJobs
from steve._database.failures import Connection, Misconfigured, Refused
from steve._database.statements import Statements
from steve.errors import InvalidJob, SchemaError, SteveError

T = TypeVar("T")


class Calls:
    def __init__(self, connections: Connections, statements: Statements) -> None:
        self._connections = connections
        self._statements = statements

    def call(
        self,
        statement: Callable[[Connection], T],
        *,
        sent: SentJobs | None = None,
        more_seconds: float | None = 0.0,
    ) -> T:
        """As `Connections.call`. Raises SchemaError, Unavailable and OutcomeUnknown. If PostgreSQL refuses the data, raises
        InvalidJob when jobs are `sent`, and SteveError otherwise."""
        try:
            return self._connections.call(statement, sent=sent, more_seconds=more_seconds)
        except Misconfigured as error:
            met, schema = error, self._statements.schema
            raise self._connections.call(lambda ours: migrations.describe_missing(ours, schema, met)) from None
        except Refused as error:
            if error.constraint == "job_pkey":  # the id, from the sequence; the uid has another constraint
                flaws = self._connections.call(self._statements.checks.check_sequence)
                again = "the sequence of the jobs' ids gave out one that exists already: try again"
                raise SchemaError("; ".join(flaws) or again) from None
            if error.sqlstate == "23502":  # a null: our statements leave out only columns that have a default
                raise SchemaError(f"the tables are not as migrations made them ({error}): check_health() tells more") from None
            kind = SteveError if sent is None else InvalidJob
            text = f"PostgreSQL refused it (SQLSTATE {error.sqlstate})"
            raise kind(text if "SQLSTATE" in str(error) else f"{text}: {error}") from None
