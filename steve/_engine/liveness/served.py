"""Notes which types this process has handlers for, so that `why()` can later name it. A duty of the scanner.

The row of a process is deleted when it stops or has died. So what it served is noted in a table of its own, a row a type, while
it lives: a while after the start, when its handlers change, and every ten minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.fleet import FleetStatements
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning


class NoteServed:
    def __init__(
        self,
        *,
        statements: FleetStatements,
        connection: LoopConnection,
        process: str,
        types: Callable[[], Sequence[str]],
        tuning: Tuning,
    ) -> None:
        """`types()`: the types that have a handler of their own now."""
        self._statements = statements
        self._connection = connection
        self._process = process
        self._types = types
        self._tuning = tuning
        self._noted: frozenset[str] = frozenset()
        self._next_at = 0.0

    def duties(self) -> list[Duty]:
        return [Duty("note which types are served", self._tuning.served_check, self._note)]

    def _note(self) -> None:
        types, now = frozenset(self._types()), time.monotonic()
        if not types or (types <= self._noted and now < self._next_at):
            return
        with suppress(DatabaseFailure):  # the next turn comes soon
            self._connection.call(lambda ours: self._statements.note_served(ours, self._process, sorted(types)))
            self._noted, self._next_at = types, now + self._tuning.served_renewal
