"""What a job is: the values that users get. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from steve.retry import RetryPolicy


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
    """How many runs began, not counting jobs that were given back."""
    crashes: int
    """Attempts that ended with the death of their process."""
    max_attempts: int
    backoff_strategy: str
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    """From then on the job is due."""
    claimed_at: datetime | None
    """When the process that runs it, or finished it, claimed it."""
    started_at: datetime | None
    """When the first attempt began; written with that attempt's outcome."""
    completed_at: datetime | None
    """When it became completed or failed."""


# A frozen dataclass sets each field through object.__setattr__, which takes 2 us a Job, a tenth of all that a job costs. So a
# Job is written as a draft, which has the same slots without the guard, and becomes a Job when it is complete.
_Draft: Any = make_dataclass("_Draft", [(one.name, Any) for one in fields(Job)], slots=True)


def make_job(*values: Any) -> Job:
    """The same as Job(*values), six times faster."""
    draft = _Draft(*values)
    draft.__class__ = Job
    job: Job = draft
    return job


def job_from(replaced: Mapping[str, Any], *values: Any) -> Job:
    """The same, and then with these fields replaced."""
    draft = _Draft(*values)
    for name, value in replaced.items():
        setattr(draft, name, value)
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
