"""The jobs that this process has claimed and that have not begun. The claimer fills the buffer, workers take from it.

A job that lies here too long, or still lies here when the manager stops, is given back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from steve._model.claimed import Claimed
from steve._model.outcome import NotBegun, Verdict, judge
from steve._model.tuning import Tuning


class JobBuffer:
    def __init__(
        self, *, put_verdict: Callable[[Verdict], None], tuning: Tuning, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`put_verdict` hears of each job that is given back, as the settler's queue does of all that leaves the process."""
        self._put_verdict = put_verdict
        self._tuning = tuning
        self._clock = clock
        # When each job was claimed, and the job. append and popleft are atomic, so that taking a job needs no lock.
        self._jobs: deque[tuple[float, Claimed]] = deque()
        self._target = 0
        # Seconds that each job is expected to take one worker, by the last claim. Infinity: unknown.
        self._seconds_each = inf
        self._head_before: Claimed | None = None
        # One thread gives back at a time: when the next one finds the buffer empty, all that was in it is in the settler's
        # queue. Lock order: before the lock of the settler's queue.
        self._giving_back = threading.Lock()
        self.is_closed = False
        self.returned = 0
        """Jobs that were given back since the buffer was closed."""

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self) -> list[Claimed]:
        return [job for _, job in self._jobs.copy()]  # a copy is atomic; a walk over it while others take from it is not

    # -- filled by the claimer ------------------------------------------------------------------------------------------

    def add(self, jobs: Sequence[Claimed], seconds_each: float) -> None:
        self._seconds_each = seconds_each
        now = self._clock()
        self._jobs.extend([(now, job) for job in jobs])

    def expect(self, target: int) -> None:
        """The last claim asked for so many jobs."""
        self._target = target

    def is_low(self) -> bool:
        """Whether it is time for another claim: half of what the last one asked for is left, or less."""
        return len(self._jobs) * 2 <= self._target or not self._jobs

    def close(self) -> None:
        """Claim nothing more. A signal handler may call this."""
        self.is_closed = True

    # -- emptied by the workers -----------------------------------------------------------------------------------------

    def take(self) -> Claimed | None:
        try:
            return self._jobs.popleft()[1]
        except IndexError:
            return None

    def take_last(self, job: Claimed) -> bool:
        """Take this job, which was just added; False: another worker has taken it."""
        last = self._jobs.pop() if self._jobs else None
        if last is not None and last[1] is not job:
            self._jobs.append(last)
            return False
        return last is not None

    def is_enough_for(self, workers: int) -> bool:
        """Whether so many workers suffice for the jobs that lie here.

        One thread does short jobs sooner than ten that take the interpreter from each other: so there is one worker for every
        `work_per_worker` of work. Jobs that take longer than a tick, or an unknown time, get all workers that are free.
        """
        jobs = len(self._jobs)
        tuning = self._tuning
        return not jobs or (self._seconds_each <= tuning.tick and workers > jobs * self._seconds_each / tuning.work_per_worker)

    def has_stalled(self) -> bool:
        """Called by the idle worker from tick to tick: whether no job was taken since the last call. Then all workers that are
        free should take some."""
        try:
            head = self._jobs[0][1]
        except IndexError:
            head = None
        if head is not None and head is self._head_before:
            self._seconds_each = inf
            return True
        self._head_before = head
        return False

    # -- given back -----------------------------------------------------------------------------------------------------

    def give_back(self, older_than: float = 0.0) -> int:
        """Give back the jobs that have lain here for so many seconds. Returns how many."""
        limit = self._clock() - older_than
        count = 0
        with self._giving_back:
            while self._jobs:
                try:
                    if self._jobs[0][0] > limit:
                        break
                    _, job = self._jobs.popleft()  # or the one behind it, if a worker took the first meanwhile
                except IndexError:  # the workers took the rest meanwhile
                    break
                self._put_verdict(judge(job, NotBegun(), None))
                count += 1
            if self.is_closed:
                self.returned += count
        return count

    def give_back_old(self) -> None:
        self.give_back(self._tuning.buffer_age)
