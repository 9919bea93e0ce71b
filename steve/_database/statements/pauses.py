"""Statements about pauses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from steve._database.failures import Connection
from steve._database.statements.script import Script
from steve._model.pauses import Paused, PauseInForce
from steve.pause import Pause


class PauseStatements:
    """Pausing, resuming, and looking what is paused.

    `notify`: tell the processes at once, unless the server's queue of notifications is half full. Otherwise they see it with
    their next look at the processes (beat.sql).
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    def pause_jobs(
        self, connection: Connection, paused: Paused, until: datetime | None, reason: str | None, by: str | None, notify: bool
    ) -> Pause:
        more = {"until": until, "reason": reason, "by": by, "notify": notify, "channel": self._script.pause_channel}
        (row,) = self._script.rows(connection, "pause_jobs", paused._asdict() | more, prepare=False)
        return Pause(*row[:-1])

    def resume_jobs(self, connection: Connection, paused: Paused, notify: bool) -> Pause | None:
        """Returns the pause that this ends; None: there is none."""
        more = {"notify": notify, "channel": self._script.pause_channel}
        rows = self._script.rows(connection, "resume_jobs", paused._asdict() | more, prepare=False)
        return Pause(*rows[0][:-1]) if rows else None

    def list_pauses(self, connection: Connection) -> list[Pause]:
        return [Pause(*row[:-1]) for row in self._list(connection)]

    def find_pauses(self, connection: Connection) -> list[PauseInForce]:
        """As `list_pauses`, for an engine."""
        return [PauseInForce(row[0], row[1], row[-1]) for row in self._list(connection)]

    def _list(self, connection: Connection) -> list[tuple[Any, ...]]:
        return self._script.rows(connection, "list_pauses", {}, prepare=False)
