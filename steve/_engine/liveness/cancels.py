"""Finds the jobs of this process that somebody asked to cancel, in case the notification was lost or none is sent.

It is a duty of the scanner and no part of the heartbeat's statement, because it reads the table job: a session that locks that
table, for example to alter it, must not keep a process from sending heartbeats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.control import ControlStatements
from steve._engine.upkeep.periodic import Duty
from steve._model.settings import Settings


class AskedCancels:
    def __init__(
        self,
        *,
        connection: LoopConnection,
        statements: ControlStatements,
        process_id: int,
        settings: Settings,
        holds_jobs: Callable[[], bool],
        cancel_asked: Callable[[Collection[UUID]], None],
    ) -> None:
        """`holds_jobs()`: whether there is any cause to ask."""
        self._connection = connection
        self._statements = statements
        self._process_id = process_id
        self._interval = settings.heartbeat * 0.8  # and the rest for the answer
        self._holds_jobs = holds_jobs
        self._cancel_asked = cancel_asked

    def duties(self) -> list[Duty]:
        return [Duty("look for asked cancels", self._interval, self._look)]

    def _look(self) -> None:
        if not self._holds_jobs():
            return
        with suppress(DatabaseFailure):
            uids = self._connection.call(lambda ours: self._statements.find_cancel_asked(ours, self._process_id))
            if uids:
                self._cancel_asked(uids)
