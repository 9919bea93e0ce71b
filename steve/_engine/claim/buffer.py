"""The jobs that this process has claimed and not begun. The claimer fills the buffer, and the workers take from it.

A job that stays here too long, or that is still here when the manager stops, is given back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from steve._model.claimed import Claimed
from steve._model.outcome import NotBegun, Overdue, Verdict, is_overdue, judge
from steve._model.tuning import Tuning


class JobBuffer:
    def __init__(
        self, *, put_verdict: Callable[[Verdict], None], tuning: Tuning, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`put_verdict()` puts a verdict into the settler's queue. A job is given back by a verdict, too."""
        self._put_verdict = put_verdict
        self._tuning = tuning
        self._clock = clock
        # (time of the claim, job). Append, pop and popleft are atomic, so that taking a job needs no lock.
        self._jobs: deque[tuple[float, Claimed]] = deque()
        self._target = 0
        # How many seconds one worker is expected to take for each job of the last claim. Infinity: unknown.
        self._seconds_each = inf
        self._head_before: Claimed | None = None
        # One thread gives back at a time. So when another thread that gives back finds the buffer empty, the verdicts on all
        # jobs that the first one removed are in the settler's queue. Lock order: before the lock of the settler's queue.
        self._giving_back = threading.Lock()
        self.is_closed = False
        self.returned = 0
        """Jobs that were given back since the buffer was closed."""

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self) -> list[Claimed]:
        return [job for _, job in self._jobs.copy()]  # a copy is atomic; a loop over a deque that others change is not

    # -- filled by the claimer ------------------------------------------------------------------------------------------

    def add(self, jobs: Sequence[Claimed], seconds_each: float) -> None:
        self._seconds_each = seconds_each
        now = self._clock()
        self._jobs.extend([(now, job) for job in jobs])

    def expect(self, target: int) -> None:
        """A claim that asked for so many jobs was answered."""
        self._target = target

    def is_low(self) -> bool:
        """Whether it is time for another claim: at most half of what the last one asked for is left."""
        return len(self._jobs) * 2 <= self._target

    def close(self) -> None:
        """Claim nothing more. A signal handler may call this."""
        self.is_closed = True

    # -- emptied by the workers -----------------------------------------------------------------------------------------

    def take(self) -> Claimed | None:
        """The next job that may begin. Those whose time to begin is over get their verdict here."""
        while True:
            try:
                claimed_at, job = self._jobs.popleft()
            except IndexError:
                return None
            if job.extras is None or not is_overdue(job, self._clock() - claimed_at):
                return job
            self._put_verdict(judge(job, Overdue(), None))

    def take_last(self, job: Claimed) -> bool:
        """Take this job, which was just added. Returns False if another worker has taken it."""
        try:
            last = self._jobs.pop()
        except IndexError:
            return False
        if last[1] is job:
            return True
        self._jobs.append(last)
        return False

    def is_enough_for(self, workers: int) -> bool:
        """Whether so many workers are enough for the jobs in the buffer.

        One thread finishes short jobs sooner than ten threads that compete for the interpreter. So one worker is enough for
        `work_per_worker` seconds of work. Jobs that take longer than a tick, or an unknown time, get all free workers.
        """
        jobs = len(self._jobs)
        tuning = self._tuning
        return not jobs or (self._seconds_each <= tuning.tick and workers > jobs * self._seconds_each / tuning.work_per_worker)

    def has_stalled(self) -> bool:
        """The idle worker calls this once a tick. Returns whether there are jobs and none was taken since the last call. If so,
        all free workers should take jobs."""
        try:
            head = self._jobs[0][1]
        except IndexError:
            head = None
        if head is not None and head is self._head_before:
            self._seconds_each = inf
            return True
        self._head_before = head
        return False

    def refuse(self, job: Claimed) -> None:
        """Give back a job that has not been added."""
        self._put_verdict(judge(job, NotBegun(), None))

    # -- given back -----------------------------------------------------------------------------------------------------

    def give_back(self, older_than: float = 0.0) -> int:
        """Give back the jobs that have been here for so many seconds or longer. Returns how many."""
        limit = self._clock() - older_than
        count = 0
        with self._giving_back:
            while self._jobs:
                try:
                    if self._jobs[0][0] > limit:
                        break
                    _, job = self._jobs.popleft()  # it may be the next job, if a worker took the first one meanwhile
                except IndexError:  # the workers took the rest meanwhile
                    break
                self._put_verdict(judge(job, NotBegun(), None))
                count += 1
            if self.is_closed:
                self.returned += count
        return count

    def give_back_if(self, is_to_go: Callable[[Claimed], bool]) -> None:
        """Give back the jobs of which this is true. The others stay, in their order."""
        with self._giving_back:
            for _ in range(len(self._jobs)):  # one after the other goes to the end
                try:
                    entry = self._jobs.popleft()
                except IndexError:  # the workers took the rest meanwhile
                    break
                if is_to_go(entry[1]):
                    self._put_verdict(judge(entry[1], NotBegun(), None))
                else:
                    self._jobs.append(entry)

    def give_back_old(self) -> None:
        self.give_back(self._tuning.buffer_age)
