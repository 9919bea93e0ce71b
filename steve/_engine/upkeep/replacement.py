"""Replaces dead worker threads. After any thread broke off, it also has the tables compared with what this process runs,
because the thread may just have taken a job.
"""

from __future__ import annotations

from collections.abc import Callable

from steve._engine.upkeep.periodic import Duty
from steve._engine.upkeep.threads import Threads
from steve._engine.work.turns import Turns
from steve._model.tuning import Tuning


class Replacement:
    def __init__(self, *, threads: Threads, turns: Turns, doubt_everything: Callable[[], None], tuning: Tuning) -> None:
        self._threads = threads
        self._turns = turns
        self._doubt_everything = doubt_everything
        self._interval = tuning.replace_check
        self._broken_before = 0

    def duties(self) -> list[Duty]:
        return [Duty("replace dead workers", self._interval, self._replace)]

    def broken(self) -> int:
        """How many threads and turns broke off since the start."""
        return self._threads.restarted + self._turns.broken

    def _replace(self) -> None:
        self._turns.resubmit(self._threads.replace_dead())
        self._turns.replace_dead_slots()
        before, self._broken_before = self._broken_before, self.broken()
        if self._broken_before > before:
            self._doubt_everything()
