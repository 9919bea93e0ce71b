"""Claims whose reply was lost: the jobs that such a claim took have to be asked for, twice.

The claimer writes here, under the claim lock or the scan lock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf

from steve._model.claimed import Claimed
from steve._model.tuning import Tuning


class InDoubtClaims:
    """Remembers the claims that were answered, so that only the others are asked for."""

    def __init__(self, *, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._tuning = tuning
        self._clock = clock
        self._is_lost = False
        """A reply was lost, and its claim has not been asked for yet."""
        self._second_look = inf
        self._answered: deque[datetime] = deque()
        """The database's times of the last answered claims: all jobs of a claim have one claimed_at."""

    def lose(self) -> None:
        """A claim may have taken jobs, and its reply was lost."""
        self._is_lost = True

    def answered(self, jobs: Sequence[Claimed]) -> None:
        """These jobs came with a reply."""
        if len(self._answered) >= self._tuning.answered_most and not self.exist():  # while in doubt, all are needed
            self._answered.popleft()
        times = [job.claimed_at for job in jobs]
        # One time, except after lost replies. Compared rather than put in a set: a datetime is slow to hash.
        self._answered.extend(times[:1] if times.count(times[0]) == len(times) else sorted(set(times)))

    def exist(self) -> bool:
        """Whether this process may hold jobs that it does not know of."""
        return self._is_lost or self._second_look < inf

    def ask_now(self) -> None:
        """Let the second question come now. From any thread."""
        if self.exist():
            self._second_look = 0.0

    def are_new(self) -> bool:
        """Whether they have not been asked for yet."""
        return self._is_lost

    def is_due(self) -> bool:
        """Whether it is time to ask."""
        return self._is_lost or self._clock() >= self._second_look

    def begin(self) -> tuple[bool, list[datetime]]:
        """Before the question is sent: whether it is the first one, and the times of the answered claims. A scan that loses its
        reply from now on is left to the next question."""
        first, self._is_lost = self._is_lost, False
        self._second_look = self._clock() + self._tuning.second_look
        return first, list(self._answered)

    def end(self, first: bool) -> None:
        """The question was answered. The first is followed by a second: the server may commit a claim after its client has lost
        the connection and asked."""
        if not first:
            self._second_look = inf
        while len(self._answered) > self._tuning.answered_most:
            self._answered.popleft()
