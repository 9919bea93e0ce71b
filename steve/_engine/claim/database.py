"""Implements `ClaimPort` with SQL statements, for one process, on the connections that are kept for claims."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from steve._database.loop_connection import LoopConnection, LoopConnections
from steve._database.statements.claims import ClaimStatements
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._model.settings import Settings


class DatabaseClaims:
    def __init__(
        self, *, statements: ClaimStatements, connections: LoopConnections, process_id: int, settings: Settings
    ) -> None:
        self._statements = statements
        self._connections = connections
        self._process_id = process_id
        self._max_crashes = settings.max_crashes

    def claim(self, demand: Demand) -> ClaimReply:
        return self._claim_on(self._connections.claim, demand)

    def scan(self, demand: Demand) -> ClaimReply:
        return self._claim_on(self._connections.scan, demand)

    def _claim_on(self, connection: LoopConnection, demand: Demand) -> ClaimReply:
        claim = self._statements.claim_jobs
        return connection.call(lambda ours: claim(ours, self._process_id, self._max_crashes, demand))

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        find = self._statements.find_claimed
        return self._connections.claim.call(lambda ours: find(ours, self._process_id, answered))
