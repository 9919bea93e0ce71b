"""Implements `ClaimPort` and `ScanPort` with SQL statements, for one process, on the connections that are kept for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from steve._database.loop_connection import CallPort
from steve._database.statements.claims import ClaimStatements
from steve._engine.claim.pauses import Pauses
from steve._model.claim import ClaimReply, Demand, Watermark
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import Verdict
from steve._model.settings import Settings


class DatabaseClaims:
    def __init__(
        self,
        *,
        statements: ClaimStatements,
        connection: CallPort,
        process_id: int,
        settings: Settings,
        pauses: Pauses,
        serves: Callable[[str], bool] = lambda queue: True,
    ) -> None:
        """`serves(queue)`: as `ClaimPort`."""
        self._statements = statements
        self._connection = connection
        self.serves = serves
        self._process_id = process_id
        self._max_crashes = settings.max_crashes
        self._notify = settings.notify
        self._pauses = pauses

    def claim(self, demand: Demand) -> ClaimReply:
        claim = self._statements.claim_jobs
        reply = self._connection.call(lambda ours: claim(ours, self._process_id, self._max_crashes, demand))
        # When a pause ends, its jobs are due.
        return reply._replace(next_due_in=self._pauses.sooner(reply.next_due_in)) if self._pauses.known else reply

    def expire(self, connection: CallPort) -> Sequence[tuple[Verdict, Settled]]:
        return connection.call(lambda ours: self._statements.expire_jobs(ours, notify=self._notify))

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        find = self._statements.find_claimed
        return self._connection.call(lambda ours: find(ours, self._process_id, answered))


class DatabaseScans:
    """On the scanner's connection, so that no claim waits."""

    def __init__(self, *, statements: ClaimStatements, connection: CallPort, close: Callable[[], None]) -> None:
        """`close()`: closes the connection unless somebody else needs it."""
        self._statements = statements
        self._connection = connection
        self._close = close

    def find_heads(self, demand: Demand) -> dict[int, Watermark]:
        return self._connection.call(lambda ours: self._statements.find_heads(ours, demand))

    def time_full_scan(self, demand: Demand) -> float:
        return self._connection.call(lambda ours: self._statements.time_full_scan(ours, demand))

    def find_horizon(self) -> list[tuple[str, float | None]]:
        return self._connection.call(self._statements.find_horizon)

    def close(self) -> None:
        self._close()
