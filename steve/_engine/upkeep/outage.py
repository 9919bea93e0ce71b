"""Which loops cannot use the database at present. All loops of an engine share one `Outage`, which keeps the log short.

The loops of the pools have the same names. So each pool has a part of the outage: while one pool works, the others may fail.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from steve._database.failures import DatabaseFailure, Misconfigured
from steve._runtime.log import logger


class OutagePort(Protocol):
    """The outage, as a loop sees it."""

    def failed(self, loop: str, error: Exception) -> None: ...

    def worked(self, loop: str) -> None: ...


class OutagePart:
    """What the loops of one pool report."""

    def __init__(self, *, outage: Outage) -> None:
        self._outage = outage

    def failed(self, loop: str, error: Exception) -> None:
        self._outage.failed(loop, error, self)

    def worked(self, loop: str) -> None:
        self._outage.worked(loop, self)

    def end(self) -> None:
        """The pool has ended: its loops fail no more."""
        self._outage.forget(self)


class Outage:
    """Logs one line when an outage begins, at most one a second while it lasts, and one at its end."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # protects the four below; only the clock is called under it
        self._failing: dict[tuple[str, OutagePart | None], float] = {}  # since when
        self._since = 0.0
        self._quiet_until = 0.0
        self._was_logged = False

    def failed(self, loop: str, error: Exception, part: OutagePart | None = None) -> None:
        """`part`: of the pool whose loop it is; None: the engine has one such loop."""
        now = self._clock()
        with self._lock:
            if not self._failing:
                self._since, self._was_logged = now, False
            self._failing.setdefault((loop, part), now)
            speak = now >= self._quiet_until
            if speak:
                self._quiet_until, self._was_logged = now + 1.0, True
        if speak:
            level = logging.ERROR if isinstance(error, Misconfigured) else logging.WARNING
            text = error if isinstance(error, DatabaseFailure) else type(error).__name__  # any other error may quote data
            logger.log(level, "%s cannot use the database and will try again: %s", loop, text)

    def worked(self, loop: str, part: OutagePart | None = None) -> None:
        if (loop, part) not in self._failing:  # read without the lock: only this loop adds or removes its name
            return
        with self._lock:
            self._failing.pop((loop, part), None)
            is_over = not self._failing and self._was_logged
        if is_over:
            logger.warning("the database is back after %.1f s", self._clock() - self._since)

    def forget(self, part: OutagePart) -> None:
        with self._lock:
            self._failing = {key: since for key, since in self._failing.items() if key[1] is not part}

    def now(self, *, without: Collection[tuple[str, OutagePart]] = ()) -> tuple[list[str], float]:
        """Returns the loops that fail now, `without` those of some pools, and for how many seconds one of them has failed."""
        with self._lock:
            failing = {key: since for key, since in self._failing.items() if key not in without}
            return sorted({loop for loop, _ in failing}), self._clock() - min(failing.values()) if failing else 0.0
