"""Whether a manager does its work: what `health()` and `check_health()` return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """How a manager was at one moment. Times in seconds; None where there is nothing to tell, as before the start."""

    ok: bool
    """The manager does its work: there are no problems."""
    problems: tuple[str, ...] = ()
    """What is wrong, a sentence each, for people."""
    running: bool = False
    """Started, and not asked to stop."""
    dead_threads: tuple[str, ...] = ()
    """Names of threads that ended too early and will not come back."""
    restarted_threads: int = 0
    """How many threads broke off since the start, and began again or were replaced."""
    answered: Mapping[str, float | None] = field(default_factory=dict)
    """For each connection ("claim", "settle", "heartbeat", "listen"): the time since the database last answered on it."""
    listening: bool | None = None
    """Whether notifications are heard; checked at least every minute. None: there is nothing to hear, with
    notify=False or behind a pooler."""
    heartbeat_age: float | None = None
    """The time since the last heartbeat. Beyond `lease`, other processes may take the jobs."""
    oldest_unsettled: float | None = None
    """How long the oldest outcome has waited to be written."""
    scan_seconds: float | None = None
    """How long the database took for the last full scan for jobs. It takes long while something keeps PostgreSQL from removing
    dead rows, or while many jobs wait that this manager does not work on."""
