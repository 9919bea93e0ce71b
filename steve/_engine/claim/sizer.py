"""How many jobs a claim asks for, by how long handlers take and how large payloads are.

A job that was claimed ahead must not wait behind a slow one while another process is idle. So a claim brings one job for each
idle worker, and as many more as all workers together begin within `Tuning.claim_ahead`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf

from steve._engine.claim.pauses import Pauses
from steve._engine.work.handlers import Handlers
from steve._model.claim import Demand, Watermark
from steve._model.claimed import Claimed
from steve._model.pauses import Paused
from steve._model.tuning import Tuning


class ClaimSizer:
    """Keeps moving averages: the seconds that a handler takes, for each type and for all, and the bytes of a payload.

    All workers update them without a lock: an average that misses a value now and then is good enough.
    """

    def __init__(
        self,
        *,
        handlers: Handlers,
        workers: int,
        tuning: Tuning,
        pauses: Pauses | None = None,
        serves: Callable[[str], bool] = lambda queue: True,
    ) -> None:
        """`pauses`: what is paused; None: nothing. `serves(queue)`: whether the claims are for jobs of this queue."""
        self._handlers = handlers
        self._serves = serves
        self._pauses = pauses or Pauses()
        self.workers = workers
        self._tuning = tuning
        self._seconds_by_type: dict[str, float] = {}
        self._mean_seconds: float | None = None
        self._mean_bytes = 0.0

    def ran(self, type: str, seconds: float) -> None:
        """A job of this type took so long."""
        known = self._seconds_by_type.get(type)
        if known is None and len(self._seconds_by_type) >= self._tuning.types_most:
            self._seconds_by_type = {}
        self._seconds_by_type[type] = seconds if known is None else known + (seconds - known) * 0.2
        mean = self._mean_seconds
        self._mean_seconds = seconds if mean is None else mean + (seconds - mean) * 0.2

    def claimed(self, jobs: Sequence[Claimed]) -> float:
        """A claim brought these jobs. Returns how many seconds one worker is expected to take for each, on average. Infinity if
        that is unknown for one of the types."""
        size = sum(len(job.payload) for job in jobs) / len(jobs)
        self._mean_bytes += (size - self._mean_bytes) * 0.5
        counts = Counter(job.type for job in jobs)
        return sum(self._seconds_by_type.get(type, inf) * count for type, count in counts.items()) / len(jobs)

    def demand(self, *, idle: int, buffered: int, watermarks: Mapping[int, Watermark] | None) -> Demand:
        """What to ask for while so many workers are idle and so many jobs are in the buffer. Of a type that has never run here,
        a claim brings at most one job for each idle worker."""
        tuning = self._tuning
        ahead = tuning.claim_ahead * self.workers

        def most(seconds: float | None) -> int:
            return idle if seconds is None else min(idle + int(ahead / max(seconds, 1e-6)), tuning.claim_most)

        types = set(self._handlers.types())
        if self._handlers.fallback is not None:
            types |= self._seconds_by_type.keys()
        fits = int(tuning.claim_bytes / max(self._mean_bytes, 1.0))
        return Demand(
            n=max(1, min(most(self._mean_seconds), fits) - buffered),
            mosts={type: most(self._seconds_by_type.get(type)) for type in types},
            unknown_most=idle,
            any_type=self._handlers.fallback is not None,
            watermarks=watermarks,
            crashed=idle,
            paused=self._paused(types) if self._pauses.known else (),
        )

    def _paused(self, types: set[str]) -> list[Paused]:
        served = types if self._handlers.fallback is None else None
        return [paused for paused in self._pauses.now() if paused.concerns(self._serves, served)]
