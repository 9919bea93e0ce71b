"""While the engine stops: once no handler runs and no outcome waits, breaks the connections whose statement has no answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from steve._database.loop_connection import LoopConnections
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning


class Abandonment:
    def __init__(self, *, connections: LoopConnections, is_anything_owed: Callable[[], bool], tuning: Tuning) -> None:
        """`is_anything_owed()`: whether a handler runs or an outcome waits to be written. As long as it returns True, no
        statement is abandoned."""
        self._connections = connections
        self._is_anything_owed = is_anything_owed
        self._grace = tuning.shutdown_grace
        self._next_at = inf

    def duties(self) -> list[Duty]:
        return [Duty("abandon statements without an answer", self._grace / 8, self._abandon)]

    def begin(self) -> None:
        """The engine stops: after `shutdown_grace`, and again each time that it is over, abandon statements."""
        self._next_at = time.monotonic() + self._grace

    def _abandon(self) -> None:
        if time.monotonic() >= self._next_at and not self._is_anything_owed():
            self._next_at = time.monotonic() + self._grace
            for connection in (self._connections.claim, self._connections.scan, self._connections.settle):
                connection.cut()
