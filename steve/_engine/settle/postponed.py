"""The verdicts that were tried and not written, and when they are tried again. There are two kinds:

    deferred    PostgreSQL does not take them at present
    set aside   somebody else has locked their jobs' rows: see aside.py

They lie in lists of the settler's queue, so that they count as waiting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from steve._database.backoff import Backoff
from steve._engine.settle.aside import Aside
from steve._engine.settle.queue import Deferred, SettleQueue
from steve._model.claimed import ClaimKey
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from steve._runtime.chance import chance


class Postponed:
    """The settler's thread calls all methods but `all`."""

    def __init__(self, *, queue: SettleQueue, aside: Aside, tuning: Tuning) -> None:
        self._queue = queue
        self._aside = aside
        self._backoff = Backoff(tuning)
        self._retry_at = 0.0  # when the deferred verdicts are tried again
        self._retried: dict[ClaimKey, Deferred] = {}  # those that are being tried again
        self._are_aside = False  # whether they were set aside

    def all(self) -> list[Deferred]:
        return self._queue.deferred + self._queue.aside

    def entry(self, verdict: Verdict, since: float, doubtful: bool) -> Deferred:
        """`since`: time.monotonic() of the first try, if this was the first."""
        before = self._retried.get(verdict.job.key())
        if before is None:
            return Deferred(verdict, since, doubtful, False)
        return before._replace(verdict=verdict, doubtful=doubtful)

    def defer(self, one: Deferred) -> None:
        if not self._queue.deferred:
            self._retry_at = time.monotonic() + self._backoff.next()
        self._queue.deferred = [*self._queue.deferred, one]

    # -- trying again ---------------------------------------------------------------------------------------------------

    def seconds_to_retry(self) -> float | None:
        """None: there is nothing to try again."""
        deferred = max(self._retry_at - time.monotonic(), 0.0) if self._queue.deferred else None
        waits = [seconds for seconds in (deferred, self._aside.seconds_to_retry()) if seconds is not None]
        return min(waits, default=None)

    def due(self) -> Sequence[Deferred]:
        """What is to be tried again now, all of one kind."""
        if self._aside.seconds_to_retry() == 0.0:
            return self._queue.aside
        if not self._queue.deferred or time.monotonic() < self._retry_at:
            return []
        # After `refusals_in_a_row` refusals the rest is not tried. So put the verdicts that were never tried alone first, and
        # otherwise choose a random order. Then, however many cannot be written, each of the others is tried sooner or later.
        deferred = chance.sample(self._queue.deferred, len(self._queue.deferred))
        deferred.sort(key=lambda one: one.was_logged)
        return deferred

    def begin_retry(self, due: Sequence[Deferred]) -> None:
        """The settler has taken these. Each is added again if it is not written."""
        self._retried = {one.verdict.job.key(): one for one in due}
        self._are_aside = due is self._queue.aside
        if self._are_aside:
            self._queue.aside = []
        else:
            self._queue.deferred = []

    def end_retry(self) -> None:
        self._retried = {}
        if self._are_aside:
            self._aside.tried()
        elif not self._queue.deferred:
            self._backoff.reset()
        self._queue.backpressure.release_if_drained()
