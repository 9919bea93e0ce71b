"""Watches over verdicts whose jobs' rows somebody else has locked: an open transaction of a user's, say, that has changed a
running job.

A settlement that waited for such a lock would hold up the outcomes of all other jobs. So these verdicts are set aside and tried
again ten times a second, by a statement that passes locked rows by. After a second the log names the sessions that hold the
locks; `health()` names them, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from uuid import UUID

from steve._database.failures import DatabaseFailure
from steve._engine.settle.queue import Deferred, SettleQueue
from steve._model.tuning import Tuning
from steve._runtime.log import logger

Blockers = Callable[[Collection[UUID]], Sequence[tuple[str, float | None]]]


class Aside:
    """The settler's thread calls all methods."""

    def __init__(self, *, queue: SettleQueue, find_blockers: Blockers, tuning: Tuning) -> None:
        """`find_blockers(uids)`: the sessions that hold the locks of these jobs' rows, and for how many seconds their
        transactions have been open. Raises DatabaseFailure."""
        self._queue = queue
        self._find_blockers = find_blockers
        self._tuning = tuning
        self._careful_until = self._retry_at = self._name_at = 0.0
        self._named: set[str] = set()  # the sessions that the log has named
        self.blockers: tuple[str, ...] = ()
        """The sessions that hold up an outcome, for a second or longer. Replaced as a whole; any thread may read it."""

    def met_lock(self) -> None:
        self._careful_until = time.monotonic() + self._tuning.aside_silent

    def is_careful(self) -> bool:
        """Whether a locked row was met lately. Then each group is written by the statement that passes locked rows by, so that
        the next locked row holds up nothing."""
        return time.monotonic() < self._careful_until

    def add(self, one: Deferred) -> None:
        self.met_lock()
        self._queue.aside = [*self._queue.aside, one]

    def seconds_to_retry(self) -> float | None:
        """None: nothing is set aside."""
        return max(self._retry_at - time.monotonic(), 0.0) if self._queue.aside else None

    def tried(self) -> None:
        """All were tried. Those whose rows are still locked were set aside again."""
        now = time.monotonic()
        self._retry_at = now + self._tuning.aside_check
        silent = [one for one in self._queue.aside if now - one.since >= self._tuning.aside_silent]
        if not silent:
            self._named.clear()
            self.blockers = ()
        elif now >= self._name_at or not self.blockers:
            self._name_at = now + self._tuning.aside_again
            with suppress(DatabaseFailure):  # the next retry meets it too, and reacts
                self._name(silent)

    def _name(self, locked: Sequence[Deferred]) -> None:
        found = self._find_blockers([one.verdict.job.uid for one in locked])
        self.blockers = tuple(name for name, _ in found) or ("a session that cannot be found",)
        if self._named.issuperset(self.blockers):
            return
        self._named.update(self.blockers)
        holders = [name if age is None else f"{name}, whose transaction is {age:.0f} s old" for name, age in found]
        logger.warning(
            "the outcomes of %d jobs, of %s for instance, cannot be written: their rows are locked by %s; other outcomes are "
            "written meanwhile", len(locked), locked[0].verdict.job.uid, "; ".join(holders or self.blockers),
        )  # fmt: skip
