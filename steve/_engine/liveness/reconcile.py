"""Frees the jobs that this process does not run, though the tables say that it does. They run again, here or elsewhere.

The tables and a process may disagree about a job for these reasons:

    the server forgot the outcome: a standby was promoted before it had received everything, or the server crashed under
        `synchronous_commit = off`
    rows were put back from a dump or changed by hand
    something interrupted a thread that had just taken a job

No rescue would ever take such a job, because the process that holds it according to the tables is alive.

So each process looks at the tables once a lease, and whenever there is cause for doubt: an outcome was dropped, the heartbeat
lost its connection, a thread broke off. The same look adds a row for each process that holds jobs and has no row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from steve._model.claimed import ClaimKey
from steve._model.tuning import Tuning


class Held(NamedTuple):
    """The claims that a process knows of, and how far its settler is."""

    claims: set[ClaimKey]
    """Those of jobs in the buffer, of running jobs, and of jobs whose outcome is being written or is deferred."""
    put: int
    """How many outcomes were ever put into the settler's queue."""
    settled: int
    """How many of these are settled, deferred or given up."""


class Reconcile:
    """Looks at the tables a few times, and frees a job that it finds `reconcile_looks` times in a row and does not know.

    A known job may be missed at one look, but not at the next. By then the job that a worker was taking is running, the claim's
    reply that was on its way has been read, and the outcomes that were in the settler's queue have been written.
    """

    def __init__(
        self,
        *,
        look: Callable[[], tuple[Held, set[ClaimKey]]],
        free: Callable[[set[ClaimKey]], object],
        interval: float,
        tuning: Tuning,
    ) -> None:
        """`look()` returns the claims that this process knows of, and the claims that it holds according to the tables.
        `interval`: seconds until it looks again without a cause."""
        self._look = look
        self._free = free
        self._interval = interval
        self._tuning = tuning
        # _asked stands for the last cause, and _begun for the last cause that was acted on. Each cause is a new object and not
        # the next number, because several threads may report causes at once.
        self._asked = self._begun = object()
        self._looks_left = 0
        self._unknown: dict[ClaimKey, int] = {}  # how many looks in a row have found each one unknown
        self._put = 0  # as in Held, at the last look
        self._again_at = 0.0
        self._next_at = time.monotonic() + interval

    def begin(self) -> None:
        """There is cause to look. From any thread."""
        self._asked = object()

    def work(self, settled: int) -> bool:
        """Look if a look is due. The scanner calls this often. Returns whether there was anything to do. `settled`: as in Held.
        Raises DatabaseFailure."""
        now = time.monotonic()
        asked = self._asked
        if asked is not self._begun or now >= self._next_at:
            self._begun, self._next_at = asked, now + self._interval
            self._looks_left = self._tuning.reconcile_looks
        if not self._looks_left or now < self._again_at or (self._unknown and settled < self._put):
            return False
        held, own = self._look()
        self._again_at = time.monotonic() + self._tuning.reconcile_pause
        self._put = held.put
        self._unknown = {claim: self._unknown.get(claim, 0) + 1 for claim in own - held.claims}
        if lost := {claim for claim, looks in self._unknown.items() if looks >= self._tuning.reconcile_looks}:
            self._free(lost)  # then look once more, because a row that is locked at this moment is not freed
        # Look again until each job that was found twice is settled or freed. Those found once do not count, because under load
        # every look finds some.
        again = any(looks > 1 for looks in self._unknown.values())
        self._looks_left = max(self._looks_left - 1, int(again)) if self._unknown else 0
        return True
