"""Whether a manager does its work, from what its rooms remember: nothing here asks the database or waits for anybody.

`_engine` gathers it, `JobManager.health` returns it, and `Watch` tells those who want to know when that changes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ._fork import end_child
from ._log import logger
from .settings import UNHEALTHY_SECONDS, Settings


@dataclass(frozen=True, slots=True)
class Health:
    """How a manager was at one moment. Times in seconds; None where there is nothing to tell, as before the start."""

    ok: bool
    """It does its work: there are no problems."""
    problems: tuple[str, ...] = ()
    """Why not, a sentence each, for people."""
    running: bool = False
    """Started, and nobody has asked it to stop."""
    dead_threads: tuple[str, ...] = ()
    """Names of threads that are gone before their time."""
    restarted_threads: int = 0
    """How many broke off since the start, and began again or were replaced."""
    answered: Mapping[str, float | None] = field(default_factory=dict)
    """For each connection ("claim", "settle", "heartbeat", "listen"): the time since the database last answered on it."""
    listening: bool | None = None
    """Whether notifications are heard; proven anew at least every minute. None: not to be, with notify=False or a pooler."""
    heartbeat_age: float | None = None
    """The time since the last sign of life. Beyond `lease` others may take the jobs."""
    oldest_unsettled: float | None = None
    """The time that outcomes have waited to be written down."""
    scan_seconds: float | None = None
    """How long the database took for the last full scan for jobs; much, while something keeps it from cleaning up."""


Health.__module__ = "steve"

STOPPED = Health(ok=False, problems=("the manager is not running: start() was not called, or stop() was",))

HealthListener = Callable[[Health], Any]


class Idle(NamedTuple):
    """For how many seconds workers have been free and nothing was begun: 0 while all are busy."""

    unclaimed: float
    """Since a claim last had its answer."""
    alone: float
    """Since a job on its last chance keeps all others from beginning."""
    slow_listeners: float
    """The same as `unclaimed`, where it is for the events that wait to be told."""


def judged(
    settings: Settings, health: Health, failing: Sequence[str], failing_for: float, idle: Idle, access: Sequence[str]
) -> Health:
    """The same with its problems. `failing`: the loops that cannot use the database, since `failing_for` seconds; `access`:
    what keeps the role from its work, a sentence each."""
    problems = [f"the thread {name} is dead" for name in health.dead_threads]
    if failing and failing_for > UNHEALTHY_SECONDS:
        problems.append(f"{' and '.join(failing)} cannot use the database, for {failing_for:.0f} s now")
    if health.heartbeat_age is not None and health.heartbeat_age > max(settings.lease / 2, 2 * settings.heartbeat):
        problems.append(f"the last heartbeat was {health.heartbeat_age:.0f} s ago: others may soon take this process for dead")
    if health.oldest_unsettled is not None and health.oldest_unsettled > UNHEALTHY_SECONDS:
        problems.append(f"outcomes have waited to be written for {health.oldest_unsettled:.0f} s")
    if idle.alone > UNHEALTHY_SECONDS:
        problems.append(f"nothing else begins until a job on its last chance has run alone, for {idle.alone:.0f} s now")
    if idle.slow_listeners > UNHEALTHY_SECONDS:
        problems.append(f"events wait for slow listeners, so nothing is claimed, for {idle.slow_listeners:.0f} s now")
    elif idle.unclaimed > UNHEALTHY_SECONDS + 1.1 * settings.poll_interval and "claiming" not in failing:
        problems.append(f"nobody has looked for jobs for {idle.unclaimed:.0f} s")
    return with_problems(health, [*problems, *access])


def with_problems(health: Health, problems: Sequence[str]) -> Health:
    return replace(health, ok=not problems, problems=tuple(problems))


class Watch:
    """Who wants to be told that the manager became unhealthy, or healthy again."""

    def __init__(self) -> None:
        # Writers replace the tuple under the lock; readers take it as it is at that moment, without one.
        self._lock = threading.Lock()
        self._entries: tuple[tuple[bool, HealthListener], ...] = ()

    def begin_anew(self) -> None:
        """In the child of a fork: a thread that is not here may have held the lock."""
        self._lock = threading.Lock()

    def add(self, ok: bool, callback: HealthListener) -> None:
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        with self._lock:
            self._entries = (*self._entries, (ok, callback))

    def tell(self, health: Health) -> None:
        """Call those who want to know, each guarded."""
        for ok, callback in self._entries:
            if ok is health.ok:
                pid, raised = os.getpid(), None
                try:
                    callback(health)
                except BaseException as error:
                    raised = error
                if os.getpid() != pid:
                    end_child(raised)
                if raised is not None:  # neither the next one nor the thread may suffer from it
                    logger.error("a listener for health raised", exc_info=raised)
                    raised = None  # its traceback leads to this frame
