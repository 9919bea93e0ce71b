"""Remembers whether the reply to a claim was lost. The process then asks the database, twice, which jobs that claim took
(`lost_replies.py`).

Except for `ask_now()`, all methods that change something are called under the claim lock.
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
    """Also remembers the claims that were answered, so that a question leaves out their jobs."""

    def __init__(self, *, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._tuning = tuning
        self._clock = clock
        self._is_lost = False
        """A reply was lost, and the first question about it has not been asked yet."""
        self._second_look = inf  # when the second question is due
        self._answered: deque[datetime] = deque()
        """The claimed_at of the last answered claims, by the database's clock. All jobs of a claim have the same time."""

    def lose(self) -> None:
        """The reply to a claim was lost, and the claim may have taken jobs."""
        self._is_lost = True

    def answered(self, jobs: Sequence[Claimed]) -> None:
        """These jobs came with a reply."""
        if len(self._answered) >= self._tuning.answered_most and not self.exist():  # while in doubt, all of them are needed
            self._answered.popleft()
        times = [job.claimed_at for job in jobs]
        # All jobs have one time, unless they are those of several lost replies. The times are compared and not put into a set,
        # because a datetime is slow to hash.
        self._answered.extend(times[:1] if times.count(times[0]) == len(times) else sorted(set(times)))

    def exist(self) -> bool:
        """Whether this process may hold jobs that it does not know of."""
        return self._is_lost or self._second_look < inf

    def ask_now(self) -> None:
        """If there is doubt, make the next question due at once. From any thread."""
        if self.exist():
            self._second_look = 0.0

    def are_new(self) -> bool:
        """Whether the first question has not been asked yet."""
        return self._is_lost

    def is_due(self) -> bool:
        """Whether a question is due."""
        return self._is_lost or self._clock() >= self._second_look

    def begin(self) -> tuple[bool, list[datetime]]:
        """A question is about to be sent. Returns whether it is the first one, and the times of the answered claims. If another
        reply is lost after this, the next question is about that one."""
        first, self._is_lost = self._is_lost, False
        self._second_look = self._clock() + self._tuning.second_look
        return first, list(self._answered)

    def end(self, first: bool) -> None:
        """The question was answered. A second question follows a first one, because the server may answer the first one before
        it commits a claim whose connection broke."""
        if not first:
            self._second_look = inf
        while len(self._answered) > self._tuning.answered_most:
            self._answered.popleft()
