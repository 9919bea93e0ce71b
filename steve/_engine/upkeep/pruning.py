"""Two duties of the whole fleet, which one process at a time does: pruning by `JobManager(prune=...)`, and pruning the audit.

A row of the table `duty` says when each was last begun, and the process that moves this time forward has the turn. A prune
takes many batches. After some of them the scanner does its other duties, and goes on later."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from steve._database.failures import Connection, DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._database.statements import Statements
from steve._database.statements.jobs import Old
from steve._engine.upkeep.periodic import Duty
from steve._model.settings import Settings

AUDIT_EVERY = timedelta(hours=1)


class Pruning:
    def __init__(
        self,
        *,
        connection: LoopConnection,
        statements: Statements,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._statements = statements
        self._old = None if settings.prune is None else Old(dict(settings.prune))
        self._tuning = settings.tuning
        self._clock = clock
        self._next_at = 0.0
        self._after: UUID | None = None
        self._is_under_way = False

    def duties(self) -> list[Duty]:
        audit = Duty("prune the audit", self._tuning.audit_check, self._prune_audit)
        return [audit] if self._old is None else [audit, Duty("prune", self._tuning.scan_check, self._prune)]

    def _prune(self) -> None:
        if not self._is_under_way and self._clock() < self._next_at:
            return
        try:
            if not self._is_under_way:
                self._next_at = self._clock() + self._tuning.prune_every
                self._after = None
                every = timedelta(seconds=self._tuning.prune_every * 0.9)
                self._is_under_way = self._connection.call(lambda ours: self._statements.audit.take_turn(ours, "prune", every))
            until = self._clock() + self._tuning.prune_turn
            while self._is_under_way and self._clock() < until:
                self._is_under_way = self._prune_some()
        except DatabaseFailure:
            self._is_under_way = False  # another process, or this one, begins again at the next turn

    def _prune_some(self) -> bool:
        """Returns whether there is more to look at."""
        old = self._old
        assert old is not None

        def prune(connection: Connection) -> bool:
            pruned = self._statements.jobs.prune_jobs(connection, old, self._after, self._tuning.prune_most, alone=True)
            self._after = pruned.last
            return pruned.last is not None and not pruned.is_young

        return self._connection.call(prune)

    def _prune_audit(self) -> None:
        def prune(connection: Connection) -> None:
            if self._statements.audit.take_turn(connection, "prune the audit", AUDIT_EVERY):
                self._statements.audit.prune_audit(connection, timedelta(days=self._tuning.audit_days))

        with suppress(DatabaseFailure):
            self._connection.call(prune)
