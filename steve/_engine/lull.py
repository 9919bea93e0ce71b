"""Whether an engine has done all that is due: `run(burst=True)`."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

from steve._engine.parts import Parts


class Work(NamedTuple):
    """What an engine has to do at one moment."""

    open: int
    """How many jobs have begun or are about to begin, and how many outcomes are not yet written or told."""
    brought: int
    """How many jobs the claims have brought since the start."""
    found_nothing_at: float
    """When the last claim of each pool began that was answered and brought none: the earliest of these."""


def work_of(parts: Parts) -> Work:
    """Reads only memory. From any thread."""
    schedules = [pool.parts.claimer.schedule for pool in parts.pools.live()]
    # In the order in which a job moves. So this misses only one that a worker is taking from the buffer at this moment.
    held = (len(parts.duties.buffered()), len(parts.running), parts.settler.waiting(), parts.dispatcher.waiting())
    return Work(
        open=sum(held) + parts.pools.neighbours.last_chance.is_due,
        brought=sum(schedule.brought for schedule in schedules),
        found_nothing_at=min((schedule.found_nothing_at for schedule in schedules), default=inf),
    )


class EnginePort(Protocol):
    @property
    def work(self) -> Callable[[], Work]: ...

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
