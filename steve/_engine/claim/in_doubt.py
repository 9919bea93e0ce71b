"""Remembers whether the reply to a claim was lost. The process then asks the database, twice, which jobs that claim took
(`lost_replies.py`).

All claimers of an engine share one object. `lose()` and `answered()` are called under the claim lock of one of them, `begin()`
and `end()` under the locks of all. `ask_now()` may be called from any thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf

from steve._model.claimed import Claimed
from steve._model.tuning import Tuning

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


class InDoubtClaims:
    """Also remembers the claims that were answered, so that a question leaves out their jobs."""

    def __init__(
        self,
        *,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
        claiming_since: Callable[[], float] = lambda: inf,
    ) -> None:
        """`claiming_since()`: when the longest claim under way began, by the clock."""
        self._claiming_since = claiming_since
        self.is_shared = False
        """There are or were several claimers, whose replies need not come in the order of their claims."""
        self._tuning = tuning
        self._clock = clock
        self._is_lost = False
        """A reply was lost, and the first question about it has not been asked yet."""
        self._second_look = inf  # when the second question is due
        self._answered: deque[tuple[float, datetime]] = deque()
        """The claimed_at of the last answered claims, by the database's clock, each with the time of its reply, by ours. All
        jobs of a claim have the same time."""
        self._forgotten = BEFORE_ALL
        """The claimed_at up to which they are forgotten. Claims whose reply may be lost were made later."""

    def lose(self) -> None:
        """The reply to a claim was lost, and the claim may have taken jobs."""
        self._is_lost = True

    def answered(self, jobs: Sequence[Claimed]) -> None:
        """These jobs came with a reply."""
        self._forget()
        times = [job.claimed_at for job in jobs]
        # All jobs have one time, unless they are those of several lost replies. The times are compared and not put into a set,
        # because a datetime is slow to hash.
        now = self._clock()
        different = times[:1] if times.count(times[0]) == len(times) else sorted(set(times))
        self._answered.extend([(now, time) for time in different])

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
        times = [time for _, time in self._answered.copy()]
        return first, [self._forgotten, *times] if self.is_shared else times

    def end(self, first: bool) -> None:
        """The question was answered. A second question follows a first one, because the server may answer the first one before
        it commits a claim whose connection broke."""
        if not first:
            self._second_look = inf
        self._forget(spare=0)

    def _forget(self, spare: int = 1) -> None:
        """Forget the first times, except those that a question would need. `spare`: how many more than this come now."""
        if self.exist():
            return
        while len(self._answered) > self._tuning.answered_most - spare:
            # A claim of another pool that is under way may be older than the replies since it began.
            if self.is_shared and self._answered[0][0] >= self._claiming_since():
                return
            try:
                _, time = self._answered.popleft()
            except IndexError:  # another claimer does the same
                return
            self._forgotten = max(self._forgotten, time)
