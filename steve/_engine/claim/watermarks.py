"""How far each priority has been claimed, and when a full scan is due.

A full scan looks from the beginning of every priority. In a healthy table it is as fast as any other claim. Two things make it
slow. While a transaction stays open somewhere (a report, a backup, a forgotten BEGIN), PostgreSQL cannot remove the index
entries of the jobs that were claimed since, and a full scan passes over all of them. And it passes over the due jobs of queues
and types that this process does not serve. So full scans get about a twentieth of the time, and the claims in between look only
above the watermarks. Once full scans are slow, no claim makes one: the scanner looks for jobs below the watermarks in a cheaper
way (full_scans.py), and the watermarks are lowered to what it finds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from steve._model.claim import ClaimReply, Watermark
from steve._model.tuning import Tuning

BEGINNING: Watermark = (datetime.min.replace(tzinfo=UTC) + timedelta(days=1), UUID(int=0))


class Watermarks:
    """A watermark only makes claims faster. It moves to jobs that a claim has seen, never to the present time, and a scan that
    saw no due job does not move it.

    Jobs do become pending below a watermark: commits overlap, transactions last, claims are rolled back, jobs are given back.
    The next full scan finds them, or the scanner's look: after about 21 times its duration or one poll interval, whichever is
    longer.

    Only the thread that holds the claim lock moves a watermark. The scanner leaves what it found for the next claim, because it
    may find a job while a claim is under way that looks above that job. The end of that claim must not move the watermark past
    it.
    """

    def __init__(self, *, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._tuning = tuning
        self._clock = clock
        self._watermarks: dict[int, Watermark] = {}
        # Places below the watermarks where there are jobs, by priority: what a claim passed over, and what the scanner's last
        # look found. Append and popleft are atomic.
        self._left_over: dict[int, Watermark] = {}
        self._looks: deque[Mapping[int, Watermark]] = deque(maxlen=1)
        self._lower_at = 0.0
        self._is_lowered = False
        self._full_scan_at = 0.0
        self._recent: deque[float] = deque(maxlen=2)
        self.scan_seconds = 0.0
        """How long the database took for the last full scan."""
        self.is_slow = False
        """Full scans take so long that no claim makes one. The scanner looks below the watermarks instead."""

    # -- from any thread ------------------------------------------------------------------------------------------------

    def look_below(self) -> None:
        """There may be jobs below the watermarks: look there at once."""
        self._full_scan_at = min(self._full_scan_at, self._clock())  # not 0.0, which would count as overdue

    def full_scan_in(self) -> float:
        """Seconds until a full scan is due, or the scanner's look."""
        return max(0.0, self._full_scan_at - self._clock())

    def due_in(self) -> float | None:
        """Seconds until a claim finds jobs below the watermarks. None: that is for the scanner to find out."""
        if not self.is_slow:
            return self.full_scan_in()
        return max(0.0, self._lower_at - self._clock()) if self._left_over or self._looks else None

    # -- under the claim lock -------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """The next claim is a full scan: nothing is known of the table that it looks into."""
        self.is_slow = False
        self._full_scan_at = 0.0
        self._watermarks = {}

    def now(self) -> Mapping[int, Watermark] | None:
        """The watermarks above which the claim looks that is about to begin. None: it is a full scan."""
        # Claims that begin at such a place may take as long as a full scan, so they also get a twentieth of the time.
        self._is_lowered = self._clock() >= self._lower_at and bool(self._left_over or self._looks)
        if self._is_lowered:
            for places in (self._left_over, self._looks.popleft() if self._looks else {}):
                for priority, place in places.items():
                    self._lower(priority, place)
            self._left_over = {}
        overdue = self._tuning.full_scan_overdue + self.scan_seconds if self.is_slow else 0.0
        is_due = self._clock() >= self._full_scan_at + overdue
        return None if is_due or not self._watermarks else self._watermarks.copy()

    def claimed(self, reply: ClaimReply, *, full_scan: bool, cut_off: bool) -> None:
        """A claim was answered. `cut_off`: there may be more jobs where it looked."""
        if reply.refused:
            return
        if full_scan:
            # The lesser of the last two, because a scan may also have taken long while it waited for a processor.
            self.scan_seconds = reply.scan_seconds
            self._recent.append(reply.scan_seconds)
            seconds = min(self._recent)
            self._full_scan_at = self._clock() + self._tuning.full_scan_every * seconds
            self.is_slow = seconds > self._tuning.slow_scan
            if self.is_slow:
                self._full_scan_at = self._clock()  # the first look is due at once: it is the cheaper way
        if self._is_lowered:
            self._lower_at = self._clock() + self._tuning.full_scan_every * reply.scan_seconds
        watermarks = self._watermarks
        for priority, end in reply.ends.items():
            if priority not in watermarks:
                watermarks[priority] = end or BEGINNING
            elif end is not None and end > watermarks[priority]:
                watermarks[priority] = end
        last = {job.priority: (job.run_at, job.uid) for job in reply.jobs if not job.crashes}
        for priority, watermark in last.items():
            # Moved back only if there may be more jobs between the last one and the old watermark.
            if cut_off or priority not in watermarks or watermark > watermarks[priority]:
                watermarks[priority] = watermark
        for priority, place in reply.left_over:
            self._left_over[priority] = min(place, self._left_over.get(priority, place))

    def _lower(self, priority: int, place: Watermark) -> None:
        """The job at this place is to be found by the next claim."""
        run_at, uid = place
        below = max((run_at - timedelta(microseconds=1), uid), BEGINNING)
        self._watermarks[priority] = min(below, self._watermarks.get(priority, below))

    # -- from the scanner -----------------------------------------------------------------------------------------------

    def looked(self, heads: Mapping[int, Watermark], seconds: float) -> bool:
        """The scanner has looked for the first job of each priority, which took so long. Returns whether a claim can find more
        than before."""
        self._full_scan_at = self._clock() + self._tuning.full_scan_every * seconds
        known = self._watermarks.copy()
        found = {priority: head for priority, head in heads.items() if priority not in known or head <= known[priority]}
        if found:
            self._looks.append(found)
        return bool(found)

    def measured(self, seconds: float) -> None:
        """A full scan would take so long now."""
        self.scan_seconds = seconds
        self._recent.clear()
        self._recent.append(seconds)
        self.is_slow = seconds > self._tuning.slow_scan
