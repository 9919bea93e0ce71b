"""A brake on who fills a queue: on when the queue is full, off again when half of it is gone.

The pile has one for the workers, the dispatcher one for the claims.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Brake:
    """`level()` says how full the queue is: 1.0 is full. `on_full()` is called each time that the brake comes on."""

    def __init__(self, level: Callable[[], float], on_full: Callable[[], None] = lambda: None) -> None:
        self._level = level
        self._on_full = on_full
        self._lock = threading.Lock()  # one who fills turns it on, not all of them at once
        self._off = threading.Event()
        self._off.set()

    def check(self) -> bool:
        """By who fills: turns it on if the queue is full. Whether it is on."""
        if self._off.is_set() and self._level() >= 1.0:
            with self._lock:
                came_on = self._off.is_set()
                self._off.clear()
            # Looked at once more: who empties may have passed the half between the look and the clear, and not come again.
            self.ease()
            if came_on and not self._off.is_set():
                self._on_full()
        return not self._off.is_set()

    def ease(self) -> None:
        """Called by who empties, after each bite."""
        if not self._off.is_set() and self._level() <= 0.5:
            self._off.set()

    def wait(self, seconds: float) -> None:
        """Until it is off, at most so long."""
        self._off.wait(seconds)
