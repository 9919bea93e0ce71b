"""How long a loop waits before it tries to reach the database again."""

from __future__ import annotations

import time
from collections.abc import Callable

from steve._model.tuning import Tuning
from steve._runtime.chance import chance


class Backoff:
    """A wait that doubles from `backoff_first` up to `backoff_most`. Each loop has a Backoff of its own."""

    def __init__(self, tuning: Tuning, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = self._delay = tuning.backoff_first
        self._most = tuning.backoff_most
        self._clock = clock
        self._over_at = 0.0
        """When the last wait was due to end and the next try to begin, by `clock`."""

    def next(self) -> float:
        """Seconds to wait: up to half more or less, at random, so that processes do not try again in step.

        The time that the last try took counts as part of the wait: if an attempt to connect had no answer for ten seconds, the
        database may be back already.
        """
        delay, self._delay = self._delay, min(self._delay * 2, self._most)
        now = self._clock()
        took = max(now - self._over_at, 0.0)
        seconds = max(delay - took, self._first) * chance.uniform(0.5, 1.5)
        self._over_at = now + seconds
        return seconds

    def reset(self) -> None:
        self._delay = self._first
