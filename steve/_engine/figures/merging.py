"""Merges the figures that the processes have written into the sums of all, every minute, and deletes those that are old. A
duty of the whole fleet, which one process at a time does: the table `duty`. If it dies, another one goes on a minute later.

A fleet of two hundred processes may write tens of thousands of rows a minute. So the process that has the turn merges for a
while, does its other duties, and goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from steve._database.failures import Connection, DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements import Statements
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning


class MergeFigures:
    def __init__(
        self,
        *,
        statements: Statements,
        connection: LoopConnection,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statements = statements
        self._connection = connection
        self._tuning = tuning
        self._clock = clock
        self._next_at = clock() + tuning.stat_merge
        self._turn: datetime | None = None  # since when it is kept; None: this process merges nothing at present
        self._keep_at = 0.0

    def duties(self) -> list[Duty]:
        return [Duty("merge figures", min(self._tuning.scan_check, self._tuning.stat_merge), self._merge)]

    def _merge(self) -> None:
        if self._turn is None and self._clock() < self._next_at:
            return
        try:
            if self._turn is None or self._clock() >= self._keep_at:
                self._take_turn()
            until = self._clock() + self._tuning.stat_turn
            while self._turn is not None and self._clock() < until:
                if not self._connection.call(self._merge_some):
                    self._turn = None
        except DatabaseFailure:
            self._turn = None  # what is not merged yet is merged at the next turn

    def _take_turn(self) -> None:
        every = self._tuning.stat_merge * 0.9
        self._next_at = self._clock() + self._tuning.stat_merge
        self._keep_at = self._clock() + every / 3
        mine = self._turn
        self._turn = self._connection.call(
            lambda ours: self._statements.audit.take_turn(ours, "merge figures", timedelta(seconds=every), mine)
        )

    def _merge_some(self, connection: Connection) -> bool:
        """Returns whether there is more to do."""
        stats, most = self._statements.stats, self._tuning.stat_merge_most
        return most in (stats.merge_stat(connection, most), stats.prune_stat(connection, most))
