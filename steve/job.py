"""The values about jobs that users get and give: Job, Progress, LogLine, Attempt, NewJob and statuses. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

if TYPE_CHECKING:
    from steve.retry import RetryPolicy

OnConflict = Literal["return", "raise", "replace"]
"""What `create` does when there is a job with the same `unique`."""


class Status(StrEnum):
    """Where a job is in its life. Completed, failed and cancelled jobs have ended."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    """How an attempt ended. `running`, for listeners of `on_attempt` and for `history(job, running=True)`, is never stored."""

    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, as its handler last said with `current_run().progress()`."""

    done: float
    total: float | None
    """None: the handler did not say how much there is to do."""
    note: str | None
    at: datetime
    """When the handler said it, by the database's clock."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an attempt of a job has logged. `str()` makes one text of it."""

    attempt: int
    """The number of the attempt, counted from 1."""
    at: datetime
    """In UTC, by the database's clock."""
    level: str
    """The name of the level: `INFO`."""
    logger: str
    """The name of the logger; `stdout` if the line was printed; `steve` if it says what was left out."""
    message: str
    """With the traceback, if there was one. It may have several lines."""

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}.{self.at.microsecond // 1000:03} {self.level} {self.logger}: {self.message}"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do and its history, as the database had it when this value was made.

    Times are in UTC, by the database's clock.
    """

    uid: UUID
    """The name of the job. Uids are in the order of creation, as far as the clocks of the machines agree."""
    queue: str
    type: str
    priority: int
    """-100 to 100. Jobs with a higher number go first."""
    payload: dict[str, Any] = field(hash=False)
    result: Any = field(hash=False)
    """What the handler returned; None unless completed."""
    error: str | None
    """The last error's message, or why the handler has put the job off; None once completed."""
    status: Status | str
    """A Status; or a plain str, if newer code wrote a status that this version does not know."""
    attempts: int
    """How many times the job was claimed. A claim does not count if the job was given back or snoozed."""
    crashes: int
    """How many attempts ended because their process died."""
    max_attempts: int
    backoff_strategy: str
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    """The job is due from this time on."""
    claimed_at: datetime | None
    """When the process that runs or finished the job claimed it."""
    started_at: datetime | None
    """When the first attempt began. It is written together with that attempt's outcome."""
    completed_at: datetime | None
    """When the job became completed, failed or cancelled."""
    unique: str | None = None
    """While this job is open, no other job has this key."""
    tags: dict[str, Any] = field(default_factory=dict, hash=False)
    """What the job is about: names, each with a text, an int or a bool."""
    metadata: dict[str, Any] = field(default_factory=dict, hash=False)
    """What travels beside the payload, a trace's id for instance."""
    timeout: float | None = None
    """Seconds that an attempt may take."""
    expires_at: datetime | None = None
    """If no attempt has begun by then, the job is cancelled."""
    cancel_asked_at: datetime | None = None
    """When somebody asked to cancel the job while it ran."""
    duplicate: bool = False
    """Whether `create` made no job, because this one was there, with the same `unique`."""
    progress: Progress | None = None
    """What the handler last said of how far it is; None: nothing yet. It stays after the attempt, until another attempt says
    something. `current_run().job` does not have it."""


# A frozen dataclass sets each field through object.__setattr__. That takes 2 us for a Job, a tenth of all that a job costs. So
# `sealed(Draft(...))` does the same as `Job(...)` six times faster: a draft has the same slots and is not frozen.
Draft: Any = make_dataclass("Draft", [(one.name, Any) for one in fields(Job)], slots=True)


def sealed(draft: Any) -> Job:
    """Makes the draft a Job."""
    draft.__class__ = Job
    job: Job = draft
    return job


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job. The log has those that ended."""

    job_uid: UUID
    number: int
    """Counted from 1."""
    process: str
    """The process that ran it, as host:pid."""
    started_at: datetime
    completed_at: datetime | None
    """None while the attempt runs."""
    status: AttemptStatus | str
    error_message: str | None
    error_details: str | None
    """The traceback."""
    error_type: str | None = None
    """The class of what the handler raised, as module.qualname; or `steve.Cancelled`, `steve.Expired`, `steve.Crashed`,
    `steve.TimedOut`."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """The arguments of `create` for one job of `create_many`. None: the default that was given to `create_many`."""

    type: str
    payload: dict[str, Any] | None = field(default=None, hash=False)
    max_attempts: int | None = None
    backoff_strategy: str | RetryPolicy | None = None
    run_at: datetime | None = None
    queue: str | None = None
    priority: int | None = None
    delay: float | timedelta | None = None
    unique: str | None = None
    on_conflict: OnConflict | None = None
    unique_for: float | timedelta | None = None
    tags: Mapping[str, str | int] | None = field(default=None, hash=False)
    metadata: dict[str, Any] | None = field(default=None, hash=False)
    expires_at: datetime | None = None
    expires_in: float | timedelta | None = None
    timeout: float | timedelta | None = None
