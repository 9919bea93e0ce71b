"""Who is dead, and what is done about it. The rules are `judge_process`, pure; the work is `Rescue`'s, a duty of the scanner.

Each heartbeat brings a look at the other processes (`_heartbeat.py`), which is judged on that thread and left here. What the
database is asked to do about it may wait for locks, so another thread asks it, on another connection, and the database looks
again whether it still holds: `sql/rescue_jobs.sql`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from ._log import logger
from ._processes import Look, Process
from .job import Settled, Status
from .outcome import Verdict
from .settings import AGAIN_SECONDS, BURIED_AFTER, LET_IN, SETTLED_IN, SUSPICION


class Fate(Enum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    """Its session is gone: it died, or its connection broke and it will be back in a moment."""
    DEAD = "dead"
    """Gone for so long that it would be back if it lived: its row goes, too."""
    STALLED = "stalled"
    """Connected, or not to be told, and silent for its whole lease."""


class Vantage(NamedTuple):
    """Who judges must be well itself, and for longer than others take to come back: else all take all for dead after an
    outage."""

    connected: float
    """For how many seconds its heartbeat's connection has been open."""
    unbroken: float
    """For how many seconds its heartbeats have succeeded, one after the other."""
    server_up: float
    """For how many seconds the server has run: then everybody had the time to come back."""


def judge_process(seen: Process, own: Vantage) -> Fate:
    if seen.lock_is_free and own.connected >= SETTLED_IN and own.server_up >= LET_IN:
        if seen.suspected is None:
            return Fate.SUSPECT
        if seen.suspected >= SUSPICION:
            return Fate.DEAD
    # Its jobs were taken from a stalled process when it was marked as suspected. Before it wakes up and beats it may claim
    # again, and stall again: so it is looked after once more after each further lease.
    if (
        seen.silent >= seen.lease
        and (seen.suspected is None or seen.suspected >= seen.lease)
        and own.unbroken >= max(seen.lease, SETTLED_IN)
        and own.server_up >= max(seen.lease, LET_IN)
    ):
        # Where no session shows it, long silence does. Should it live all the same: with its next beat its row is there again.
        return Fate.DEAD if not seen.locked and seen.silent >= BURIED_AFTER * seen.lease else Fate.STALLED
    return Fate.ALIVE


class Rescue:
    """Suspects the suspect, and takes their jobs from the dead and the stalled."""

    def __init__(
        self,
        suspect: Callable[[Process], object],
        rescue: Callable[[Process, bool, str], Sequence[tuple[Verdict, Settled]]],
        adopt: Callable[[], Sequence[int]],
        tell: Callable[[Process, Verdict, Settled], None],
        lease: float,
    ) -> None:
        """`rescue(process, dead, reason)` takes some of its jobs and returns them; `tell` hears of each."""
        self._suspect = suspect
        self._rescue = rescue
        self._adopt = adopt
        self._tell = tell
        self._lease = lease
        self._findings: list[tuple[Process, Fate]] = []  # replaced as a whole: of two looks the later one counts
        self._adopted_at = time.monotonic()

    def look(self, look: Look, connected: float, unbroken: float) -> None:
        """On the heartbeat's thread: judge what it saw, and leave it for `work`."""
        own = Vantage(connected, unbroken, look.server_up)
        fates = [(process, judge_process(process, own)) for process in look.others]
        self._findings = [(process, fate) for process, fate in fates if fate is not Fate.ALIVE]

    def work(self) -> bool:
        """On the scanner's thread: do what is to be done; whether there was anything. Raises Trouble."""
        findings, self._findings = self._findings, []
        for process, fate in findings:
            if fate is Fate.SUSPECT:
                self._suspect(process)
            else:
                self._take_jobs(process, fate)
        return bool(findings)

    def adopt(self) -> bool:
        """Once a lease: make rows for processes that hold jobs and have none. Raises Trouble."""
        if time.monotonic() < self._adopted_at + self._lease:
            return False
        self._adopted_at = time.monotonic() - self._lease + AGAIN_SECONDS  # should it fail: soon again
        ids = self._adopt()
        self._adopted_at = time.monotonic()
        if ids:
            logger.warning("processes without a row hold jobs: %s; if they do not beat, these are rescued", list(ids))
        return True

    def _take_jobs(self, process: Process, fate: Fate) -> None:
        dead = fate is Fate.DEAD
        silent = f"gave no sign of life for {process.silent:.0f} s"
        what = "died" if process.lock_is_free else silent
        reason = f"ProcessCrashed: process {process.name} {what} while it held the job"
        pending = failed = 0
        while rescued := self._rescue(process, dead, reason):
            for verdict, settled in rescued:
                if verdict.status is Status.FAILED:
                    failed += 1
                    uid, extra = verdict.job.uid, verdict.job.log_extra()
                    logger.error("job %s failed: %s", uid, verdict.error, extra=extra)
                    self._tell(process, verdict, settled)
                else:
                    pending += 1
        logger.log(
            logging.WARNING if dead or pending or failed else logging.INFO,
            "process %s %s: of its jobs %d are pending again, %d failed", process.name, what, pending, failed,
        )  # fmt: skip
