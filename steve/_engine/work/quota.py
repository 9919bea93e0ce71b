"""How many jobs may still begin in this process: `run(max_jobs=...)`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count


class Quota:
    def __init__(self, *, most: int, on_used_up: Callable[[], None]) -> None:
        """`on_used_up()`: called by the worker that is about to begin the last job."""
        self._most = most
        self._on_used_up = on_used_up
        self._numbers = count(1)  # next() is atomic
        self.is_used_up = False

    def take(self) -> bool:
        """A job is about to begin. Returns whether it may."""
        number = next(self._numbers)
        if number == self._most:
            self.is_used_up = True
            self._on_used_up()
        return number <= self._most
