"""Statements that change one job for a caller, and that look for the jobs that a process is to cancel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from steve._database.caller import AnyConnection
from steve._database.statements.rows import job_row
from steve._database.statements.script import Script
from steve.job import Job


class ControlStatements:
    """Changing one job. Each method returns the job, or None if it changed nothing: the job has another status, or there is
    none.

    The statements are never prepared: see JobStatements. `notify`: send a notification, unless the server's queue of
    notifications is half full.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    def cancel_job(self, connection: AnyConnection, uid: UUID, reason: str | None, error: str, notify: bool) -> Job | None:
        """`error`: that of a pending job, which is cancelled at once."""
        return self._change(connection, "cancel_job", {"uid": uid, "reason": reason, "error": error}, notify)

    def retry_job(
        self, connection: AnyConnection, uid: UUID, attempts: int | None, completed: bool, notify: bool
    ) -> Job | None:
        """Raises Refused with SQLSTATE 23505 if another job has its unique key."""
        return self._change(connection, "retry_job", {"uid": uid, "attempts": attempts, "completed": completed}, notify)

    def reschedule_job(
        self, connection: AnyConnection, uid: UUID, run_at: datetime | None, delay: timedelta | None, notify: bool
    ) -> Job | None:
        return self._change(connection, "reschedule_job", {"uid": uid, "run_at": run_at, "delay": delay}, notify)

    def set_priority(self, connection: AnyConnection, uid: UUID, priority: int, notify: bool) -> Job | None:
        return self._change(connection, "set_priority", {"uid": uid, "priority": priority}, notify)

    def delete_job(self, connection: AnyConnection, uid: UUID, notify: bool) -> Job | None:
        return self._change(connection, "delete_job", {"uid": uid}, notify)

    def find_holder(self, connection: AnyConnection, uid: UUID) -> Job | None:
        """The job that has the unique key of this one now."""
        rows = self._script.rows(connection, "find_key_holder", {"uid": uid}, prepare=False)
        return job_row(rows[0]) if rows else None

    def find_cancel_asked(self, connection: AnyConnection, process_id: int) -> list[UUID]:
        """The running jobs of this process that somebody asked to cancel. On a connection of the engine's."""
        return [row[0] for row in self._script.rows(connection, "find_cancel_asked", {"process_id": process_id}, prepare=True)]

    def _change(self, connection: AnyConnection, name: str, parameters: dict[str, Any], notify: bool) -> Job | None:
        more = {"notify": notify} | self._script.channels
        rows = self._script.rows(connection, name, parameters | more, prepare=False)
        return job_row(rows[0][:-1]) if rows else None
