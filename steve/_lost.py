"""Which claims were answered, and whether one was not: what that took is to be looked for, twice.

Written by whoever claims, under the claim lock or that of the scans.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from math import inf

from .job import Claimed
from .settings import ANSWERED_MOST, SECOND_LOOK


class LostClaims:
    def __init__(self) -> None:
        self.lost = False
        """A claim's reply was lost, and nobody has asked yet what it took."""
        self._second_look = inf
        self._answered: deque[datetime] = deque()
        """The database's times of the last claims whose reply was not lost: all jobs of a claim have one claimed_at."""

    def answered(self, jobs: Sequence[Claimed]) -> None:
        """These came with a reply."""
        if len(self._answered) >= ANSWERED_MOST and not self.in_doubt():  # while in doubt, all since are needed
            self._answered.popleft()
        times = [job.claimed_at for job in jobs]
        # One, but after lost replies. Compared rather than put in a set: a datetime is slow to hash.
        self._answered.extend(times[:1] if times.count(times[0]) == len(times) else sorted(set(times)))

    def in_doubt(self) -> bool:
        """Whether this process may hold jobs that it does not know of: a claim's reply was lost not long ago."""
        return self.lost or self._second_look < inf

    def is_due(self) -> bool:
        """Whether it is time to ask what was lost."""
        return self.lost or time.monotonic() >= self._second_look

    def begin(self) -> tuple[bool, list[datetime]]:
        """Whether this is the first question, and the times of the claims that were answered. Before it is sent: a scan that
        loses its reply from now on is asked for by the next."""
        first, self.lost = self.lost, False
        self._second_look = time.monotonic() + SECOND_LOOK
        return first, list(self._answered)

    def end(self, first: bool) -> None:
        """The question was answered. After the first comes a second: the server may commit a claim after its client has lost
        the connection and asked."""
        if not first:
            self._second_look = inf
        while len(self._answered) > ANSWERED_MOST:
            self._answered.popleft()
