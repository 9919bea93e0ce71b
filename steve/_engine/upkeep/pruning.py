"""Two duties of the whole fleet, which one process at a time does: pruning by `JobManager(prune=...)`, and pruning the audit.

Each is a walk through a table, so the processes take turns: the table `duty`. A prune takes many batches. After some of them
the scanner does its other duties, and goes on later. Meanwhile the process keeps its turn. If it dies, the turn is soon over,
and another process begins anew. Duties that find their rows by an index need no turn: all processes do them, and skip what
others have locked."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
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
        self._turn: datetime | None = None  # since when it is kept; None: no prune of this process is under way
        self._keep_at = 0.0

    def duties(self) -> list[Duty]:
        audit = Duty("prune the audit", self._tuning.audit_check, self._prune_audit)
        return [audit] if self._old is None else [audit, Duty("prune", self._tuning.scan_check, self._prune)]

    def _prune(self) -> None:
        if self._turn is None and self._clock() < self._next_at:
            return
        try:
            if self._turn is None:
                self._next_at = self._clock() + self._tuning.prune_every
                self._after = None
                self._take_turn()
            elif self._clock() >= self._keep_at:
                self._take_turn()
            until = self._clock() + self._tuning.prune_turn
            while self._turn is not None and self._clock() < until:
                if not self._prune_some():
                    self._turn = None
        except DatabaseFailure:
            self._turn = None  # another process, or this one, begins again at the next turn

    def _take_turn(self) -> None:
        """Take the turn or keep it. It may be lost, if this process was held up for long."""
        every = self._tuning.prune_every * 0.9
        self._keep_at = self._clock() + every / 3
        mine = self._turn
        self._turn = self._connection.call(
            lambda ours: self._statements.audit.take_turn(ours, "prune", timedelta(seconds=every), mine)
        )

    def _prune_some(self) -> bool:
        """Returns whether there is more to look at."""
        old = self._old
        assert old is not None

        def prune(connection: Connection) -> bool:
            pruned = self._statements.jobs.prune_jobs(connection, old, self._after, self._tuning.prune_most)
            self._after = pruned.last
            return pruned.last is not None and not pruned.is_young

        return self._connection.call(prune)

    def _prune_audit(self) -> None:
        def prune(connection: Connection) -> None:
            if self._statements.audit.take_turn(connection, "prune the audit", AUDIT_EVERY) is not None:
                self._statements.audit.prune_audit(connection, timedelta(days=self._tuning.audit_days))

        with suppress(DatabaseFailure):
            self._connection.call(prune)
