"""Whether an engine has done all that is due: `run(burst=True)`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Work(NamedTuple):
    """What an engine has to do at one moment."""

    open: int
    """How many jobs have begun or are about to begin, and how many outcomes are not yet written or told."""
    brought: int
    """How many jobs the claims have brought since the start."""
    found_nothing_at: float
    """When the last claim of each pool began that was answered and brought none: the earliest of these."""


class EnginePort(Protocol):
    def work(self) -> Work: ...

    def wake(self) -> None:
        """Claim at once, by full scans."""


class Lull:
    """Asked again and again, by one thread.

    That nothing runs is no proof, because a handler may have created another job. So this asks for full scans once all is
    settled. If they find nothing, and no claim has brought a job meanwhile, no job is due.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._brought = 0

    def has_come(self, engine: EnginePort) -> bool:
        work = engine.work()
        if work.open or work.brought != self._brought:
            self._asked_at, self._brought = None, work.brought
        elif self._asked_at is None:
            self._asked_at = self._clock()
            engine.wake()
        return self._asked_at is not None and work.found_nothing_at > self._asked_at
