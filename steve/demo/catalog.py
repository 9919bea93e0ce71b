"""The catalog, which every job of the demo needs. It is closed for a moment, like a service that is down.

The handlers in measure.py enter their files. A job that finds the catalog closed raises, and steve tries the job again.
"""

import threading
import time


class CatalogClosed(Exception):
    """The catalog takes no entries at present. The message says for how long it is closed in total."""


class Catalog:
    """The digest of each file that was measured. It closes once, for `seconds`, when it has `closes_after` entries."""

    def __init__(self, closes_after: int, seconds: float) -> None:
        self._closes_after = closes_after
        self._seconds = seconds
        self._lock = threading.Lock()  # protects the two below; nothing is called under it
        self._entries: dict[str, str] = {}
        self._opens_at: float | None = None  # None: it has not closed yet

    def __len__(self) -> int:
        return len(self._entries)

    def enter(self, path: str, digest: str) -> None:
        """Adds a file, or replaces its entry: a job may run more than once. Raises CatalogClosed."""
        with self._lock:
            now = time.monotonic()
            if self._opens_at is None and len(self._entries) >= self._closes_after:
                self._opens_at = now + self._seconds
            if self._opens_at is not None and now < self._opens_at:
                raise CatalogClosed(f"closed for {self._seconds:g} s")
            self._entries[path] = digest
