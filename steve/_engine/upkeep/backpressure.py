"""Holds up the threads that fill a queue, from when it is full until half of it is gone.

The settler's queue holds up the workers in this way, and the dispatcher's queue holds up the claims.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Backpressure:
    """Engaged when the queue is full, released when half of it is gone."""

    def __init__(self, *, level: Callable[[], float], on_full: Callable[[], None] = lambda: None) -> None:
        """`level()` says how full the queue is: 1.0 is full. `on_full()` is called each time the backpressure begins."""
        self._level = level
        self._on_full = on_full
        # Protects the clearing of _released, so that only one of the filling threads calls on_full(). Nothing is called under
        # it.
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._released.set()

    def engage_if_full(self) -> bool:
        """For the threads that fill the queue. Returns whether the backpressure is on."""
        if self._released.is_set() and self._level() >= 1.0:
            with self._lock:
                began = self._released.is_set()
                self._released.clear()
            # Between the look at the level and clear(), the thread that empties the queue may have taken the last batch. It
            # may not come again soon, so call this here too: otherwise the waiting threads would stay held up.
            self.release_if_drained()
            if began and self.is_engaged():
                self._on_full()
        return self.is_engaged()

    def is_engaged(self) -> bool:
        return not self._released.is_set()

    def release_if_drained(self) -> None:
        """For the thread that empties the queue, after each batch."""
        if not self._released.is_set() and self._level() <= 0.5:
            self._released.set()

    def wait(self, seconds: float) -> None:
        """Wait until the backpressure is off, at most so many seconds."""
        self._released.wait(seconds)
