"""Which loops cannot use the database at present. All loops of an engine share one `Outage`, which keeps the log short."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from steve._database.failures import DatabaseFailure, Misconfigured
from steve._runtime.log import logger


class Outage:
    """Logs one line when an outage begins, at most one a second while it lasts, and one at its end."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # protects the four below; only the clock is called under it
        self._failing: set[str] = set()
        self._since = 0.0
        self._quiet_until = 0.0
        self._was_logged = False

    def failed(self, loop: str, error: Exception) -> None:
        now = self._clock()
        with self._lock:
            if not self._failing:
                self._since, self._was_logged = now, False
            self._failing.add(loop)
            speak = now >= self._quiet_until
            if speak:
                self._quiet_until, self._was_logged = now + 1.0, True
        if speak:
            level = logging.ERROR if isinstance(error, Misconfigured) else logging.WARNING
            text = error if isinstance(error, DatabaseFailure) else type(error).__name__  # any other error may quote data
            logger.log(level, "%s cannot use the database and will try again: %s", loop, text)

    def worked(self, loop: str) -> None:
        if loop not in self._failing:  # read without the lock: only this loop adds or removes its name
            return
        with self._lock:
            self._failing.discard(loop)
            is_over = not self._failing and self._was_logged
        if is_over:
            logger.warning("the database is back after %.1f s", self._clock() - self._since)

    def now(self) -> tuple[list[str], float]:
        """Returns the loops that fail now, and for how many seconds the outage has lasted."""
        with self._lock:
            return sorted(self._failing), self._clock() - self._since if self._failing else 0.0
