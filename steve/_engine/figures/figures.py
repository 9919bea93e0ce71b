"""Counts, in memory, what became of jobs. An outcome counts when it is committed, once: the settler calls `settled` with the
verdicts of a group that are in the database.

How long a job waited takes two clocks: `run_at` is the database's time, `begun` this process's. A job begins after its claim,
so `claimed_at - begun` is at most the difference of the clocks, and nearly that for a job that begins at once. The largest one
lately is taken for the difference.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from math import inf

from steve._model.claimed import Claimed
from steve._model.figures import Lane, LaneFigures
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from steve._runtime.chance import chance
from steve.job import Status
from steve.stats import BOUNDS

OTHER = ("other", "other")
"""The queue and type under which the jobs of all further lanes are counted."""

_COMPLETED, _PENDING, _FAILED = Status.COMPLETED, Status.PENDING, Status.FAILED  # to read them of the Enum takes long

SAMPLED_FROM = 64
SAMPLE = 8
"""Of a group of at least so many outcomes, only every so many counts with its wait, and stands for the others."""


class Figures:
    def __init__(self, *, tuning: Tuning) -> None:
        self._most = tuning.stat_lanes
        # Protects all below. The settler, the scanner and the thread that gives figures back hold it to count; nothing else is
        # called under it.
        self._counting = threading.Lock()
        self._lanes: dict[Lane, LaneFigures] = {}
        # The largest claimed_at - begun since the last take(), and before it. None: no job has begun.
        self._ahead = self._ahead_before = -inf

    def settled(self, verdicts: Sequence[Verdict]) -> None:
        """These verdicts of a group are committed."""
        bounds, bucket_of = BOUNDS, bisect_right
        with self._counting:
            queue = type = None
            figures = None
            # A busy process counts 10,000 jobs in a second. Places of a tuple are read in half the time of its fields, and most
            # jobs of a group are of one lane.
            for verdict in verdicts:
                job, status, seconds = verdict[0], verdict[2], verdict[10]
                if status is _PENDING and verdict.attempt_status is None:
                    continue  # snoozed, or given back
                if figures is None or job[1] != queue or job[2] != type:
                    queue, type = job[1], job[2]
                    figures = self._lane(queue, type)
                if status is _COMPLETED:
                    figures.completed += 1
                elif status is _PENDING:
                    figures.retried += 1
                elif status is _FAILED:
                    figures.failed += 1
                else:
                    figures.cancelled += 1
                if seconds is not None:
                    figures.run_seconds += seconds
                    figures.run[bucket_of(bounds, seconds)] += 1
            if len(verdicts) < SAMPLED_FROM:
                self._count_waits(verdicts, 1)
            else:  # by chance, so that no lane is left out because its jobs come in a rhythm
                self._count_waits(verdicts[int(chance.random() * SAMPLE) :: SAMPLE], SAMPLE)

    def _count_waits(self, verdicts: Sequence[Verdict], weight: int) -> None:
        """Each of these stands for so many."""
        claimed_at: datetime | None = None
        claimed = 0.0
        for verdict in verdicts:
            job, begun = verdict.job, verdict.begun
            if verdict.seconds is None or begun is None or verdict.attempt_status is None:
                continue
            if claimed_at is None or claimed_at != job.claimed_at:  # a claim brings many jobs
                claimed_at = job.claimed_at
                claimed = self._when_claimed(job, begun)
            # By differences, since timestamp() takes four times as long.
            wait = (claimed_at - job.run_at).total_seconds() + begun - claimed
            figures = self._lanes.get(job[1:3]) or self._lane(job.queue, job.type)
            figures.wait_seconds += max(wait, 0.0) * weight
            figures.wait[bisect_right(BOUNDS, wait)] += weight

    def crashed(self, verdict: Verdict) -> None:
        """A rescue of this process has taken the job, whose attempt had begun elsewhere."""
        with self._counting:
            figures = self._lane(verdict.job.queue, verdict.job.type)
            figures.crashed += 1
            if verdict.status is Status.FAILED:
                figures.failed += 1
            elif verdict.status is Status.CANCELLED:
                figures.cancelled += 1

    def take(self) -> dict[Lane, LaneFigures]:
        """What was counted since the last take()."""
        with self._counting:
            taken, self._lanes = self._lanes, {}
            self._ahead_before, self._ahead = self._ahead, -inf
        return taken

    def give_back(self, taken: dict[Lane, LaneFigures]) -> None:
        """Count once more what could not be written."""
        with self._counting:
            for lane, figures in taken.items():
                self._lane(*lane).add(figures)

    def _lane(self, queue: str, type: str) -> LaneFigures:
        lane = queue, type
        if lane not in self._lanes and len(self._lanes) >= self._most - 1:
            lane = OTHER
        found = self._lanes.get(lane)
        if found is None:  # not setdefault(), which would make a LaneFigures each time
            found = self._lanes[lane] = LaneFigures()
        return found

    def _when_claimed(self, job: Claimed, begun: float) -> float:
        """When the job was claimed, by time.monotonic()."""
        at = job.claimed_at.timestamp()
        ahead = self._ahead = max(at - begun, self._ahead)
        return at - max(ahead, self._ahead_before)
