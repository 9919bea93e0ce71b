"""Schedule: what users see of a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal, Protocol
from uuid import UUID

from steve.errors import shown
from steve.job import Status

Overlap = Literal["skip", "allow"]
"""Whether a tick creates a job while the schedule's last job has not ended."""
RUNS_MOST = 1_000


class TicksPort(Protocol):
    def after(self, at: datetime) -> Iterator[datetime]: ...

    def local(self, at: datetime) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, as the database had it when this value was made. Its times are in the schedule's zone."""

    name: str
    cron: str | None
    """The crontab; None if it runs at an interval."""
    every: timedelta | None
    timezone: str
    type: str
    """The type of its jobs."""
    payload: dict[str, Any] = field(hash=False)
    """The payload of its jobs."""
    catch_up: timedelta | None
    """How late a missed tick is still fired; None: a minute."""
    catch_up_latest: bool
    overlap: Overlap
    jitter: float
    """Each job is due at a random time up to this many seconds after its tick."""
    stored: bool
    """Whether `set_schedule` stored it for all processes. Otherwise processes have it in their code."""
    paused_at: datetime | None
    last_run: datetime | None
    """The last tick that created a job, or the time of the last `run_now`."""
    next_run: datetime | None
    """The next tick. None while the schedule is paused, or if this machine lacks cronsim or does not know the zone."""
    last_job: UUID | None
    """The job that was created last."""
    last_status: Status | str | None
    """The status of that job; None if it was deleted."""
    _at: datetime = field(repr=False, compare=False)
    _ticks: TicksPort = field(repr=False, compare=False)

    @property
    def paused(self) -> bool:
        return self.paused_at is not None

    def next_runs(self, n: int = 5) -> list[datetime]:
        """The next `n` ticks (1 to 1,000), whether the schedule is paused or not. They are counted from the database's time
        when this value was made. Raises TypeError and ValueError."""
        if type(n) is not int:  # not isinstance: True is an int
            raise TypeError(f"n must be an int, not {type(n).__name__}")
        if not 1 <= n <= RUNS_MOST:
            raise ValueError(f"n must be between 1 and {RUNS_MOST}, not {shown(n)}")
        return [self._ticks.local(tick) for tick in islice(self._ticks.after(self._at), n)]
