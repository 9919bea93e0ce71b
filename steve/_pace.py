"""How long handlers take and how large payloads are, as moving averages; and therefore how much a claim asks for.

Workers report each run, the hand asks before each claim. Claimed ahead, a job must not wait behind a slow neighbour while
another process idles: a claim brings what the idle workers take at once, and what all of them begin within HAND_SECONDS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf

from ._store import Demand, Lane, Mark
from .handlers import Handlers
from .job import Claimed
from .settings import HAND_BYTES, HAND_MOST, HAND_SECONDS, LANE_LEAST, PACES_MOST


class Pace:
    """Moving averages: the seconds a handler takes, by type and over all, and the bytes of a payload.

    Written by all workers without a lock: an average that misses a value now and then is an average still.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, float] = {}
        self._mean: float | None = None
        self._payload = 0.0

    def took(self, type: str, seconds: float) -> None:
        known = self._by_type.get(type)
        if known is None and len(self._by_type) >= PACES_MOST:
            self._by_type = {}
        self._by_type[type] = seconds if known is None else known + (seconds - known) * 0.2
        self._mean = seconds if self._mean is None else self._mean + (seconds - self._mean) * 0.2

    def expected(self, jobs: list[Claimed]) -> float:
        """Seconds that one worker takes for these; infinity where one of them may take any time."""
        return sum(self._by_type.get(type, inf) * count for type, count in Counter(job.type for job in jobs).items())

    def weighed(self, jobs: list[Claimed]) -> None:
        mean = sum(len(job.payload) for job in jobs) / len(jobs)
        self._payload += (mean - self._payload) * 0.5

    def demand(self, handlers: Handlers, workers: int, idle: int, at_hand: int, marks: Mapping[Lane, Mark] | None) -> Demand:
        """What to ask for. A type that has never run has no pace: as many of it as workers are idle, no more."""
        ahead = HAND_SECONDS * workers

        def most(pace: float | None) -> int:
            return idle if pace is None else min(idle + int(ahead / max(pace, 1e-6)), HAND_MOST)

        types = set(handlers.types())
        if handlers.fallback is not None:
            types |= self._by_type.keys()
        fits = int(HAND_BYTES / max(self._payload, 1.0))
        return Demand(
            n=max(1, min(most(self._mean), fits) - at_hand),
            mosts={type: most(self._by_type.get(type)) for type in types},
            unknown_most=idle,
            any_type=handlers.fallback is not None,
            marks=marks,
            suspects=idle if marks is None else 0,
        )


def was_cut_off(demand: Demand, jobs: list[Claimed]) -> bool:
    """Whether a limit, not the lack of due jobs, ended the claim: then there may be more."""
    if len(jobs) >= min(demand.n, LANE_LEAST):
        return True
    suspects = sum(job.crashes > 0 for job in jobs)
    counts = Counter(job.type for job in jobs)
    return suspects >= demand.suspects > 0 or any(
        count >= demand.mosts.get(type, demand.unknown_most) for type, count in counts.items()
    )
