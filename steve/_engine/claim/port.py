"""What the claimer asks of the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed

LOOP = "claiming"
"""The name of the claims in the log and in `Outage`."""


class QuestionPort(Protocol):
    """All methods raise DatabaseFailure."""

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        """The jobs that this process has claimed since the first of these times and still holds, except those that were claimed
        at one of these times."""


class ClaimPort(QuestionPort, Protocol):
    """All methods raise DatabaseFailure."""

    def claim(self, demand: Demand) -> ClaimReply: ...

    def serves(self, queue: str) -> bool:
        """Whether jobs of this queue are claimed. Raises nothing."""
