"""What the running handlers of an engine can learn: that it stops, that another process has taken their job, and that somebody
has asked to cancel it. A worker asks about the last before it begins a job, and whether the job is paused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import cast
from uuid import UUID

from steve._engine.claim.pauses import Pauses
from steve._engine.records.records import Records
from steve._engine.work.deadlines import Deadlines, own_thread
from steve._engine.work.interrupts import Interrupts
from steve._engine.work.limit import Limit
from steve._engine.work.quota import Quota
from steve._model.claimed import Claimed, ClaimKey
from steve.run import CompletionPort, LimitPort, current_signals

UNSEEN_SECONDS = 1.0
"""A cancel that is heard of before the job itself counts for so long."""


class PoolSignals:
    """Whether a pool begins no more jobs. Its handlers do not see this: they go on to their end, and only the engine's stop is
    their business."""

    def __init__(self) -> None:
        self._is_stopping = False

    def stop(self) -> None:
        self._is_stopping = True

    def is_stopping(self) -> bool:
        return self._is_stopping


class RunSignals:
    """All runs of an engine share one object: a threading.Event for each run would cost every job a tenth of its time."""

    def __init__(
        self,
        *,
        deadlines: Deadlines | None = None,
        completions: CompletionPort | None = None,
        records: Records | None = None,
        pauses: Pauses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`completions`: for `run.complete()`. `records`: keeps what runs leave behind; None: nothing does. `pauses`: which
        jobs must not begin; None: all may."""
        self._pauses = pauses or Pauses()
        self.quota: Quota | None = None
        """How many jobs may begin. None, as a rule: any number."""
        self.completions = completions
        self.records = records
        # Protects changes of the four below; a thread that only reads them needs no lock. Nothing is called under it.
        self._changed = threading.Condition()
        self._is_stopping = False
        self._lost: frozenset[ClaimKey] = frozenset()
        self._cancelled: frozenset[ClaimKey] = frozenset()
        # The jobs that were to be cancelled and were not held here, and when that was heard. The reply to the claim of such a
        # job may be on its way.
        self._unseen: Mapping[UUID, float] = {}
        self._clock = clock
        self._interrupts = Interrupts(deadlines=deadlines or own_thread(), must_end=self._must_end)

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def is_stopping(self) -> bool:
        return self._is_stopping

    def lose(self, lost: Collection[ClaimKey], running: Collection[ClaimKey]) -> None:
        """These claims are lost. Forget those that were lost earlier and do not run any more."""
        with self._changed:
            self._lost = self._lost.intersection(running).union(lost)
            self._changed.notify_all()
        self._interrupts.look_at(lost)

    def is_lost(self, claim: ClaimKey) -> bool:
        return claim in self._lost

    def cancel(self, uids: Collection[UUID], held: Collection[ClaimKey]) -> None:
        """Somebody has asked to cancel these jobs. `held`: the claims of this process. Forget those that it does not hold any
        more."""
        now = self._clock()
        seen = {uid for uid, _ in held}
        with self._changed:
            self._cancelled = self._cancelled.intersection(held).union(claim for claim in held if claim[0] in uids)
            unseen = {uid: at for uid, at in self._unseen.items() if now - at < UNSEEN_SECONDS}
            self._unseen = unseen | {uid: now for uid in uids if uid not in seen}
            self._changed.notify_all()
        self._interrupts.look_at([claim for claim in held if claim[0] in uids])

    def is_cancelled(self, claim: ClaimKey) -> bool:
        return claim in self._cancelled

    def limit_jobs(self, most: int) -> None:
        """Let so many jobs begin, and no more."""
        self.quota = Quota(most=most, on_used_up=self._pauses.hold_all)

    def must_not_begin(self, job: Claimed) -> bool:
        """Whether this job, which has not begun, is paused, or somebody has asked to cancel it, or enough jobs have begun."""
        # the common case, which is asked for every job
        if not self._cancelled and not self._unseen and not self._pauses.known and self.quota is None:
            return False
        heard_at = self._unseen.get(job.uid)
        is_cancelled = job.key() in self._cancelled or (heard_at is not None and self._clock() - heard_at < UNSEEN_SECONDS)
        return is_cancelled or self._pauses.cover(job) or (self.quota is not None and not self.quota.take())

    def wait(self, claim: ClaimKey, seconds: float) -> bool:
        """Wait at most `seconds` until the engine stops, or the job is lost or to be cancelled. Returns whether one of these
        happened."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_stopping or claim in self._lost or claim in self._cancelled, seconds)

    def interrupting(self, claim: ClaimKey, connection: object, limit: LimitPort | None) -> AbstractContextManager[None]:
        """As `Run.interrupting`."""
        return self._interrupts.block(claim, connection, cast(Limit | None, limit))

    def _must_end(self, claim: ClaimKey) -> bool:
        return claim in self._lost or claim in self._cancelled

    def are_of_this_run(self) -> bool:
        """Whether the calling code belongs to a handler of this engine."""
        return current_signals() is self
