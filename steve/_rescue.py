"""Who is dead, and what is done about it. The rules are `judge_process`, pure; the work is `Rescue`'s, a duty of the scanner.

Each heartbeat brings a look at the other processes (`_heartbeat.py`), which is judged on that thread and left here. What the
database is asked to do about it may wait for locks, so another thread asks it, on another connection, and the database looks
again whether it still holds: `sql/rescue_jobs.sql`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import NamedTuple

from ._log import logger
from ._processes import Process
from .job import Settled, Status
from .outcome import Verdict
from .settings import BURIED_AFTER, LET_IN, SETTLED_IN, SUSPICION


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


class Sighting(NamedTuple):
    """A process as it was just seen, and for how long it has looked so, in seconds by the clock of the process that looks. A
    server's clock that is set forward makes nobody look dead."""

    process: Process
    silent: float
    """Since its heartbeat was first seen: it may have come earlier."""
    suspected: float | None
    """Since its suspicion was first seen."""


class Sightings:
    """Remembers since when each process has looked as it does. Used on the heartbeat's thread, but for `suspects`."""

    def __init__(self) -> None:
        self._beats: dict[int, tuple[float, float]] = {}
        # Written by the scanner's thread as well, each time as a whole.
        self._suspicions: dict[int, tuple[float, float]] = {}

    def suspects(self, id: int, suspected_at: float) -> None:
        """This process has written the suspicion itself, just now."""
        self._suspicions[id] = (suspected_at, time.monotonic())

    def see(self, processes: Sequence[Process]) -> list[Sighting]:
        now = time.monotonic()
        seen = []
        beats: dict[int, tuple[float, float]] = {}
        for process in processes:
            beats[process.id] = _since(self._beats.get(process.id), process.heartbeat_at, now)
            suspected = None
            if process.suspected_at is None:
                self._suspicions.pop(process.id, None)
            else:
                known = _since(self._suspicions.get(process.id), process.suspected_at, now)
                self._suspicions[process.id] = known
                suspected = now - known[1]
            seen.append(Sighting(process, now - beats[process.id][1], suspected))
        self._beats = beats
        for gone in self._suspicions.keys() - beats.keys():
            self._suspicions.pop(gone, None)
        return seen


def _since(known: tuple[float, float] | None, value: float, now: float) -> tuple[float, float]:
    return known if known is not None and known[0] == value else (value, now)


def judge_process(seen: Sighting, own: Vantage) -> Fate:
    process = seen.process
    if process.lock_is_free and own.connected >= SETTLED_IN and own.server_up >= LET_IN:
        if seen.suspected is None:
            return Fate.SUSPECT
        return Fate.DEAD if seen.suspected >= SUSPICION else Fate.ALIVE
    # Its jobs were taken from a stalled process when it was marked as suspected. Before it wakes up and beats it may claim
    # again, and stall again: so it is looked after once more after each further lease.
    if (
        seen.silent >= process.lease
        and (seen.suspected is None or seen.suspected >= process.lease)
        and own.unbroken >= max(process.lease, SETTLED_IN)
        and own.server_up >= max(process.lease, LET_IN)
    ):
        # Where no session shows it, long silence does. Should it live all the same: with its next beat its row is there again.
        return Fate.DEAD if not process.locked and seen.silent >= BURIED_AFTER * process.lease else Fate.STALLED
    return Fate.ALIVE


class Rescue:
    """Suspects the suspect, and takes their jobs from the dead and the stalled."""

    def __init__(
        self,
        suspect: Callable[[Process], float | None],
        rescue: Callable[[Process, bool, str, Collection[int]], Sequence[tuple[Verdict, Settled]]],
        tell: Callable[[str, Verdict, Settled], None],
    ) -> None:
        """`suspect(process)` writes the suspicion down and returns when, by the server's clock; `rescue(process, dead, reason,
        taken)` takes some of its jobs and returns them; `tell` hears of each, with the name of the process."""
        self._suspect = suspect
        self._rescue = rescue
        self._tell = tell
        self._sightings = Sightings()
        self._findings: list[tuple[Sighting, Fate]] = []  # replaced as a whole: of two looks the later one counts

    def look(self, others: Sequence[Process], own: Vantage) -> None:
        """On the heartbeat's thread: judge what it saw, and leave it for `work`."""
        fates = [(sighting, judge_process(sighting, own)) for sighting in self._sightings.see(others)]
        self._findings = [(sighting, fate) for sighting, fate in fates if fate is not Fate.ALIVE]

    def work(self) -> bool:
        """On the scanner's thread: do what is to be done; whether there was anything. Raises Trouble."""
        findings, self._findings = self._findings, []
        for sighting, fate in findings:
            if fate is not Fate.SUSPECT:
                self._take_jobs(sighting, fate)
            elif (suspected_at := self._suspect(sighting.process)) is not None:
                self._sightings.suspects(sighting.process.id, suspected_at)
        return bool(findings)

    def _take_jobs(self, sighting: Sighting, fate: Fate) -> None:
        process = sighting.process
        dead = fate is Fate.DEAD
        silent = f"gave no sign of life for {sighting.silent:.0f} s"
        what = "died" if process.lock_is_free else silent
        reason = f"ProcessCrashed: process {process.name} {what} while it held the job"
        pending = failed = 0
        taken: set[int] = set()
        while rescued := self._rescue(process, dead, reason, taken):
            for verdict, settled in rescued:
                taken.add(verdict.job.id)
                if verdict.status is Status.FAILED:
                    failed += 1
                    uid, extra = verdict.job.uid, verdict.job.log_extra()
                    logger.error("job %s failed: %s", uid, verdict.error, extra=extra)
                    self._tell(process.name, verdict, settled)
                else:
                    pending += 1
        logger.log(
            logging.WARNING if dead or pending or failed else logging.INFO,
            "process %s %s: of its jobs %d are pending again, %d failed", process.name, what, pending, failed,
        )  # fmt: skip
