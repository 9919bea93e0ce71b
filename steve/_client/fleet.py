"""Looks at the fleet, for people: which processes there are, and what keeps a job from running."""

from __future__ import annotations

from steve._client.calls import Calls
from steve._database.statements.fleet import FleetStatements
from steve.presence import Process

PROCESSES_MOST = 10_000


class Fleet:
    def __init__(self, *, calls: Calls, statements: FleetStatements) -> None:
        self._calls = calls
        self._statements = statements

    def processes(self) -> list[Process]:
        return self._calls.call(lambda ours: self._statements.list_processes(ours, PROCESSES_MOST))
