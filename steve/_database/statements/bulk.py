"""Statements that change many jobs for a caller, a batch at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.caller import AnyConnection
from steve._database.literals import uuid_array
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script

UNSUCCESSFUL = frozenset({"failed", "cancelled"})
"""The statuses in the index job_failed."""


class Matching(NamedTuple):
    """Which jobs a call changes. None: any."""

    statuses: list[str]
    type: str | None
    queue: str | None
    tags: str | None
    """JSON text: the tags that a job must have."""
    error: str | None
    """Text that its error contains."""
    created_before: datetime | None
    created_after: datetime | None
    ended_before: datetime | None
    ended_after: datetime | None


class End(NamedTuple):
    """Where a call ends, fixed when it begins."""

    last: UUID
    begun_at: datetime
    """By the database's clock: it touches no job that is created later."""
    parts: Sequence[UUID] = ()
    """Uids, ascending, with about as many jobs between each two of them."""

    def upto(self, after: UUID) -> UUID | None:
        """Where a batch above the uid `after` ends. None: the statement has to count jobs."""
        place = bisect_right(self.parts, after)
        return self.parts[place] if place < len(self.parts) and self.parts[place] <= self.last else None


class Span(NamedTuple):
    """Where a batch looks."""

    end: End
    after: UUID
    """Above this uid."""
    look: int
    """At so many jobs at most."""
    most: int
    """It changes so many at most."""
    uids: Sequence[UUID] | None = None
    """It looks at these jobs only."""
    dry: bool = False
    """It changes nothing."""


class Batch(NamedTuple):
    """What one statement did."""

    done: int
    passed: list[UUID]
    """The jobs that others had locked; in a dry batch, those that match."""
    last: UUID | None
    """The last job that it looked at. None: there are no more."""
    skipped: int = 0
    """Jobs that it left out because of their unique keys."""
    cancelled: Sequence[UUID] = ()
    """The pending jobs that it cancelled, where somebody is to be told."""
    keys: Sequence[str] = ()
    """In a dry batch: the unique keys of the jobs that would be retried."""


class BulkStatements:
    """Cancelling, retrying and deleting many jobs."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def find_end(self, connection: AnyConnection, look: int) -> End | None:
        """Returns None if there are no jobs. `look`: how many jobs a part should have, at least."""
        parameters = {"schema": self._script.schema, "job": self._script.table("job")}
        ((last, now, parts, jobs),) = self._script.rows(connection, "find_newest", parameters, prepare=False)
        if last is None:
            return None
        step = int(look * len(parts or ()) / max(jobs, 1)) + 1
        return End(last, in_utc(now), (parts or ())[step - 1 :: step])

    def cancel_jobs(
        self, connection: AnyConnection, matching: Matching, span: Span, notify: bool, reason: str | None, text: str, told: bool
    ) -> Batch:
        """`text`: the error of the pending jobs. `told`: return which of these were cancelled."""
        more = {"reason": reason, "text": text, "told": told}
        done, passed, cancelled, last, *_ = self._send(connection, "cancel_jobs", matching, span, notify, more)
        return Batch(done, passed, last, cancelled=cancelled or ())

    def retry_jobs(
        self, connection: AnyConnection, matching: Matching, span: Span, notify: bool, attempts: int | None
    ) -> Batch:
        """Raises Refused with SQLSTATE 23505 if a job was created meanwhile with the unique key of one of these."""
        done, passed, skipped, keys, last, _ = self._send(
            connection, "retry_jobs", matching, span, notify, {"attempts": attempts}
        )
        return Batch(done, passed, last, skipped, keys=keys or ())

    def delete_jobs(self, connection: AnyConnection, matching: Matching, span: Span, notify: bool) -> Batch:
        done, passed, last, _ = self._send(connection, "delete_jobs", matching, span, notify, {})
        return Batch(done, passed, last)

    def _send(
        self, connection: AnyConnection, name: str, matching: Matching, span: Span, notify: bool, more: dict[str, Any]
    ) -> tuple[Any, ...]:
        unsuccessful = UNSUCCESSFUL.issuperset(matching.statuses)
        parameters = (
            matching._asdict()
            | more
            | {
                "unsuccessful": unsuccessful,
                "begun_at": span.end.begun_at,
                "last": span.end.last,
                "after": span.after,
                "upto": None if unsuccessful else span.end.upto(span.after),  # these are parts of all jobs
                "look": span.look,
                "most": span.most,
                "uids": None if span.uids is None else uuid_array(span.uids),
                "dry": span.dry,
                "notify": notify and not span.dry,
            }
            | self._script.channels
        )
        (row,) = self._script.rows(connection, name, parameters, prepare=False)
        return row
