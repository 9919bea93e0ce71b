"""Describes this process for the column `info` of its row. The heartbeat's thread asks for it right before it writes a
heartbeat. So it takes no statement of its own, and a job costs nothing for it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from steve._engine.work.handlers import Handlers
from steve._engine.work.running import AllRunning
from steve._model.presence import Presence, Run
from steve._model.settings import Settings
from steve._runtime.log import logger
from steve.health import Health
from steve.presence import Pool


def process_name() -> str:
    """host:pid. In ASCII: a database in LATIN1, for example, cannot store every host name."""
    host = socket.gethostname().encode("ascii", "backslashreplace").decode()
    return f"{host}:{os.getpid()}"


class EnginePort(Protocol):
    stopping: bool

    def health(self) -> Health: ...


class Working(NamedTuple):
    """What the pools of the process do at present."""

    pools: Sequence[Pool]
    buffered: int
    """How many jobs they have claimed that have not begun."""
    alone: bool
    """A job on its last chance is due or runs."""
    quiet: bool = False
    """They claim no job, and the process is not stopping."""


def presence_at_start(settings: Settings, handlers: Handlers, pools: Sequence[Pool]) -> Presence:
    """Of a process that is about to start with these pools."""
    return Presence(pools, handlers.types(), handlers.fallback is not None, settings.max_crashes)


class Pace:
    """How many runs a second end in this process: a mean over the last heartbeats."""

    def __init__(self, ended: Callable[[], int], *, clock: Callable[[], float] = time.monotonic) -> None:
        """`ended()`: how many runs have ended since the start."""
        self._ended = ended
        self._clock = clock
        self._at, self._count = clock(), 0
        self._mean: float | None = None

    def now(self) -> float | None:
        """None: not known yet."""
        at, count = self._clock(), self._ended()
        seconds = at - self._at
        if seconds >= 0.5:  # a shorter span says little
            latest = (count - self._count) / seconds
            self._mean = latest if self._mean is None else (self._mean + latest) / 2
            self._at, self._count = at, count
        return self._mean


class DescribeProcess:
    def __init__(
        self,
        *,
        settings: Settings,
        handlers: Handlers,
        running: AllRunning,
        engine: EnginePort,
        working: Callable[[], Working],
        ended: Callable[[], int],
    ) -> None:
        """`working()` reads only memory. `ended`: as for Pace."""
        self._settings = settings
        self._handlers = handlers
        self._running = running
        self._engine = engine
        self._working = working
        self._pace = Pace(ended)

    def now(self) -> Presence | None:
        """None: something failed. Then the heartbeat is written without it, and the row keeps what it says."""
        try:
            return self._now()
        except Exception:
            logger.exception("this process could not be described for its row; the heartbeat goes on")
            return None

    def _now(self) -> Presence:
        now = time.monotonic()
        runs = [Run(one.job.uid, one.job.type, now - one.begun) for one in self._running.all()]
        working, health = self._working(), self._engine.health()
        return presence_at_start(self._settings, self._handlers, working.pools)._replace(
            runs=runs,
            buffered=working.buffered,
            stuck=[job.uid for job in health.stuck],
            alone=working.alone,
            quiet=working.quiet,
            stopping=self._engine.stopping,
            problems=health.problems,
            pace=self._pace.now(),
            scan_seconds=health.scan_seconds,
        )
