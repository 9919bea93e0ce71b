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

from .settings import AGAIN_SECONDS

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


class _First(NamedTuple):
    """What the first look found."""

    asked: object
    unknown: Claims
    put: int
    at: float


class Reconcile:
    """Looks twice, and frees what it finds both times. In between whatever was moving has arrived where it is seen: a job that
    had been drawn runs, a claim's reply is read, and the outcomes that lay on the pile are written.
    """

    def __init__(
        self, look: Callable[[], Claims], held: Callable[[], Held], free: Callable[[Claims], object], interval: float
    ) -> None:
        """`look()`: what is this process's by the tables; `held()`: what it knows of; `interval`: seconds from one look to the
        next where nothing else gives cause."""
        self._look = look
        self._held = held
        self._free = free
        self._interval = interval
        # A new one for each cause (assigned, not counted: causes come from several threads), and the one that is over.
        self._asked = self._done = object()
        self._first = _First(object(), set(), 0, 0.0)
        self._next_at = time.monotonic() + interval

    def begin(self) -> None:
        """There is cause to look. From any thread."""
        self._asked = object()

    def work(self) -> bool:
        """On one thread, often; whether there was anything to do. Raises Trouble."""
        now = time.monotonic()
        if now >= self._next_at and self._asked is self._done:
            self.begin()
        asked = self._asked
        if asked is self._done:
            return False
        held = self._held()  # before the question: what is settled meanwhile is not found
        first = self._first
        is_second = first.asked is asked
        if is_second and (now < first.at + AGAIN_SECONDS or held.settled < first.put):
            return False
        self._next_at = now + AGAIN_SECONDS  # should the question fail
        unknown = self._look() - held.claims
        self._next_at = time.monotonic() + self._interval
        if not is_second and unknown:
            self._first = _First(asked, unknown, held.put, time.monotonic())
            return True
        if is_second and (lost := unknown & first.unknown):
            self._free(lost)
            self._first = first._replace(at=time.monotonic())  # and looks again: a row may have been locked just now
            return True
        self._done = asked
        return True
