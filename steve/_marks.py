"""How far each lane has been claimed, and when to look from its beginning again.

In a healthy table a claim is a full scan, from the beginning of every lane. While a transaction stays open somewhere (a
report, a backup, a forgotten BEGIN), PostgreSQL cannot remove the index entries of the jobs claimed since, and a full scan
walks over all of them. So full scans get a twentieth of the time; in between, claims look above the marks only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from ._store import Claims, Lane, Mark
from .settings import FULL_SCAN_EVERY, LANES_MOST, OVERDUE, SLOW_SCAN


class Marks:
    """A mark is a hint for speed. It moves only to a job that was claimed, never to the present time, and not on an empty scan;
    a lane that a full scan met for the first time begins at its first pending job.

    Jobs do become pending below it: commits overlap, transactions last, claims are rolled back, jobs given back. The next
    full scan finds them: none waits longer than 21 full scans, or the poll.

    Written by whoever claims: the holder of the claim lock, and the scanner once full scans are slow. Each write is
    atomic, and a mark set too far back costs time only.
    """

    def __init__(self) -> None:
        self._marks: dict[Lane, Mark] = {}
        self._full_from = 0.0
        self._lately: deque[float] = deque(maxlen=5)
        self.scan_seconds = 0.0
        """How long the database took for the last full scan."""
        self.slow = False
        """Full scans take so long that a job must not wait for one: the scanner makes them, beside the claims."""

    def start_over(self) -> None:
        """Let the next claim be a full scan. From any thread."""
        self.slow = False
        self._full_from = 0.0

    def now(self) -> Mapping[Lane, Mark] | None:
        """What the claim that begins now is to look above; None: nothing, it is a full scan."""
        full = time.monotonic() >= self._full_from + (OVERDUE if self.slow else 0.0)
        return None if full or not self._marks else self._marks.copy()

    def full_scan_in(self) -> float:
        """Seconds until a full scan is due."""
        return max(0.0, self._full_from - time.monotonic())

    def claimed(self, claims: Claims, full: bool, cut_off: bool) -> None:
        """A claim has brought these; `full`: it was a full scan; `cut_off`: there may be more."""
        if full:
            # The least of the last few: a scan that waited for a processor says nothing about the table.
            self.scan_seconds = claims.scan_seconds
            self._lately.append(self.scan_seconds)
            seconds = min(self._lately)
            self._full_from = time.monotonic() + FULL_SCAN_EVERY * seconds
            self.slow = seconds > SLOW_SCAN
            if len(self._marks) > LANES_MOST:
                self._marks = {}
        for lane, (run_at, id) in claims.heads.items():
            self._marks.setdefault(lane, (run_at, id - 1))  # of a lane not claimed from yet, just below its first job
        last = {(job.queue, job.type, job.priority): (job.run_at, job.id) for job in claims.jobs if not job.crashes}
        for place, mark in last.items():
            lane = Lane(*place)
            # Back only if there may be more between here and the old mark.
            if cut_off or lane not in self._marks or mark > self._marks[lane]:
                self._marks[lane] = mark
