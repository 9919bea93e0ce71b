"""What a process does for the sake of the others when there are many.

A claim walks through the index entries of jobs that others have just claimed, since PostgreSQL keeps these while any statement
that began before is under way. And it locks the rows of jobs that were pending when it began, so that their settlements wait
for its end. When many processes claim at once, there is always such a statement: forty processes spent most of the server's
time on such walks. So while more jobs are due than they take, one claims at a time, from `Tuning.crowd` processes on. A claim
tries the fleet's lock and never waits for it: a process that is refused tries again after a pause, which grows.

A notification wakes all processes for one job. The processes that come too late leave the next one unread for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from steve._model.tuning import Tuning
from steve._runtime.chance import chance


class Crowd:
    """`stand_back_seconds` may be called from any thread; the other methods only under the claim lock."""

    def __init__(
        self, *, processes: Callable[[], int | None], tuning: Tuning, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`processes()`: about how many there are. None: that is not known yet."""
        self._processes = processes
        self._tuning = tuning
        self._clock = clock
        self._late = 0  # how many wake-ups in a row brought nothing
        self._is_more_due = False  # the last claim left due jobs behind
        self._refused = 0  # how many claims in a row were refused
        self._refused_at = 0.0  # when the first of these was

    def needs_lock(self) -> bool:
        """Whether the next claim may look for jobs only under the fleet's lock.

        Only while there is more to claim than this process can take: a job that comes while the fleet is idle is picked up at
        once by a process that serves it, whatever the others do. And not if this process was refused for too long: the session
        that has the lock may hang.
        """
        if self._refused:
            return self._clock() < self._refused_at + self._tuning.refused_longest
        return self._is_more_due and self._count() >= self._tuning.crowd

    def refused(self) -> float:
        """Another process has the fleet's lock. Returns the seconds until the next try."""
        if not self._refused:
            self._refused_at = self._clock()
        pause = min(self._tuning.refused_first * 2.0**self._refused, self._tuning.refused_most)
        self._refused = min(self._refused + 1, 30)
        return min(pause * self._count(), self._tuning.refused_pause_longest) * chance.uniform(0.5, 1.5)

    def answered(self, *, woken: bool, jobs: int, is_more_due: bool) -> None:
        """`woken`: a wake-up caused the claim. `jobs`: how many it brought. `is_more_due`: it left due jobs behind."""
        self._refused = 0
        self._is_more_due = is_more_due
        self._late = 0 if jobs else self._late + woken

    def stand_back_seconds(self) -> float:
        """How long to leave the next notification unread.

        Each time a process claims nothing after a notification, it waits a little longer before it reads the next one. So the
        process that was first does not have to share the processors next time, and the others come at different times. The more
        processes there are, the longer they wait: one of them always comes soon, and together they look no more often than a
        few would.
        """
        tuning = self._tuning
        longest = min(self._late * tuning.stand_back, tuning.stand_back_most)
        return min(longest * self._count(), tuning.stand_back_longest) * chance.random()

    def _count(self) -> int:
        return self._processes() or self._tuning.crowd_assumed
