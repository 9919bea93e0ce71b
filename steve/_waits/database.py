"""What the waits' thread asks of the database: on a connection of its own or, with a user's pool that is too small for one, on
one that it borrows for each statement."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._database.connections import Connections
from steve._database.failures import Connection, Misconfigured, Transient
from steve._database.loop_connection import LoopConnection
from steve._database.statements import Statements
from steve._database.statements.audit import Entry
from steve._database.statements.bulk import Batch, End, Matching, Span
from steve._database.statements.waits import Ended
from steve._model.control import cancelled_error
from steve._model.process import ID_BITS
from steve._model.settings import Settings
from steve._runtime.log import logger
from steve.job import Job, Status

T = TypeVar("T")

PENDING = Matching([str(Status.PENDING)], *[None] * 8)
LATER = datetime(9998, 1, 1, tzinfo=UTC)
NO_UID, LAST_UID = UUID(int=0), UUID(int=2**128 - 1)


class DatabaseWaits:
    """All methods raise DatabaseFailure, and SteveError if the user's pool cannot be used any more."""

    def __init__(
        self, *, connections: Connections, calls: Calls, statements: Statements, audit: Audit, settings: Settings
    ) -> None:
        """Raises SteveError if the user's pool cannot be used any more."""
        self._connections = connections
        self._calls = calls
        self._audit = audit
        self._statements = statements
        self._settings = settings
        self._id = secrets.randbits(ID_BITS)
        self._own: LoopConnection | None = connections.for_waits()
        self._listened_on: Connection | None = None
        self._may_announce = True

    @property
    def listens(self) -> bool:
        """Whether notifications come. If the connection was lost since, the next statement tells."""
        return self._listened_on is not None

    def is_connected(self) -> bool:
        """Whether the connection is the one that was prepared last. True if each statement borrows one."""
        return self._own is None or self._own.is_open()

    def listen(self) -> int | None:
        """Open the connection and listen, if notifications can come at all. Returns the number of the socket to wait for."""
        self._listened_on = None
        if self._own is None or not self._settings.notify:
            return None

        def listen(connection: Connection) -> int | None:
            if not self._statements.notifications.listen(connection, ended=True):
                return None
            self._listened_on = connection
            return connection.fileno()

        self._own.connection()  # which finds out whether there is a pooler
        return None if self._own.route.has_pooler else self._own.call(listen)

    def announce(self, *, notify: bool) -> None:
        """Tell the processes that run jobs that somebody waits: by the table, and with `notify` at once. If nothing is to be
        announced, because no notification would come here, make sure that the server is no standby."""
        if self.listens and self._may_announce:
            try:
                seconds = self._settings.tuning.wait_announced
                self._call(lambda ours: self._statements.waits.announce_waiter(ours, self._id, seconds, notify=notify))
                return
            except Misconfigured as error:
                if error.sqlstate != "42501":  # insufficient_privilege
                    raise
                self._may_announce = False
                logger.info("this role may not write into the table waiter: jobs are waited for by looking at them")
        if self._call(self._statements.waits.is_standby):
            self.close()
            raise Transient("the server is a standby, where the end of a job is seen late or never")

    def hear(self) -> list[str]:
        """The notifications that have come: each names jobs that have ended, or is empty."""
        own = self._own
        return own.call(self._statements.notifications.hear) if own is not None and self.listens else []

    def find_ended(self, uids: Collection[UUID]) -> Ended:
        find, is_own = self._statements.waits.find_ended, self._own is not None
        return self._call(lambda ours: find(ours, uids, prepare=is_own))

    def explain(self) -> None:
        """Look in the way that all calls do. Raises SteveError: the tables or the rights are wrong, or the database is away."""
        self._calls.call(lambda ours: self._statements.waits.find_ended(ours, [NO_UID], prepare=False))

    def cancel(self, uids: Sequence[UUID], entry: Entry | None, *, told: bool) -> tuple[list[Job], list[UUID]]:
        """Cancel those of these jobs that are pending. Returns them, if `told`, and those that others had locked."""
        span = Span(End(LAST_UID, LATER), NO_UID, 0, len(uids), uids)

        notify = self._settings.notify

        def send(ours: Connection) -> Batch:
            return self._statements.bulk.cancel_jobs(ours, PENDING, span, notify, None, cancelled_error(None), told)

        batch = self._call(lambda ours: self._audit.write(ours, entry, lambda: send(ours), _done))
        cancelled = list(batch.cancelled)
        found = self._call(lambda ours: self._statements.jobs.find_jobs(ours, cancelled)) if cancelled else {}
        return [job for job in found.values() if job.status is Status.CANCELLED], batch.passed

    def close(self) -> None:
        self._listened_on = None
        if self._own is not None:
            self._own.close()

    def cut(self) -> None:
        """Break the connection, if a statement is under way on it. From any thread."""
        if self._own is not None:
            self._own.cut()

    def leave_to_parent(self) -> None:
        if self._own is not None:
            self._own.leave_to_parent()

    def _call(self, statement: Callable[[Connection], T]) -> T:
        self._connections.check_open()
        return self._connections.call(statement) if self._own is None else self._own.call(statement)


def _done(batch: Any) -> int:
    return int(batch.done)
