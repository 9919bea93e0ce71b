"""Verdicts to be counted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from steve._model.claimed import Claimed
from steve._model.outcome import Outcome, Returned, Verdict, judge

AT = datetime(2026, 1, 1, tzinfo=UTC)

CLAIMED = 1_000.0
"""When the jobs were claimed, by time.monotonic()."""


def verdict(
    outcome: Outcome | None = None,
    *,
    begun: float | None = CLAIMED,
    seconds: float | None = 0.1,
    due_before: float = 0.0,
    **of: Any,
) -> Verdict:
    """On a run that began at that time and took so long, of a job that had been due for so long when it was claimed."""
    fields: dict[str, Any] = {"queue": "default", "type": "a", "attempts": 1, "crashes": 0, "max_attempts": 3} | of
    queue, type, *counts = fields.values()
    job = Claimed(
        UUID(int=1), queue, type, 0, "{}", None, *counts, "exp", 2.0, 3600.0, 0.0, 7, AT, AT,
        AT - timedelta(seconds=due_before), None,
    )  # fmt: skip
    return judge(job, Returned("1") if outcome is None else outcome, begun, seconds=seconds)
