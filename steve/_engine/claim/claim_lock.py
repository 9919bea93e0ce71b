"""The claim lock: one claim at a time."""

from __future__ import annotations

import threading
from types import TracebackType


class ClaimLock:
    """Held while a claim's statement runs. It protects the connection for claims, and what the methods of the schedule
    below the heading "under the claim lock" change.

    Lock order: the claim lock, then the locks of the schedule and of the outage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_held = False
        """A claim is under way. Written by the holder of the lock, read by any thread."""

    def acquire(self) -> bool:
        """Take the lock without waiting. Returns False if another thread has it."""
        if not self._lock.acquire(blocking=False):
            return False
        self.is_held = True
        return True

    def release(self) -> None:
        self.is_held = False
        self._lock.release()

    def __enter__(self) -> None:
        """Wait for the lock and take it."""
        self._lock.acquire()
        self.is_held = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
