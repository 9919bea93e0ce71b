"""The thread that watches all deadlines of an engine. The first one starts it, so a program without timeouts has none.

It must never wait for anything but time, because it has other deadlines to keep. So what it calls sends nothing and tells
nobody: it hands that to other threads.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Protocol

from steve._runtime.log import logger

AGAIN = 1.0
"""After an error, the same deadline is looked at again after so many seconds."""
SWEEP_LEAST = 64
"""Runs that are over leave their entries behind. From this number on they are removed when they are the greater part."""


class Watched(Protocol):
    at: float
    """When to look at it next, by time.monotonic(). `Deadlines` sets it."""
    is_over: bool

    def look(self, now: float) -> float | None:
        """On the watching thread. Returns when to look again; None: never."""


class Deadlines:
    def __init__(self, *, start: Callable[[Callable[[], None]], object]) -> None:
        """`start(run)` calls `run` on a thread of its own. It may raise RuntimeError."""
        self._start = start
        # Protects all below. Under it, only move data.
        self._changed = threading.Condition(threading.Lock())
        self._entries: list[tuple[float, int, Watched]] = []  # a heap
        self._numbers = itertools.count()
        self._over = 0  # about how many of the entries are over
        self._sleeps_until = -inf  # while the thread does not wait
        self._is_started = self._is_ended = False

    def watch(self, one: Watched, at: float) -> None:
        """Look at it then, and not at the time that was said before. From any thread."""
        with self._changed:
            one.at = at
            heapq.heappush(self._entries, (at, next(self._numbers), one))
            is_first, self._is_started = not self._is_started, True
            if at < self._sleeps_until:
                self._changed.notify()
        if is_first:
            self._begin()

    def over(self) -> None:
        """One of those that are watched is over."""
        with self._changed:
            self._over += 1
            if self._over >= SWEEP_LEAST and 2 * self._over > len(self._entries):
                self._entries = [entry for entry in self._entries if _is_current(entry)]
                heapq.heapify(self._entries)
                self._over = 0

    def end(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_ended = True
            self._changed.notify()

    def run(self) -> None:
        while (due := self._wait()) is not None:
            for one in due:
                try:
                    again = one.look(time.monotonic())
                except BaseException:  # the other deadlines must be kept
                    logger.exception("a deadline could not be kept; it is looked at again")
                    again = time.monotonic() + AGAIN
                if again is not None:
                    self.watch(one, again)

    def _begin(self) -> None:
        try:
            self._start(self.run)
        except RuntimeError:
            self._is_started = False  # the next job that has a deadline tries again
            logger.warning("the system starts no thread: no deadline is watched at present")

    def _wait(self) -> list[Watched] | None:
        """Wait until something is due. None: the engine has ended."""
        with self._changed:
            while not self._is_ended:
                now = time.monotonic()
                due = []
                while self._entries and (self._entries[0][0] <= now or not _is_current(self._entries[0])):
                    entry = heapq.heappop(self._entries)
                    if _is_current(entry):
                        due.append(entry[2])
                    elif entry[2].is_over:
                        self._over = max(0, self._over - 1)
                if due:
                    return due
                self._sleeps_until = self._entries[0][0] if self._entries else inf
                try:
                    self._changed.wait(min(self._sleeps_until - now, threading.TIMEOUT_MAX))
                finally:
                    self._sleeps_until = -inf
            return None


def own_thread() -> Deadlines:
    """Deadlines on a thread that nobody supervises, for tests of other parts."""
    return Deadlines(start=lambda run: threading.Thread(target=run, name="steve-deadlines", daemon=True).start())


def _is_current(entry: tuple[float, int, Watched]) -> bool:
    """Whether it is not over, and nobody has said another time since."""
    at, _, one = entry
    return at == one.at and not one.is_over
