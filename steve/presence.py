"""Process: a started manager of the fleet, as its last heartbeat described it. `JobManager.processes()` returns them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Pool:
    """Some workers of a process, and the queues that they serve."""

    queues: tuple[str, ...] | None
    """None: every queue that no other pool of the process names."""
    excluded: tuple[str, ...]
    """The queues that the pool leaves out all the same."""
    workers: int
    """How many jobs it may run at a time. 0: the pool ends when its last handler returns."""
    busy: int
    """How many of the workers have a job."""

    def serves(self, queue: str) -> bool:
        return queue not in self.excluded if self.queues is None else queue in self.queues


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job whose handler ran at the last heartbeat of its process."""

    uid: UUID
    type: str
    begun: datetime
    """In UTC, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Process:
    """A started manager. Two started managers in one operating system process are two of these.

    The times are in UTC, by the database's clock. The fields after `alive` were true at `heartbeat_at`. A process that has just
    been started, or whose row others have made, may have said nothing of them yet.
    """

    id: int
    """Drawn at random at each start."""
    name: str
    """host:pid."""
    version: str
    """The version of steve; "" if others have made the row for the process."""
    started_at: datetime
    heartbeat_at: datetime
    """The last heartbeat."""
    heartbeat_age: float
    """How many seconds ago that was."""
    lease: float
    """After so many seconds without a heartbeat, other processes take its jobs."""
    alive: bool
    """Whether its last heartbeat is younger than its lease, and no other process has found its session gone."""
    quiet: bool = False
    """Whether it claims no more jobs and lives on: see `JobManager.quiet()`."""
    stopping: bool = False
    """Whether it was asked to stop."""
    pools: tuple[Pool, ...] = ()
    types: tuple[str, ...] = ()
    """The types that have a handler of their own."""
    any_type: bool = False
    """Whether it has a handler for all other types, too, or so many types that `types` does not name them all."""
    not_shown: int = 0
    """How many jobs it runs beyond those in `running`."""
    buffered: int = 0
    """How many jobs it has claimed that have not begun."""
    stuck: tuple[UUID, ...] = ()
    """The jobs whose handlers have not returned long after their deadline; at most 50."""
    alone: bool = False
    """Whether a job that one more crash would fail runs alone there, or is about to: no other begins until it has ended."""
    problems: tuple[str, ...] = ()
    """What `health().problems` said there."""
    pace: float | None = None
    """How many runs a second have ended there lately; None: not known yet."""
    scan_seconds: float | None = None
    """What `health().scan_seconds` said there."""
    max_crashes: int | None = None
    """Its setting: how many processes may die while they hold a job before it fails."""
    _running: Any = field(default=None, repr=False, compare=False)
    # As the row has it, or its JSON text: a fleet runs thousands of jobs, and most callers look at few of them, or at none.

    @property
    def running(self) -> tuple[RunningJob, ...]:
        """The jobs that it runs, at most 50: those that began first."""
        runs = self._running
        if isinstance(runs, str):
            with suppress(ValueError, RecursionError):
                runs = json.loads(runs)
        made = []
        for run in runs if isinstance(runs, list) else ():
            try:
                uid, type, seconds = run
                begun = self.heartbeat_at - timedelta(seconds=seconds)
                made.append(RunningJob(UUID(int=int(uid, 16)), str(type), begun))
            except (TypeError, ValueError, OverflowError):
                pass  # another version of steve, or somebody, wrote something else
        return tuple(made)

    @property
    def host(self) -> str:
        return self.name.rpartition(":")[0]

    @property
    def pid(self) -> int | None:
        pid = self.name.rpartition(":")[2]
        return int(pid) if pid.isascii() and pid.isdigit() else None

    @property
    def workers(self) -> int:
        return sum(pool.workers for pool in self.pools)

    @property
    def busy(self) -> int:
        return sum(pool.busy for pool in self.pools)

    def has_handler(self, type: str) -> bool:
        return self.any_type or type in self.types

    def pool_for(self, queue: str) -> Pool | None:
        """The pool that serves the queue: the one that names it, if there is one. None: the process does not serve it."""
        pools = [pool for pool in self.pools if pool.workers and pool.serves(queue)]  # one without workers is about to end
        return next((pool for pool in pools if pool.queues is not None), pools[0] if pools else None)
