"""What the claimers of an engine share: one for each pool. Each has its claims, its lock and its buffer for itself.

Two things concern the whole process. A job on its last chance runs alone, so no other pool may hold a job then. And when the
reply to a claim was lost, the question which jobs the process holds must not meet a claim of another pool that is under way:
its jobs would be taken for those of the lost one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from steve._engine.claim.in_doubt import InDoubtClaims
from steve._model.tuning import Tuning


class NeighbourPort(Protocol):
    """A claimer, as the others see it."""

    def pause(self) -> Callable[[], None] | None:
        """Make no claim until the function is called that this returns. None: a claim is under way."""

    def may_hold_jobs(self) -> bool:
        """Whether there are jobs in the buffer, or a claim is under way that may bring some."""

    def claiming_since(self) -> float | None:
        """When the claim began that is under way, by the clock."""

    def wake(self, *, full_scan: bool = False) -> None: ...

    def ring(self) -> None:
        """Wake the idle worker."""


class LastChance:
    """Whether a job on its last chance is due or runs. No other job may begin then."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changing = threading.Lock()  # protects changes of the three below; only the clock is called under it
        self.is_due = False
        self.since = 0.0
        """When `is_due` was last set, by the clock."""
        self.owner: NeighbourPort | None = None
        """The claimer whose pool has to run the job."""

    def begin(self, claimer: NeighbourPort) -> bool:
        """This claimer has seen such a job. Returns whether it is the owner now: if not, it is another one's turn."""
        with self._changing:
            if not self.is_due:
                self.since, self.owner, self.is_due = self._clock(), claimer, True
            return self.owner is claimer

    def end(self, claimer: NeighbourPort) -> bool:
        """Returns whether this claimer was the owner."""
        with self._changing:
            if self.owner is not claimer:
                return False
            self.owner, self.is_due = None, False
            return True

    def ring(self) -> None:
        """A run has ended: wake the worker that is to run the job. It waits until there are none."""
        if (owner := self.owner) is not None:
            owner.ring()


class Neighbours:
    def __init__(self, *, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self.tuning = tuning
        self.last_chance = LastChance(clock=clock)
        self.in_doubt = InDoubtClaims(tuning=tuning, clock=clock, claiming_since=self._claiming_since)
        self._joining = threading.Lock()  # protects changes of `claimers`; nothing is called under it
        self.is_settled: Callable[[], bool] = lambda: True
        """Whether all outcomes are in the database."""
        self.claimers: tuple[NeighbourPort, ...] = ()
        """All that may claim, and those that end. Replaced as a whole."""

    def join(self, claimer: NeighbourPort) -> None:
        with self._joining:
            # In this order: before the second one claims, the times of answered claims must be kept as for several.
            self.in_doubt.is_shared = self.in_doubt.is_shared or bool(self.claimers)
            self.claimers = (*self.claimers, claimer)

    def leave(self, claimer: NeighbourPort) -> None:
        with self._joining:
            self.claimers = tuple(other for other in self.claimers if other is not claimer)
            self.in_doubt.is_shared = True  # a later one must know of the claims of this one, whose jobs may still run
        self.end_left_last_chance()

    def others(self, claimer: NeighbourPort) -> list[NeighbourPort]:
        return [other for other in self.claimers if other is not claimer]

    def end_left_last_chance(self) -> None:
        """If the pool that had a job on its last chance has ended, all may claim again as soon as the outcome of that job is in
        the database."""
        owner = self.last_chance.owner
        if owner is not None and not any(owner is one for one in self.claimers) and self.is_settled():
            self.end_last_chance(owner)

    def end_last_chance(self, claimer: NeighbourPort) -> None:
        """If this claimer's pool had a job on its last chance, all may claim again."""
        if self.last_chance.end(claimer):
            for other in self.claimers:
                other.wake(full_scan=True)

    @contextmanager
    def paused(self, claimer: NeighbourPort | None) -> Iterator[bool]:
        """No other claimer makes a claim during the block. False: one is under way at this moment, so this tells nothing."""
        with ExitStack() as stack:
            for other in self.claimers:
                if other is not claimer:
                    if (go_on := other.pause()) is None:
                        yield False
                        return
                    stack.callback(go_on)
            yield True

    def _claiming_since(self) -> float:
        """When the longest claim under way began, by the clock. Infinity: none is under way."""
        begun = [since for claimer in self.claimers if (since := claimer.claiming_since()) is not None]
        return min(begun, default=float("inf"))
