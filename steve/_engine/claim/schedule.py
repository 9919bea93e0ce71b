"""When the next claim is due: at once after a wake-up, otherwise when a known job comes due, and at the latest after
`poll_interval`. After a failure no claim is due before the back-off is over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from math import inf
from queue import Empty, SimpleQueue

from steve._database.backoff import Backoff
from steve._engine.claim.crowd import Crowd
from steve._model.settings import POLL_MOST
from steve._model.tuning import Tuning
from steve._runtime.chance import chance


class ClaimSchedule:
    """Any thread may call `wake()` and `expect()`; only the thread that holds the claim lock reports claims. The schedule also
    has the bell that the idle worker waits for."""

    def __init__(
        self,
        *,
        poll_interval: float,
        tuning: Tuning,
        processes: Callable[[], int | None] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`processes()`: about how many there are. None: that is not known yet."""
        self._poll_interval = poll_interval
        self.crowd = Crowd(processes=processes, tuning=tuning, clock=clock)
        self.clock = clock
        self._is_woken = True
        self._next_at = 0.0
        self._not_before = 0.0
        # Protects _expected and every write of _next_at. _expected is there for a retry that is settled while a claim is under
        # way: the claim does not see it, and would set a later time at its end. Only the clock is called under this lock.
        self._expecting = threading.Lock()
        self._expected = inf
        self._backoff = Backoff(tuning, clock)
        # Rings for the idle worker. A SimpleQueue, because its put() is safe everywhere, even in a signal handler.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self.answered_at = clock()
        """When a claim was last answered, whether it brought jobs or not."""
        self.brought = 0
        """How many jobs the claims have brought."""
        self.found_nothing_at = -inf
        """When the last claim began that was answered and brought none."""
        self._begun_at = -inf

    # -- from any thread ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be a new job: claim at once."""
        self._is_woken = True
        self.ring()

    def expect(self, seconds: float) -> None:
        """A job will be due in so many seconds."""
        if seconds <= 0.0:
            self.wake()
            return
        at = self.clock() + seconds
        with self._expecting:
            self._expected = min(self._expected, at)
            is_sooner = at < self._next_at
            if is_sooner:
                self._next_at = at
        if is_sooner:
            self.ring()

    def is_due(self) -> bool:
        now = self.clock()
        return (self._is_woken or now >= self._next_at) and now >= self._not_before

    def seconds_to_next(self) -> float:
        now = self.clock()
        return max(self._next_at - now, self._not_before - now, 0.0)

    def is_backing_off(self) -> bool:
        return self.clock() < self._not_before

    # -- the bell -------------------------------------------------------------------------------------------------------

    def ring(self) -> None:
        if self._bell.empty():  # one ring that nobody has heard yet is enough
            self._bell.put(None)

    def wait_for_ring(self, seconds: float) -> bool:
        """Wait for the bell, at most so many seconds. Returns whether it rang."""
        with contextlib.suppress(Empty):
            self._bell.get(timeout=seconds)
            return True
        return False

    # -- under the claim lock -------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """A claim begins. Returns whether a wake-up caused it.

        Called before the statement is sent: a wake-up that comes while the statement runs may be for a row that the statement
        does not see. Jobs that were expected before this are in the database already, so the claim sees them.
        """
        is_woken, self._is_woken = self._is_woken, False
        self._begun_at = self.clock()
        with self._expecting:
            self._expected = inf
        return is_woken

    def answered(self, *, woken: bool, jobs: int, is_more_due: bool) -> None:
        self._backoff.reset()
        self.answered_at = self.clock()
        self.brought += jobs
        if not jobs:
            self.found_nothing_at = self._begun_at
        self.crowd.answered(woken=woken, jobs=jobs, is_more_due=is_more_due)

    def refused(self, *, woken: bool) -> None:
        """The claim looked for nothing, because another process has the fleet's lock. Make it again after a pause."""
        self.answered_at = self.clock()
        self._is_woken = self._is_woken or woken
        at = self.answered_at + self.crowd.refused()
        with self._expecting:
            # What was expected before this claim began is due or not: the next claim finds out.
            self._not_before = self._next_at = at

    def next_in(self, *seconds: float | None) -> None:
        """The next claim is due after the least of these seconds, after the poll interval, or when an expected job is due,
        whichever comes first."""
        # A little more or less, at random, so that processes do not poll in step.
        least = min(self._poll_interval * chance.uniform(0.9, 1.1), POLL_MOST)
        for one in seconds:
            if one is not None and one < least:
                least = one
        with self._expecting:
            self._next_at = min(self.clock() + least, self._expected)

    def next_after_poll(self) -> float:
        """The next claim is due after one poll interval, even if a job is expected before. Returns when that is, by the
        clock."""
        with self._expecting:
            self._next_at = self.clock() + self._poll_interval
            return self._next_at

    def failed(self) -> None:
        at = self.clock() + self._backoff.next()
        with self._expecting:
            self._not_before = self._next_at = at

    def nothing_to_claim(self) -> None:
        """No type has a handler yet."""
        self.answered_at = self.found_nothing_at = self.clock()
        self.next_after_poll()

    def pause(self) -> float:
        """A question about lost replies failed. Returns how many seconds its thread should sleep before the next try."""
        return self._backoff.next()
