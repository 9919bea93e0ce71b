"""Cancels jobs that have not begun by their `expires_at` and that nobody claims: `sql/expire_jobs.sql`. Jobs that are claimed
too late get their verdict in the buffer.

The scanner asks on the claim's connection, while no claim is under way: its own connection is open only when it is needed, and
most programs have no job that expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnection
from steve._engine.upkeep.periodic import Duty
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from steve._runtime.log import logger

Expired = Sequence[tuple[Verdict, Settled]]
BetweenClaims = Callable[[Callable[[LoopConnection], Expired]], Expired | None]


class ExpiryPort(Protocol):
    def expire(self, connection: LoopConnection) -> Expired:
        """Cancel some jobs that have not begun in time, and return them; none: there are no more. Raises DatabaseFailure."""


class ExpiryEvents(Protocol):
    """What the duty reports."""

    def on_expired(self, verdict: Verdict, settled: Settled) -> None:
        """The job is cancelled. After the commit."""

    def is_full(self) -> bool:
        """Whether more events wait for slow listeners than there should be."""


class Expiry:
    def __init__(
        self,
        *,
        database: ExpiryPort,
        between_claims: BetweenClaims,
        events: ExpiryEvents,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`between_claims(call)` calls this with the connection of a claimer that makes no claim. It returns None at once if a
        claim is under way, and if the engine stops: that may end before it tells the listeners, so it leaves this to others. It
        reports an outage itself."""
        self._database = database
        self._between_claims = between_claims
        self._events = events
        self._tuning = tuning
        self._clock = clock
        self._due_at = clock() + tuning.expiry_check

    def duties(self) -> list[Duty]:
        # More often than a look is due, because a claim may be under way when it is.
        return [Duty("cancel what has expired", min(self._tuning.scan_check, self._tuning.expiry_check), self.work)]

    def work(self) -> None:
        """Returns at once if no look is due, or if a claim is under way. A process whose listeners are slow leaves this to
        others."""
        if self._clock() < self._due_at or self._events.is_full():
            return
        try:
            expired = self._between_claims(self._database.expire)
        except DatabaseFailure:
            self._due_at = self._clock() + self._tuning.expiry_check
            return
        if expired is None:
            return
        if not expired:
            self._due_at = self._clock() + self._tuning.expiry_check
        for verdict, settled in expired:
            logger.info("job %s (%s) is cancelled: %s", verdict.job.uid, verdict.job.type, verdict.error)
            self._events.on_expired(verdict, settled)
