"""What firing asks of the database. `connections.call` lends a connection for each statement, so a process that has nothing to
fire keeps none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from steve._database.failures import Connection
from steve._database.statements.schedules import Fired, Found, ScheduleStatements, Seen, Tick
from steve._schedules.definition import Definition

T = TypeVar("T")


class CallPort(Protocol):
    """`Connections`. Raises DatabaseFailure."""

    def call(self, statement: Callable[[Connection], T], /) -> T: ...


class DatabaseSchedules:
    """Implements `SchedulePort` of firing.py with SQL statements."""

    def __init__(self, *, connections: CallPort, statements: ScheduleStatements, notify: bool) -> None:
        self._connections = connections
        self._statements = statements
        self._notify = notify

    def look(self) -> tuple[datetime, list[Seen]]:
        return self._connections.call(self._statements.look_at_schedules)

    def find(self, names: Sequence[str]) -> list[Found]:
        return self._connections.call(lambda ours: self._statements.find_schedules(ours, names))

    def write_down(self, definition: Definition, now: datetime) -> None:
        said, version = definition.said(), definition.version()

        def put(ours: Connection) -> bool:
            return self._statements.put_schedule(
                ours, definition.name, said, version, stored=False, now=now, notify=self._notify
            )

        self._connections.call(put)

    def fire(self, ticks: Sequence[Tick]) -> list[Fired]:
        return self._connections.call(lambda ours: self._statements.fire_schedules(ours, ticks, self._notify))
