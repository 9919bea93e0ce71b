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


class _Last(NamedTuple):
    """What the last look found that this process did not know of."""

    asked: object
    unknown: Claims
    put: int
    at: float
    looks: int


class Reconcile:
    """Looks three times, and frees what it finds each time. In between whatever was moving has arrived where it is seen: a job
    that had been drawn runs, a claim's reply is read, and the outcomes that had been put on the pile by the look before are
    written.
    """

    def __init__(self, look: Callable[[], tuple[Held, Claims]], free: Callable[[Claims], object], interval: float) -> None:
        """`look()`: what this process knows of, and after that what is its own by the tables; `interval`: seconds from one look
        to the next where nothing else gives cause."""
        self._look = look
        self._free = free
        self._interval = interval
        # A new one for each cause (assigned, not counted: causes come from several threads), and the one that is over.
        self._asked = self._done = object()
        self._last = _Last(object(), set(), 0, 0.0, 0)
        self._next_at = time.monotonic() + interval

    def begin(self) -> None:
        """There is cause to look. From any thread."""
        self._asked = object()

    def work(self, settled: int) -> bool:
        """On one thread, often; whether there was anything to do. `settled`: as in Held. Raises Trouble."""
        now = time.monotonic()
        if now >= self._next_at and self._asked is self._done:
            self.begin()
        asked = self._asked
        if asked is self._done:
            return False
        last = self._last
        begun = last.asked is asked
        if begun and (now < last.at + AGAIN_SECONDS or settled < last.put):
            return False
        held, own = self._look()
        self._next_at = time.monotonic() + self._interval
        unknown = own - held.claims
        if begun:
            unknown &= last.unknown
        looks = 1 + (last.looks if begun else 0)
        if unknown and looks >= LOOKS:
            self._free(unknown)  # and looks once more: a row may have been locked just now
        if unknown:
            self._last = _Last(asked, unknown, held.put, time.monotonic(), looks)
        else:
            self._done = asked
        return True
