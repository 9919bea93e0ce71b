"""What the loops do while the database is away: wait longer and longer, and say it once, not at every try.

Each loop of the engine has its own `Backoff`; all of a process share one `Outage`, which keeps the log short.
"""

from __future__ import annotations

import logging
import threading
import time

from ._chance import chance
from ._log import logger
from .errors import Misconfigured, Trouble
from .settings import BACKOFF_FIRST, BACKOFF_MOST


class Backoff:
    """How long one loop waits before its next try."""

    def __init__(self) -> None:
        self._delay = BACKOFF_FIRST
        self._over_at = 0.0
        """time.monotonic() when the last wait was over, and a try began."""

    def next(self) -> float:
        """Seconds: doubling from a tenth to two, half more or less by chance, so that processes do not come back in step.

        What the try took counts: an attempt to connect that had no answer for ten seconds has waited, and what it waited for
        may be back.
        """
        delay, self._delay = self._delay, min(self._delay * 2, BACKOFF_MOST)
        now = time.monotonic()
        took = max(now - self._over_at, 0.0)
        seconds = max(delay - took, BACKOFF_FIRST) * chance.uniform(0.5, 1.5)
        self._over_at = now + seconds
        return seconds

    def reset(self) -> None:
        self._delay = BACKOFF_FIRST


class Outage:
    """Which loops cannot reach the database: one line when that begins, one a second at most while it lasts, one at its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects the four below; held for no longer than it takes to read and write them
        self._failing: set[str] = set()
        self._since = 0.0
        self._quiet_until = 0.0
        self._said = False

    def failed(self, loop: str, error: Exception) -> None:
        now = time.monotonic()
        with self._lock:
            if not self._failing:
                self._since, self._said = now, False
            self._failing.add(loop)
            speak = now >= self._quiet_until
            if speak:
                self._quiet_until, self._said = now + 1.0, True
        if speak:
            level = logging.ERROR if isinstance(error, Misconfigured) else logging.WARNING
            text = error if isinstance(error, Trouble) else type(error).__name__  # what else it may be may quote data
            logger.log(level, "%s cannot use the database and will try again: %s", loop, text)

    def now(self) -> tuple[list[str], float]:
        """Which loops fail now, and for how many seconds the one that began it."""
        with self._lock:
            return sorted(self._failing), time.monotonic() - self._since if self._failing else 0.0

    def worked(self, loop: str) -> None:
        if loop not in self._failing:  # without the lock: each loop reads what only it adds
            return
        with self._lock:
            self._failing.discard(loop)
            over = not self._failing and self._said
        if over:
            logger.warning("the database is back after %.1f s", time.monotonic() - self._since)
