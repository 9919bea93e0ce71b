"""Breaks connections whose statement has no answer, while the engine stops and once no handler runs and no outcome waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf

from steve._database.loop_connection import LoopConnection
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning


class Abandonment:
    def __init__(
        self,
        *,
        connections: Callable[[], Iterable[LoopConnection]],
        is_anything_owed: Callable[[], bool],
        tuning: Tuning,
    ) -> None:
        """`connections()`: those whose statements may be abandoned. `is_anything_owed()`: whether a handler runs or an outcome
        waits to be written. As long as it returns True, no statement is abandoned."""
        self._connections = connections
        self._is_anything_owed = is_anything_owed
        self._grace = tuning.shutdown_grace
        self._next_at = inf

    def duties(self) -> list[Duty]:
        return [Duty("abandon statements without an answer", self._grace / 8, self._abandon)]

    def begin(self) -> None:
        """The engine stops: from now on, abandon statements each time that another `shutdown_grace` has passed."""
        self._next_at = time.monotonic() + self._grace

    def _abandon(self) -> None:
        if time.monotonic() >= self._next_at and not self._is_anything_owed():
            self._next_at = time.monotonic() + self._grace
            for connection in self._connections():
                connection.cut()
