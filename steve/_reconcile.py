"""After the server has changed under a running process: what that holds by the tables, and does not know of, it takes up.

A standby that is promoted before it received everything forgets what was committed last, and so does a crash under
`synchronous_commit = off`. Where the claim is kept and the outcome is not, the job is `running` in the hands of a process that
has done with it and lives on: no rescue would ever come for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ._log import logger
from .job import Claimed
from .settings import AGAIN_SECONDS

Claims = set[tuple[int, int]]
"""(id, lease_no)."""


class Held(NamedTuple):
    """What a process knows of."""

    claims: Claims
    """At hand, or running."""
    put: int
    """How many outcomes were ever put on the pile."""
    settled: int
    """Of these, how many the settler has done with."""


class _First(NamedTuple):
    """What the first look found."""

    asked: object
    unknown: Claims
    put: int
    at: float


class Reconcile:
    """Looks twice, and takes up what it finds both times. In between whatever was moving has arrived where it is seen: a job
    that had been drawn runs, a claim's reply is read, and the outcomes that lay on the pile are written.
    """

    def __init__(
        self, find: Callable[[], list[Claimed]], held: Callable[[], Held], take_up: Callable[[list[Claimed]], None]
    ) -> None:
        """`find()`: the jobs that are this process's by the tables; `held()`: what it knows of; `take_up` runs these."""
        self._find = find
        self._held = held
        self._take_up = take_up
        # A new one for each beginning (assigned, not counted: beginnings come from several threads), and the one that is over.
        self._asked = self._done = object()
        self._first = _First(object(), set(), 0, 0.0)

    def begin(self) -> None:
        """From any thread."""
        self._asked = object()

    def work(self) -> bool:
        """On one thread, often; whether there was anything to do. Raises Trouble."""
        asked = self._asked
        if asked is self._done:
            return False
        held = self._held()  # before the question: what is settled meanwhile is not found
        first = self._first
        is_second = first.asked is asked
        if is_second and (time.monotonic() < first.at + AGAIN_SECONDS or held.settled < first.put):
            return False
        found = {(job.id, job.lease_no): job for job in self._find()}
        unknown = found.keys() - held.claims
        if unknown and not is_second:
            self._first = _First(asked, unknown, held.put, time.monotonic())
            return True
        self._done = asked
        if not is_second:
            return True
        if jobs := [found[claim] for claim in unknown & first.unknown]:
            logger.warning("the database has forgotten what became of %d jobs of this process: they run again", len(jobs))
            self._take_up(jobs)
        return True
