"""One call of a user: a statement on one of the callers' connections, and what went wrong as an error that users know.

Those are not chained to the driver's, whose text quotes the data (DETAIL, CONTEXT): a traceback would show a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from . import migrations
from ._connection import Connection
from ._pool import Connections, Sent
from .errors import InvalidJob, Misconfigured, Refused, SteveError
from .settings import ANSWER_SECONDS

T = TypeVar("T")


class Calls:
    def __init__(self, connections: Connections, schema: str) -> None:
        self._connections = connections
        self._schema = schema

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
            raise self._connections.call(lambda ours: migrations.describe_missing(ours, self._schema, met)) from None
        except Refused as error:
            kind = SteveError if sent is None else InvalidJob
            raise kind(f"PostgreSQL refused it (SQLSTATE {error.sqlstate})") from None
