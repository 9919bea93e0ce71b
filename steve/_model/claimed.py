"""The rows that travel between the stages of the engine: a job as it was claimed, and one whose outcome is committed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve.job import Job, Status, job_from

ClaimKey = tuple[int, int]
"""(job id, lease_no): one claim of one job. The fence compares it; the next claim of the same job has another."""


class Claimed(NamedTuple):
    """A job that this process holds: its row as it was claimed. A tuple, because 30,000 a second are made.

    The order is that of `returning` in claim_jobs.sql.
    """

    id: int
    uid: UUID
    queue: str
    type: str
    priority: int
    payload: str
    """JSON, decoded only inside the guard of the run: a row that was written by hand may not be decodable."""
    error: str | None
    attempts: int
    """Including this one."""
    crashes: int
    max_attempts: int
    backoff_strategy: str
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    lease_no: int
    """The fence: an outcome that names an older one comes too late."""
    claimed_at: datetime
    created_at: datetime
    run_at: datetime
    started_at: datetime | None

    def key(self) -> ClaimKey:
        return self.id, self.lease_no

    def log_extra(self) -> dict[str, object]:
        """What every log line about a job says in `extra`."""
        return {"job_uid": str(self.uid), "job_type": self.type, "job_attempt": self.attempts}

    def job(self, decode: Callable[[str], Any], status: Status, **known: Any) -> Job:
        """The Job for users: as it was claimed, with this status and whatever else is known by now, its payload decoded
        anew."""
        # Unpacking the tuple once takes a third of the time of reading nineteen attributes.
        (
            id, uid, queue, type, priority, payload, error, attempts, crashes, max_attempts, backoff_strategy, _, _, _, _,
            claimed_at, created_at, run_at, started_at,
        ) = self  # fmt: skip
        return job_from(
            known, id, uid, queue, type, priority, decode(payload), None, error, status, attempts, crashes, max_attempts,
            backoff_strategy, created_at, claimed_at, run_at, claimed_at, started_at, None,
        )  # fmt: skip


class Settled(NamedTuple):
    """A verdict that is in the database: what settle_jobs.sql returned. The order is that of its last `select`."""

    id: int
    lease_no: int
    run_at: datetime
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    begun_at: datetime
    """When this attempt began; the others are the job's columns."""
