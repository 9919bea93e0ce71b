"""The claim lock: one claim at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class ClaimLock:
    """Held while a claim's statement runs. It protects the connection for claims, and what the methods of the schedule
    below the heading "under the claim lock" change.

    Lock order: the claim lock, then the locks of the schedule and of the outage. A thread that holds the lock of one claimer
    never waits for that of another.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.since = 0.0
        """When it was last taken, by the clock."""
        self.is_held = False
        """A claim is under way. Written by the holder of the lock, read by any thread."""

    def acquire(self) -> bool:
        """Take the lock without waiting. Returns False if another thread has it."""
        if not self._lock.acquire(blocking=False):
            return False
        self._taken()
        return True

    def acquire_for_good(self) -> None:
        """Wait for the lock and keep it: no claim follows."""
        self._lock.acquire()
        self._taken()

    def _taken(self) -> None:
        self.since = self._clock()
        self.is_held = True

    def release(self) -> None:
        self.is_held = False
        self._lock.release()
