"""Statements of the processes that wait for jobs to end."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from steve._database.failures import Connection
from steve._database.literals import uuid_array
from steve._database.statements.rows import job_row
from steve._database.statements.script import Script
from steve.job import Job


class Ended(NamedTuple):
    """What a look found."""

    jobs: list[Job]
    """Those that have ended."""
    missing: set[UUID]
    """Those that do not exist."""


class WaitStatements:
    """Announcing that somebody waits, and looking which jobs have ended."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def find_ended(self, connection: Connection, uids: Collection[UUID], *, prepare: bool) -> Ended:
        """`prepare`: on a connection of the waits' thread, which is prepared like those of the engine's loops."""
        rows = self._script.rows(connection, "find_ended", {"uids": uuid_array(uids)}, prepare=prepare)
        return Ended([job_row(row[1:]) for row in rows if row[1] is not None], {row[0] for row in rows if row[1] is None})

    def announce_waiter(self, connection: Connection, id: int, seconds: int, *, notify: bool) -> None:
        """Write that somebody in the process with this id waits, for so many seconds from now on. `notify`: tell the processes
        that run jobs at once."""
        parameters = {"id": id, "seconds": seconds, "notify": notify, "channel": self._script.channel}
        self._script.rows(connection, "announce_waiter", parameters, prepare=False)

    def is_standby(self, connection: Connection) -> bool:
        return bool(self._script.rows(connection, "is_standby", {}, prepare=False)[0][0])
