"""Implements `SettlePort` with SQL statements, on the connection that is kept for settling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from steve._database.loop_connection import CallPort
from steve._database.statements.settlement import SettlementStatements
from steve._engine.settle.awaited import Awaited
from steve._engine.settle.settler import Landed
from steve._model.claimed import Settled
from steve._model.outcome import Verdict


class DatabaseSettlement:
    def __init__(
        self,
        *,
        connection: CallPort,
        statements: SettlementStatements,
        process: str,
        notify: bool,
        are_wanted: Callable[[Sequence[Verdict]], bool],
        awaited: Awaited,
        write_before: Callable[[Sequence[Verdict]], None] = lambda verdicts: None,
    ) -> None:
        """`process`: the name of this process, for the log of attempts; `are_wanted(verdicts)`: whether a listener wants
        to know about one of them. `write_before(verdicts)` writes what their runs have left, and raises DatabaseFailure."""
        self._connection = connection
        self._statements = statements
        self._process = process
        self._notify = notify
        self._are_wanted = are_wanted
        self._awaited = awaited
        self._write_before = write_before

    def write(self, verdicts: Sequence[Verdict], now: float) -> Landed:
        self._write_before(verdicts)
        times = self._are_wanted(verdicts)
        settle = self._statements.settle_jobs
        awaited = self._awaited.now()
        return self._connection.call(lambda ours: settle(ours, self._process, verdicts, now, self._notify, times, awaited))

    def write_unlocked(self, verdicts: Sequence[Verdict], now: float) -> tuple[Landed, Collection[int]]:
        self._write_before(verdicts)
        times = self._are_wanted(verdicts)
        settle = self._statements.settle_unlocked
        awaited = self._awaited.now()
        return self._connection.call(lambda ours: settle(ours, self._process, verdicts, now, self._notify, times, awaited))

    def find_blockers(self, jobs: Collection[UUID]) -> list[tuple[str, float | None]]:
        return self._connection.call(lambda ours: self._statements.find_blockers(ours, jobs))

    def find_written(self, verdicts: Sequence[Verdict]) -> Landed:
        return self._connection.call(lambda ours: self._statements.find_settled(ours, self._process, verdicts))

    def find_completed(self, verdicts: Sequence[Verdict]) -> dict[int, tuple[Settled, bool, str | None]]:
        return self._connection.call(lambda ours: self._statements.find_completed(ours, self._process, verdicts))

    def rehearse(self, verdict: Verdict) -> None:
        self._connection.call(lambda ours: self._statements.rehearse_settlement(ours, self._process, verdict))

    def forget_attempt(self, verdict: Verdict) -> None:
        self._connection.call(lambda ours: self._statements.forget_attempt(ours, verdict))
