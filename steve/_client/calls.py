"""Sends a statement for a caller, on a connection for callers, and turns a failure into an error that users know.

These errors are not chained to psycopg's. The text of psycopg's errors quotes the data (DETAIL, CONTEXT), so a traceback would
show a payload.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from uuid import UUID

from steve._database import migrations
from steve._database.backoff import Backoff
from steve._database.caller import AnyConnection, raise_to_caller
from steve._database.connections import Connections
from steve._database.execute import atomic
from steve._database.failures import Connection, DatabaseFailure, InDoubt, Misconfigured, NoConnection, Refused, Transient
from steve._database.statements import Statements
from steve._model.settings import Settings
from steve.errors import InvalidJob, OutcomeUnknown, SchemaError, SteveError, Unavailable

T = TypeVar("T")


class SentJobs(NamedTuple):
    """Which jobs a statement sends, for the error if the connection breaks: they may have been stored."""

    jobs: int
    first: int
    """The uid of the first job, as an integer, because it takes time to make a UUID and it is rarely shown."""

    @property
    def uid(self) -> UUID:
        return UUID(int=self.first)

    def __str__(self) -> str:
        return f"job {self.uid}" if self.jobs == 1 else f"{self.jobs} jobs, the first of them {self.uid},"


class Calls:
    def __init__(self, *, connections: Connections, statements: Statements, settings: Settings) -> None:
        self._connections = connections
        self._statements = statements
        self._timeout = settings.create_timeout
        self._tuning = settings.tuning

    def call(
        self,
        statement: Callable[[Connection], T],
        *,
        sent: SentJobs | None = None,
        more_seconds: float | None = 0.0,
    ) -> T:
        """Call `statement` with a connection. If there is none, or it is lost, try again until `create_timeout` is over: so the
        statement may be carried out more than once.

        `sent`: the jobs that it stores. `more_seconds`: as in `Connections.call`. Raises SchemaError, Unavailable and
        OutcomeUnknown. If PostgreSQL refuses the data, raises InvalidJob when jobs are `sent`, and SteveError otherwise.
        """
        deadline = time.monotonic() + self._timeout
        backoff = Backoff(self._tuning)
        in_doubt = False
        while True:
            try:
                return self._connections.call(statement, timeout=deadline - time.monotonic(), more_seconds=more_seconds)
            except (Transient, InDoubt) as error:
                in_doubt = in_doubt or isinstance(error, InDoubt)
                # After a wait for a connection, no further pause is needed.
                delay = 0.0 if isinstance(error, NoConnection) else backoff.next()
                if time.monotonic() + delay >= deadline:
                    raise self._unavailable(error, sent if in_doubt else None) from None
                time.sleep(delay)
            except (Misconfigured, Refused) as error:
                raise self._explained(error, sent) from None

    def change(self, statement: Callable[[Connection], T], uid: UUID | None = None) -> T:
        """As `call`, for a statement that must not be carried out twice. If the connection breaks when its transaction is
        committed, this asks what became of it, and sends the statement again only if it was not committed. `uid`: the job that
        it changes, for OutcomeUnknown."""
        sent: tuple[str, T] | None = None

        def send(ours: Connection) -> T:
            nonlocal sent
            if sent is not None:
                number, result = sent
                if self._statements.checks.is_committed(ours, number):
                    return result
                sent = None
            with atomic(ours):
                number = self._statements.checks.begin_change(ours)
                result = statement(ours)
                sent = number, result
            return result

        try:
            return self.call(send)
        except Unavailable as error:
            if sent is None:
                raise
            text = f"the connection broke while a change was sent: it may have been carried out ({error})"
            raise OutcomeUnknown(text, uid) from None

    def change_on(self, theirs: AnyConnection | None, statement: Callable[[AnyConnection], T], uid: UUID | None = None) -> T:
        """As `change`, or as `call_on` with the caller's connection."""
        return self.change(statement, uid) if theirs is None else self.call_on(theirs, statement)

    def call_on(self, theirs: AnyConnection | None, statement: Callable[[AnyConnection], T], *, slow: bool = False) -> T:
        """Call `statement` with the caller's connection `theirs`, where the driver's errors come through unchanged. None: as
        `call`. `slow`: the statement may take any time."""
        if theirs is None:
            return self.call(statement, more_seconds=None if slow else 0.0)
        try:
            return statement(theirs)
        except DatabaseFailure as error:
            raise_to_caller(error, theirs, self._statements.schema)

    def _unavailable(self, error: DatabaseFailure, in_doubt: SentJobs | None) -> SteveError:
        reason = self._connections.reason(error)
        if in_doubt is None:
            return Unavailable(f"the database could not be used within {self._timeout:g} s: {reason}")
        return OutcomeUnknown(
            f"the connection broke while {in_doubt} was sent, and the database stayed away: it may have been stored "
            f"({reason}); find(uid) tells when the database is back",
            in_doubt.uid,
        )

    def _explained(self, error: Misconfigured | Refused, sent: SentJobs | None) -> SteveError:
        if isinstance(error, Misconfigured):
            return self.call(lambda ours: migrations.describe_missing(ours, self._statements.schema, error))
        if error.sqlstate == "23502":  # a null: our statements leave out only columns that have a default
            return SchemaError(f"the tables are not as migrations made them ({error}): check_health() tells more")
        kind = SteveError if sent is None else InvalidJob
        text = f"PostgreSQL refused it (SQLSTATE {error.sqlstate})"
        return kind(text if "SQLSTATE" in str(error) else f"{text}: {error}")
