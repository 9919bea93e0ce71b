"""Writes what the figures have counted. A duty of the scanner's thread, every ten seconds; also when the engine ends.

The statement adds to rows, so it must not be carried out twice. If its reply is lost, the next turn asks whether its
transaction was committed. Until then nothing more is written, and what is counted meanwhile waits in memory, in no more lanes
than ever.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from steve._database.execute import atomic
from steve._database.failures import Connection, DatabaseFailure, InDoubt
from steve._database.loop_connection import LoopConnection
from steve._database.statements import Statements
from steve._engine.figures.figures import Figures
from steve._engine.upkeep.periodic import Duty
from steve._model.figures import Lane, LaneFigures
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class _Sent(NamedTuple):
    """What may have been written."""

    transaction: str
    counted: dict[Lane, LaneFigures]


class FigureWriter:
    def __init__(
        self, *, figures: Figures, statements: Statements, connection: LoopConnection, process_id: int, tuning: Tuning
    ) -> None:
        self._figures = figures
        self._statements = statements
        self._connection = connection
        self._process_id = process_id
        self._tuning = tuning
        self._writing = threading.Lock()  # one write at a time, since the end of the engine does not wait for the duty's
        self._in_doubt: _Sent | None = None
        self._has_failed = False

    def duties(self) -> list[Duty]:
        return [Duty("write figures", self._tuning.stat_every, self.write)]

    def write(self, connection: LoopConnection | None = None) -> None:
        """Write what was counted since the last time. If nothing was, ask the database nothing. `connection`: one that the
        calling thread may use; None: the scanner's."""
        with self._writing:
            self._write_on(self._connection if connection is None else connection)

    def _write_on(self, line: LoopConnection) -> None:
        counted: dict[Lane, LaneFigures] = {}
        try:
            if self._in_doubt is not None:
                line.call(self._settle_doubt)
            if counted := self._figures.take():
                line.call(lambda ours: self._write(ours, counted))
            self._has_failed = False
        except DatabaseFailure as error:
            if self._in_doubt is None or self._in_doubt.counted is not counted:
                self._figures.give_back(counted)
            if not self._has_failed:
                self._has_failed = True
                logger.warning("the figures cannot be written now and will be tried again: %s", error)

    def _write(self, connection: Connection, counted: dict[Lane, LaneFigures]) -> None:
        transaction: str | None = None
        try:
            with atomic(connection):
                transaction = self._statements.checks.begin_change(connection)
                self._statements.stats.write_stat(connection, self._process_id, counted)
        except InDoubt:
            if transaction is not None:
                self._in_doubt = _Sent(transaction, counted)
            raise

    def _settle_doubt(self, connection: Connection) -> None:
        """Raises Transient while the transaction is still under way."""
        sent = self._in_doubt
        assert sent is not None
        if not self._statements.checks.is_committed(connection, sent.transaction):
            self._figures.give_back(sent.counted)
        self._in_doubt = None
