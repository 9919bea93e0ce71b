"""What is known about a job and about the fleet when somebody asks why the job does not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from steve.pause import Pause
from steve.presence import Pool, Process


class JobFacts(NamedTuple):
    """The job's row. The fields have the order of the first columns of find_case.sql."""

    status: str
    queue: str
    type: str
    priority: int
    run_at: datetime
    attempts: int
    crashes: int
    max_attempts: int
    error: str | None
    claimed_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    timeout: float | None
    cancel_asked_at: datetime | None
    cancel_reason: str | None
    process_id: int | None
    process: str | None


class LastAttempt(NamedTuple):
    """The attempt that ended last."""

    status: str
    process: str
    completed_at: datetime


class Canceller(NamedTuple):
    """Somebody who was acting when the job was cancelled."""

    actor: str
    action: str
    """`cancel`, or `cancel_all`, which names no jobs: then it is likely, not certain."""


class Ahead(NamedTuple):
    """The pending jobs that are due before this one."""

    lanes: Mapping[tuple[str, str], int]
    """How many, by queue and type."""
    capped: bool
    """There are more: no more were counted."""


class Held(NamedTuple):
    """Something that a session, a prepared transaction or the like holds."""

    holder: str
    """In words for people."""
    seconds: float | None
    """For how long; None: not known."""


class Served(NamedTuple):
    """A process that had a handler, when it was last noted."""

    process: str
    at: datetime


class Facts(NamedTuple):
    uid: UUID
    now: datetime
    """By the database's clock, as all times here."""
    job: JobFacts | None = None
    """None: there is no such job, or it is not known."""
    unanswered: float | None = None
    """The database did not say within so many seconds whether there is such a job."""
    holder: Process | None = None
    """The process that holds the job by the tables, with all that it says of itself."""
    last: LastAttempt | None = None
    canceller: Canceller | None = None
    processes: Sequence[Process] = ()
    """Of each, `types` has the job's type or nothing, and `running` the job that began first."""
    kinds: Mapping[int, frozenset[str]] = {}
    """The types that each process has a handler for, by the process's id."""
    ahead: Ahead | None = None
    """None: not counted, because the job is not due or because that took too long."""
    locked_by: Sequence[Held] = ()
    """The transactions that have locked the job's row."""
    claim_lock: Held | None = None
    """Who holds the lock of the fleet's claims."""
    horizon: Sequence[Held] = ()
    """What keeps PostgreSQL from removing dead rows, the longest first."""
    pauses: Sequence[Pause] = ()
    served: Served | None = None
    """The process that lately had a handler for the type."""
    suspicion: float = 3.0
    """Seconds after which a suspected process counts as dead."""
    buffer_age: float = 1.0
    """A job that has not begun for so many seconds is given back."""
    slow_scan: float = 0.02

    @property
    def row(self) -> JobFacts:
        assert self.job is not None
        return self.job

    def ago(self, at: datetime) -> float:
        """How many seconds ago that was."""
        return (self.now - at) / timedelta(seconds=1)

    def is_due(self) -> bool:
        return self.row.run_at <= self.now

    def pauses_of(self, queue: str, type: str) -> list[Pause]:
        """What holds back jobs of this queue and type at present."""
        return [
            pause
            for pause in self.pauses
            if pause.queue in (None, queue) and pause.type in (None, type) and (pause.until is None or pause.until > self.now)
        ]

    # -- the fleet ------------------------------------------------------------------------------------------------------

    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    def with_handler(self) -> list[Process]:
        """The processes that are alive and have a handler for the type, whatever queues they serve."""
        return [process for process in self.alive() if process.has_handler(self.row.type)]

    def servers(self) -> list[Process]:
        """The processes that are alive and would run the job, if they claimed any. Those that are quiet or stopping may have no
        pools."""
        queue = self.row.queue
        return [one for one in self.with_handler() if one.quiet or one.stopping or one.pool_for(queue) is not None]

    def takers(self) -> list[Process]:
        """The servers that claim jobs."""
        return [process for process in self.servers() if not process.quiet and not process.stopping]

    def pool(self, process: Process) -> Pool:
        """The pool of a server that serves the job's queue."""
        pool = process.pool_for(self.row.queue)
        assert pool is not None
        return pool
