"""What a process holds by the tables and not in fact, it frees: those jobs run again, here or elsewhere.

The tables and a process disagree about a job when the outcome was forgotten (a standby is promoted before it received
everything, a crash under `synchronous_commit = off`), when rows were put back from a dump or changed by hand, when a truncate
or a sequence gave an id out again, or when a thread broke off with a job in its hands. The job is `running` then in the hands
of a process that does not run it and lives on: no rescue would ever come for it.

So each process looks at the tables once a lease, and whenever there is cause to doubt: an outcome was dropped, the heartbeat
lost its connection, a thread broke off. The same look makes rows for processes that hold jobs and have none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from .settings import AGAIN_SECONDS, LOOKS

Claims = set[tuple[int, int]]
"""(id, lease_no)."""


class Held(NamedTuple):
    """What a process knows of."""

    claims: Claims
    """At hand, running, or with an outcome that is being written or set aside."""
    put: int
    """How many outcomes were ever put on the pile."""
    settled: int
    """Of these, how many the settler has done with, or set aside."""


class Reconcile:
    """Looks some times, and frees what it finds LOOKS times in a row. In between whatever was moving has arrived where it is
    seen: a job that had been drawn runs, a claim's reply is read, and the outcomes that had been put on the pile by the look
    before are written.
    """

    def __init__(self, look: Callable[[], tuple[Held, Claims]], free: Callable[[Claims], object], interval: float) -> None:
        """`look()`: what this process knows of, and after that what is its own by the tables; `interval`: seconds from one look
        to the next where nothing else gives cause."""
        self._look = look
        self._free = free
        self._interval = interval
        # A new one for each cause (assigned, not counted: causes come from several threads), and the one that was seen last.
        self._asked = self._begun = object()
        self._looks_left = 0
        self._unknown: dict[tuple[int, int], int] = {}  # how often in a row each was found by the last looks
        self._put = 0  # as in Held, at the last look
        self._again_at = 0.0
        self._next_at = time.monotonic() + interval

    def begin(self) -> None:
        """There is cause to look. From any thread."""
        self._asked = object()

    def work(self, settled: int) -> bool:
        """On one thread, often; whether there was anything to do. `settled`: as in Held. Raises Trouble."""
        now = time.monotonic()
        asked = self._asked
        if asked is not self._begun or now >= self._next_at:
            self._begun, self._next_at = asked, now + self._interval
            self._looks_left = LOOKS
        if not self._looks_left or now < self._again_at or (self._unknown and settled < self._put):
            return False
        held, own = self._look()
        self._again_at = time.monotonic() + AGAIN_SECONDS
        self._put = held.put
        self._unknown = {claim: self._unknown.get(claim, 0) + 1 for claim in own - held.claims}
        if lost := {claim for claim, looks in self._unknown.items() if looks >= LOOKS}:
            self._free(lost)  # and looks once more: a row may have been locked just now
        # What was found twice is looked for until it is gone, or freed. Under load others are found once at every look.
        again = any(looks > 1 for looks in self._unknown.values())
        self._looks_left = max(self._looks_left - 1, int(again)) if self._unknown else 0
        return True
