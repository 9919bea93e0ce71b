"""The values that the stages of the engine pass on: a job as it was claimed, and a job whose outcome is committed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve.job import Draft, Job, Status, sealed

ClaimKey = tuple[UUID, int]
"""(uid, lease_no): names one claim of one job, because each claim gives the job a new lease_no. The fence compares it."""


class RunKey(NamedTuple):
    """Names one run of one job. A standby that is promoted may give a lease_no out again, while the handler of the earlier
    claim still runs: so the time of the claim belongs to it."""

    uid: UUID
    lease_no: int
    claimed_at: datetime


class Extras(NamedTuple):
    """What most jobs have none of. The fields are the keys of `extras` in claim_jobs.sql; times are ISO 8601."""

    unique: str | None = None
    tags: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    timeout: float | None = None
    expires_at: str | None = None
    cancel_asked_at: str | None = None
    forgiven: int | None = None
    """How many failures came before the job was last retried by hand: `max_attempts` does not count them."""
    granted: int | None = None
    """How many failures were allowed then. None: `max_attempts`."""

    def expiry(self) -> datetime | None:
        return None if self.expires_at is None else datetime.fromisoformat(self.expires_at).astimezone(UTC)

    def cancel_asked(self) -> datetime | None:
        return None if self.cancel_asked_at is None else datetime.fromisoformat(self.cancel_asked_at).astimezone(UTC)


_PLAIN = Extras()


class Claimed(NamedTuple):
    """A job that this process holds: its row as it was claimed. It is a tuple because a tuple is quick to make, and a busy
    process makes 30,000 in a second.

    The fields have the order of `returning` in claim_jobs.sql.
    """

    uid: UUID
    queue: str
    type: str
    priority: int
    payload: str
    """JSON text. It is decoded only inside the guard of the run, because Python may fail to decode a row written by hand."""
    error: str | None
    attempts: int
    """How many attempts were made, this one included."""
    crashes: int
    max_attempts: int
    backoff_strategy: str
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    lease_no: int
    """The fence: an outcome that names an older lease_no is not written."""
    claimed_at: datetime
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    extras: str | None = None
    """JSON text of what most jobs have none of. None: the job has none of it."""

    def more(self) -> Extras:
        return _PLAIN if self.extras is None else Extras(**json.loads(self.extras))

    def key(self) -> ClaimKey:
        return self.uid, self.lease_no

    def run_key(self) -> RunKey:
        return RunKey(self.uid, self.lease_no, self.claimed_at)

    def log_extra(self) -> dict[str, object]:
        """The `extra` of every log line about the job."""
        return {"job_uid": str(self.uid), "job_type": self.type, "job_attempt": self.attempts}

    def job(self, decode: Callable[[str], Any], status: Status, **known: Any) -> Job:
        """Makes the Job that users see: as it was claimed, but with this status and the fields in `known`. Decodes the payload
        anew."""
        # Unpacking the tuple takes a third of the time that it takes to read nineteen attributes.
        (
            uid, queue, type, priority, payload, error, attempts, crashes, max_attempts, backoff_strategy, _, _, _, _,
            claimed_at, created_at, run_at, started_at, extras,
        ) = self  # fmt: skip
        if extras is None:  # the common case, in which to ask an Extras for each of them would take as long as all the rest
            draft = Draft(
                uid, queue, type, priority, decode(payload), None, error, status, attempts, crashes, max_attempts,
                backoff_strategy, created_at, claimed_at, run_at, claimed_at, started_at, None,
                None, {}, {}, None, None, None, False, None,
            )  # fmt: skip
        else:
            more = self.more()
            draft = Draft(
                uid, queue, type, priority, decode(payload), None, error, status, attempts, crashes, max_attempts,
                backoff_strategy, created_at, claimed_at, run_at, claimed_at, started_at, None,
                more.unique, more.tags or {}, more.metadata or {}, more.timeout, more.expiry(), more.cancel_asked(), False,
                None,
            )  # fmt: skip
        for name, value in known.items():
            setattr(draft, name, value)
        return sealed(draft)


class Settled(NamedTuple):
    """A verdict that is in the database: what settle_jobs.sql or find_settled.sql returned, in the order of their columns."""

    run_at: datetime
    started_at: datetime | None
    """None: no attempt of the job has begun."""
    updated_at: datetime
    completed_at: datetime | None
    begun_at: datetime
    """When this attempt began, or when it was claimed if it did not. The other times are columns of the job."""
    cancelled: str | None = None
    """The job's error, if it is `cancelled` instead of what the verdict says, because somebody had asked for that."""
