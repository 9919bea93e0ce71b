"""One call of a user: a statement on one of the callers' connections, and what went wrong as an error that users know.

Those are not chained to the driver's, whose text quotes the data (DETAIL, CONTEXT): a traceback would show a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from . import migrations
from ._connection import Connection
from ._pool import Connections, Sent
from ._store import Store
from .errors import InvalidJob, Misconfigured, Refused, SchemaError, SteveError
from .settings import ANSWER_SECONDS

T = TypeVar("T")


class Calls:
    def __init__(self, connections: Connections, store: Store) -> None:
        self._connections = connections
        self._store = store

    def call(
        self, statement: Callable[[Connection], T], sent: Sent | None = None, answer_in: float | None = ANSWER_SECONDS
    ) -> T:
        """What `statement` makes of a connection; see `Connections.call`. `sent`: the jobs that it stores.

        Raises SchemaError, Unavailable, OutcomeUnknown, InvalidJob where jobs are sent, else SteveError.
        """
        try:
            return self._connections.call(statement, sent, answer_in)
        except Misconfigured as error:
            met = error
            raise self._connections.call(lambda ours: migrations.describe_missing(ours, self._store.schema, met)) from None
        except Refused as error:
            if (
                error.constraint == "job_pkey"
            ):  # the uid is a client's and has a constraint of its own; the id is the sequence's
                flaw = self._connections.call(self._store.check_sequence)
                raise SchemaError(
                    flaw or "the sequence of the jobs' ids gave out one that is there already: try again"
                ) from None
            if error.sqlstate == "23502":  # no statement of ours leaves out what has no default
                raise SchemaError(f"the tables are not as migrations made them ({error}): check_health() tells more") from None
            kind = SteveError if sent is None else InvalidJob
            text = f"PostgreSQL refused it (SQLSTATE {error.sqlstate})"
            raise kind(text if "SQLSTATE" in str(error) else f"{text}: {error}") from None
