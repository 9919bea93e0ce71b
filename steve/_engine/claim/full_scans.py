"""The scanner's duties for claims. While full scans are slow, the scanner makes them beside the claims, and logs what makes
them slow. It also takes up the jobs of claims whose reply was lost, because all workers may be busy.
"""

from __future__ import annotations

from steve._database.failures import DatabaseFailure
from steve._database.loop_connection import LoopConnections
from steve._database.statements.claims import ClaimStatements
from steve._engine.claim.watermarks import Watermarks
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Duty
from steve._engine.work.pool import WorkerPool
from steve._model.tuning import Tuning
from steve._runtime.log import logger

LOOP = "the full scan"


class FullScans:
    def __init__(
        self,
        *,
        watermarks: Watermarks,
        workers: WorkerPool,
        statements: ClaimStatements,
        connections: LoopConnections,
        outage: Outage,
        tuning: Tuning,
    ) -> None:
        self._watermarks = watermarks
        self._workers = workers
        self._statements = statements
        self._connections = connections
        self._outage = outage
        self._tuning = tuning
        self._has_warned = False

    def duties(self) -> list[Duty]:
        return [
            Duty("full scan", self._tuning.scan_check, self._scan),
            Duty("take up the jobs of lost replies", self._tuning.in_doubt_check, self._workers.take_up_lost),
        ]

    def _scan(self) -> None:
        watermarks = self._watermarks
        if not watermarks.is_slow:
            self._connections.scan.close()
            self._outage.worked(LOOP)
            self._has_warned = False
        elif not watermarks.full_scan_in() and not self._workers.is_stopping():
            try:
                self._workers.full_scan()
                if watermarks.scan_seconds > self._tuning.warn_scan and not self._has_warned:
                    self._warn(watermarks.scan_seconds)
                    self._has_warned = True
            except DatabaseFailure as error:
                self._outage.failed(LOOP, error)
            else:
                self._outage.worked(LOOP)

    def _warn(self, seconds: float) -> None:
        holders = self._connections.scan.call(self._statements.find_horizon)
        names = "; ".join(f"{name}{'' if age is None else f', for {age:.0f} s'}" for name, age in holders[:5])
        logger.warning("looking through the queue took %.2f s: dead rows cannot be removed, held by %s", seconds, names or "?")
