"""Deletes the windows of `unique_for` that are over, and what was noted about replaced jobs. A duty of the scanner's thread.

All processes have this duty. It needs no turn (pruning.py), since the statement finds these rows by an index and skips those
that another process deletes.
"""

from __future__ import annotations

from contextlib import suppress

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements.unique import UniqueStatements
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning


class CleanWindows:
    def __init__(self, *, statements: UniqueStatements, connection: LoopConnection, tuning: Tuning) -> None:
        self._statements = statements
        self._connection = connection
        self._tuning = tuning

    def duties(self) -> list[Duty]:
        return [Duty("delete windows that are over", self._tuning.clean_windows, self.clean)]

    def clean(self) -> None:
        most = self._tuning.clean_most
        with suppress(DatabaseFailure):  # the next turn comes soon
            while self._connection.call(lambda ours: self._statements.clean_windows(ours, most)) == most:
                pass
