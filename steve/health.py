"""Health: what `health()` and `check_health()` return, namely whether a manager does its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steve.job import Job


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a manager at one moment. Times are in seconds. None: there is no value, for example before the start."""

    ok: bool
    """The manager does its work: there are no problems."""
    problems: tuple[str, ...] = ()
    """What is wrong: one sentence for people about each problem."""
    running: bool = False
    """The manager was started and has not been asked to stop."""
    dead_threads: tuple[str, ...] = ()
    """The names of threads that ended too early and will not be replaced."""
    restarted_threads: int = 0
    """How often, since the start, a thread failed and its loop began again or another thread replaced it."""
    answered: Mapping[str, float | None] = field(default_factory=dict)
    """The time since the database last answered, for each connection: "claim", "settle", "heartbeat", "listen". If there are
    several pools of workers, "claim" is that of the pool whose last answer is the oldest."""
    listening: bool | None = None
    """Whether the manager receives notifications; checked at least every minute. None: it does not listen, because of
    notify=False or a pooler."""
    heartbeat_age: float | None = None
    """The time since the last heartbeat. When it exceeds `lease`, other processes may take this one's jobs."""
    oldest_unsettled: float | None = None
    """How long the oldest outcome has waited to be written."""
    blockers: tuple[str, ...] = ()
    """The sessions of PostgreSQL that keep outcomes from being written, for a second or longer, because they have locked the
    rows of running jobs. The other outcomes are written meanwhile."""
    stuck: tuple[Job, ...] = ()
    """The jobs whose handlers have not returned `stuck_after` seconds past their deadline. Others run in their place."""
    scan_seconds: float | None = None
    """How long the database took for the last full scan for jobs. It takes long while something keeps PostgreSQL from removing
    dead rows, or while many jobs wait that this manager does not work on."""
