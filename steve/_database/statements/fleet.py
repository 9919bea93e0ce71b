"""Statements that look at the fleet, for people: which processes there are, and what keeps a job from running."""

from __future__ import annotations

from steve._database.failures import Connection
from steve._database.statements.script import Script
from steve._model.presence import ProcessRow, process_of
from steve.presence import Process


class FleetStatements:
    """They are never prepared: see JobStatements."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def list_processes(self, connection: Connection, most: int) -> list[Process]:
        """All that have a row, in the order of their starts, at most so many."""
        rows = self._script.rows(connection, "list_processes", {"most": most}, prepare=False)
        return [process_of(ProcessRow(*row)) for row in rows]
