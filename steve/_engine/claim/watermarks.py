"""How far each lane has been claimed, and when a full scan is due.

A full scan looks from the beginning of every lane. In a healthy table it is as fast as any other claim. But while a transaction
stays open somewhere (a report, a backup, a forgotten BEGIN), PostgreSQL cannot remove the index entries of the jobs that were
claimed since, and a full scan has to pass over all of them. So full scans get about a twentieth of the time, and the claims in
between look only above the watermarks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from steve._model.claim import ClaimReply, Lane, Watermark
from steve._model.tuning import Tuning


class Watermarks:
    """A watermark only makes claims faster. It moves to jobs that were claimed, never to the present time, and an empty scan
    does not move it. In a lane that a full scan meets for the first time, it is set just below the first pending job.

    Jobs do become pending below a watermark: commits overlap, transactions last, claims are rolled back, jobs are given back.
    The next full scan finds them, after about 21 times its duration or one poll interval, whichever is longer.

    The thread that holds the claim lock writes here, and the scanner does while full scans are slow. Each write is atomic, and
    a watermark that is too low only costs time.
    """

    def __init__(self, *, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._tuning = tuning
        self._clock = clock
        self._watermarks: dict[Lane, Watermark] = {}
        self._full_scan_at = 0.0
        self._recent: deque[float] = deque(maxlen=5)
        self.scan_seconds = 0.0
        """How long the database took for the last full scan."""
        self.is_slow = False
        """Full scans take so long that no claim should wait for one, so the scanner makes them beside the claims."""

    def reset(self) -> None:
        """Make the next claim a full scan. From any thread."""
        self.is_slow = False
        self._full_scan_at = 0.0

    def now(self) -> Mapping[Lane, Watermark] | None:
        """The watermarks above which the next claim looks. None: the next claim is a full scan."""
        overdue = self._tuning.full_scan_overdue if self.is_slow else 0.0
        is_due = self._clock() >= self._full_scan_at + overdue
        return None if is_due or not self._watermarks else self._watermarks.copy()

    def full_scan_in(self) -> float:
        """Seconds until a full scan is due."""
        return max(0.0, self._full_scan_at - self._clock())

    def claimed(self, reply: ClaimReply, *, full_scan: bool, cut_off: bool) -> None:
        """A claim was answered. `cut_off`: there may be more jobs where it looked."""
        if full_scan:
            # The least of the last few, because a scan may also have taken long while it waited for a processor.
            self.scan_seconds = reply.scan_seconds
            self._recent.append(reply.scan_seconds)
            seconds = min(self._recent)
            self._full_scan_at = self._clock() + self._tuning.full_scan_every * seconds
            self.is_slow = seconds > self._tuning.slow_scan
            if len(self._watermarks) > self._tuning.lanes_most:
                self._watermarks = {}
        for lane, (run_at, id) in reply.heads.items():
            self._watermarks.setdefault(lane, (run_at, id - 1))  # a new lane: just below its first job
        last = {(job.queue, job.type, job.priority): (job.run_at, job.id) for job in reply.jobs if not job.crashes}
        for place, watermark in last.items():
            lane = Lane(*place)
            # A watermark moves back only if there may be more jobs between the last claimed one and the old watermark.
            if cut_off or lane not in self._watermarks or watermark > self._watermarks[lane]:
                self._watermarks[lane] = watermark
