"""Whether anybody, in any process, waits for jobs to end. Only then does a settlement send a notification of its own.

The processes that wait write that into the table `waiter` and send a notification (announce_waiter.sql). The notifier hears it.
If it is lost, or was sent before this process started, the heartbeat reads the table with its next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST = 60.0
"""A notification can name any number of seconds, since anybody may send one. More than this are not believed."""


class Awaited:
    """From any thread. Assignments of one value need no lock."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0

    def hear(self, seconds: float | None) -> None:
        """Somebody waits for so many seconds from now on. None: nobody does, as far as can be told."""
        if seconds is not None:
            self._until = max(self._until, self._clock() + min(seconds, LONGEST))

    def now(self) -> bool:
        return self._clock() < self._until
