"""Handlers that have not returned long after their deadline. Each holds a worker's place, so each gets a replacement slot.

A slot is a thread of its own with a chain of turns (`turns.py`). There are as many as stuck handlers, but no more than
`workers`. When a stuck handler returns, a slot is closed. The job itself stays this process's: heartbeats go on, so nobody else
takes it, and `stop()` waits for its handler.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from steve._engine.claim.claimer import Claimer
from steve._engine.events.stuck_listeners import StuckListeners
from steve._engine.upkeep.periodic import Duty
from steve._engine.work.limit import Limit
from steve._engine.work.running import RunningJobs, stacks_of
from steve._engine.work.turns import Turns
from steve._model import json as _json
from steve._runtime.log import logger
from steve.job import Job, Status


class StuckHandlers:
    def __init__(
        self,
        *,
        turns: Turns,
        running: RunningJobs,
        claimer: Claimer,
        listeners: StuckListeners,
        soon: Callable[[Duty], None],
    ) -> None:
        """`soon(duty)` has this done on a thread that may wait: the log and the listeners may be slow."""
        self._turns = turns
        self._running = running
        self._claimer = claimer
        self._listeners = listeners
        self._soon = soon
        self._limits: tuple[Limit, ...] = ()  # replaced as a whole, by the thread that watches the deadlines
        # Held while the number of workers changes: by that thread, or by one that scales the pool. Before Turns._counting.
        self._fitting = threading.Lock()

    def jobs(self) -> tuple[Job, ...]:
        """From any thread."""
        return tuple(_job(limit) for limit in self._limits if not limit.is_over)

    def resize(self, workers: int) -> None:
        """The pool has so many workers from now on."""
        with self._fitting:
            self._turns.resize(workers)
            self._running.workers = self._turns.workers

    # -- on the thread that watches the deadlines -----------------------------------------------------------------------

    def add(self, limit: Limit) -> None:
        self._limits = (*self._limits, limit)
        self._running.stuck = len(self._limits)
        self._fit()
        if self._turns.let_go_idle(limit.thread):  # it runs a job on its last chance, alone
            self._claimer.neighbours.end_last_chance(self._claimer)  # the others begin all the same
        stack = stacks_of([limit.thread])[limit.thread]
        self._soon(Duty("tell of a stuck handler", 0.0, lambda: self._tell(limit, stack)))

    def remove(self, limit: Limit) -> None:
        self._limits = tuple(other for other in self._limits if other is not limit)
        self._running.stuck = len(self._limits)
        self._fit()

    def _fit(self) -> None:
        """Open or close slots, until there are as many as there should be."""
        with self._fitting:
            threads = {limit.thread for limit in self._limits}
            wanted = min(len(self._limits), self._turns.without_slots)
            self._turns.stuck = len(self._limits)
            while len(self._turns.slots) < wanted and self._turns.open_slot():
                pass
            while len(self._turns.slots) > wanted and self._turns.close_slot(threads):
                pass
            self._running.workers = self._turns.workers

    # -- on the other thread --------------------------------------------------------------------------------------------

    def _tell(self, limit: Limit, stack: str) -> None:
        job = limit.job
        logger.error(
            "job %s (%s) is stuck: its handler has not returned %g s after its timeout of %g s, and is here:\n%s",
            job.uid, job.type, limit.stuck_after, limit.seconds, stack,
            extra=job.log_extra(),
        )  # fmt: skip
        self._listeners.tell(_job(limit))


def _job(limit: Limit) -> Job:
    return limit.job.job(_json.decode_or_text, Status.RUNNING)
