"""The scanner's duty for the claims of a pool. While full scans are slow, the scanner looks beside the claims for jobs below
the watermarks, and logs what makes full scans slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from steve._database.failures import DatabaseFailure
from steve._engine.claim.claimer import Claimer
from steve._engine.upkeep.outage import OutagePort
from steve._model.claim import Demand, Watermark
from steve._model.tuning import Tuning
from steve._runtime.log import logger

LOOP = "the full scan"


class ScanPort(Protocol):
    """All methods but `close` raise DatabaseFailure."""

    def find_heads(self, demand: Demand) -> dict[int, Watermark]:
        """The first pending job of each priority, among those that are served."""

    def time_full_scan(self, demand: Demand) -> float:
        """How many seconds a full scan takes to find `demand.n` due jobs, or to find that there are fewer."""

    def find_horizon(self) -> list[tuple[str, float | None]]:
        """The sessions that hold back the removal of dead rows and index entries, and for how many seconds."""

    def close(self) -> None:
        """Nothing is asked for a while."""


class FullScans:
    def __init__(
        self,
        *,
        database: ScanPort,
        claimer: Claimer,
        outage: OutagePort,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._claimer = claimer
        self._outage = outage
        self._tuning = tuning
        self._clock = clock
        self._measure_at = 0.0
        self._has_warned = False

    def look(self) -> None:
        """The scanner calls this every `Tuning.scan_check`."""
        watermarks = self._claimer.watermarks
        if not watermarks.is_slow:
            self._database.close()
            self._outage.worked(LOOP)
            self._has_warned = False
        elif not watermarks.full_scan_in():
            try:
                self._look_below()
            except DatabaseFailure as error:
                self._outage.failed(LOOP, error)
            else:
                self._outage.worked(LOOP)

    def _look_below(self) -> None:
        watermarks = self._claimer.watermarks
        demand = self._claimer.sizer.demand(idle=self._claimer.sizer.workers, buffered=0, watermarks=None)
        began = self._clock()
        heads = self._database.find_heads(demand)
        took = self._clock() - began
        if watermarks.looked(heads, took):
            self._claimer.wake()
        if self._clock() >= self._measure_at:
            # While jobs are paused, claims look into lanes as this look did. A measurement would walk over all paused jobs.
            seconds = took if demand.paused else self._database.time_full_scan(demand)
            watermarks.measured(seconds)
            self._measure_at = self._clock() + max(self._tuning.measure_scan, self._tuning.full_scan_every * seconds)
            if seconds > self._tuning.warn_scan and not self._has_warned:
                self._has_warned = self._warn(seconds)

    def _warn(self, seconds: float) -> bool:
        """Returns whether there was something to name: without that, it is the jobs of others that make full scans slow."""
        holders = self._database.find_horizon()
        if holders:
            names = "; ".join(f"{name}{'' if age is None else f', for {age:.0f} s'}" for name, age in holders[:5])
            logger.warning("looking through the queue takes %.2f s: dead rows cannot be removed, held by %s", seconds, names)
        return bool(holders)
