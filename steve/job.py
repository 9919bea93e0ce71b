"""What a job is: the values that users get, and the one that travels between steve's rooms. All frozen.

`_store` makes them from rows, `_enqueue` makes NewJobs from arguments; everything else passes them on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from .retry import RetryPolicy


class Status(StrEnum):
    """Where a job is in its life. `cancelled` is reserved."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    """How an attempt ended; `running` only in `on_attempt`, never stored."""

    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do and its history, as the database had it when this value was made. Times are UTC, by its clock."""

    id: int
    uid: UUID
    queue: str
    type: str
    priority: int
    """-100 to 100, higher first."""
    payload: dict[str, Any] = field(hash=False)
    result: Any = field(hash=False)
    """What the handler returned; None unless completed."""
    error: str | None
    """The last error's message; None once completed."""
    status: Status | str
    """A Status; a plain str where newer code wrote a status that this version does not know."""
    attempts: int
    """Runs begun, those given back not counted."""
    crashes: int
    """Attempts that ended with the death of their process."""
    max_attempts: int
    backoff_strategy: str
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    """Due from then on."""
    claimed_at: datetime | None
    """When the process that has it, or finished it, took it."""
    started_at: datetime | None
    """When the first attempt began; written with that attempt's outcome."""
    completed_at: datetime | None
    """When it became completed or failed."""


# A frozen dataclass sets each field through object.__setattr__: 2 us a Job, a tenth of all that a job costs. So a Job is
# written as a draft, which has the same slots and no guard, and becomes a Job when it is complete.
_Draft: Any = make_dataclass("_Draft", [(one.name, Any) for one in fields(Job)], slots=True)


def make_job(*values: Any) -> Job:
    """The same as Job(*values), six times faster."""
    return _finished(_Draft(*values))


def _finished(draft: Any) -> Job:
    draft.__class__ = Job
    job: Job = draft
    return job


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job that ended: a row of the log."""

    job_id: int
    number: int
    """Counted from 1."""
    process: str
    """host:pid of the process that ran it."""
    started_at: datetime
    completed_at: datetime | None
    """None only while it runs, in `on_attempt`."""
    status: AttemptStatus | str
    error_message: str | None
    error_details: str | None
    """The traceback."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """The arguments of `create`, for `create_many`. None: the default given there."""

    type: str
    payload: dict[str, Any] | None = field(default=None, hash=False)
    max_attempts: int | None = None
    backoff_strategy: str | RetryPolicy | None = None
    run_at: datetime | None = None
    queue: str | None = None
    priority: int | None = None


class Claimed(NamedTuple):
    """A job that this process holds, between the rooms: the row as claimed. A tuple, since 30,000 a second are made.

    The order is that of `returning` in claim_jobs.sql.
    """

    id: int
    uid: UUID
    queue: str
    type: str
    priority: int
    payload: str
    """JSON, decoded only inside the guard of the run: a row written by hand may not be decodable."""
    error: str | None
    attempts: int
    """This one included."""
    crashes: int
    max_attempts: int
    backoff_strategy: str
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    lease_no: int
    """The fence: whoever names an older one is too late."""
    claimed_at: datetime
    created_at: datetime
    run_at: datetime
    started_at: datetime | None

    def log_extra(self) -> dict[str, object]:
        """What every log line about a job says in `extra`."""
        return {"job_uid": str(self.uid), "job_type": self.type, "job_attempt": self.attempts}

    def job(self, decode: Callable[[str], Any], status: Status, **known: Any) -> Job:
        """This job for users: as claimed, `status` and what is `known` by now put in, the payload decoded anew."""
        # One unpacking costs a third of nineteen attributes.
        (
            id, uid, queue, type, priority, payload, error, attempts, crashes, max_attempts, backoff_strategy, _, _, _, _,
            claimed_at, created_at, run_at, started_at,
        ) = self  # fmt: skip
        draft = _Draft(
            id, uid, queue, type, priority, decode(payload), None, error, status, attempts, crashes, max_attempts,
            backoff_strategy, created_at, claimed_at, run_at, claimed_at, started_at, None,
        )  # fmt: skip
        for name, value in known.items():
            setattr(draft, name, value)
        return _finished(draft)


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


for _public in (Status, AttemptStatus, Job, Attempt, NewJob):
    _public.__module__ = "steve"
