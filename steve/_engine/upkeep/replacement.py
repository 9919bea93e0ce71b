"""Replaces dead worker threads. After any thread broke off, it also has the tables compared with what this process runs,
because the thread may just have taken a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from steve._engine.upkeep.periodic import Duty
from steve._engine.upkeep.threads import Threads
from steve._model.tuning import Tuning


class WorkersPort(Protocol):
    """A pool of workers."""

    def replace_dead(self) -> None:
        """Put others in the place of threads that have died."""

    def broken(self) -> int:
        """How many of its threads and turns broke off since its start."""


class Replacement:
    def __init__(
        self,
        *,
        threads: Threads,
        pools: Callable[[], Iterable[WorkersPort]],
        doubt_everything: Callable[[], None],
        tuning: Tuning,
    ) -> None:
        """`threads`: those of the loops. `pools()`: those of workers."""
        self._threads = threads
        self._pools = pools
        self._of_ended_pools = 0
        self._doubt_everything = doubt_everything
        self._interval = tuning.replace_check
        self._broken_before = 0

    def duties(self) -> list[Duty]:
        return [Duty("replace dead workers", self._interval, self._replace)]

    def broken(self) -> int:
        """How many threads and turns broke off since the start."""
        return self._threads.restarted + self._of_ended_pools + sum(pool.broken() for pool in self._pools())

    def on_pool_ended(self, pool: WorkersPort) -> None:
        """It is not among `pools()` any more."""
        self._of_ended_pools += pool.broken()

    def _replace(self) -> None:
        for pool in self._pools():
            pool.replace_dead()
        before, self._broken_before = self._broken_before, self.broken()
        if self._broken_before > before:
            self._doubt_everything()
