"""Which jobs a pause holds back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple


class Paused(NamedTuple):
    """The jobs of this queue and of this type; None: of every one."""

    queue: str | None
    type: str | None

    def covers(self, queue: str, type: str) -> bool:
        """Whether a job of this queue and type is held back."""
        return (self.queue is None or self.queue == queue) and (self.type is None or self.type == type)

    def concerns(self, serves: Callable[[str], bool], types: Collection[str] | None) -> bool:
        """Whether it may hold back a job of the queues for which `serves(queue)` is true, and of these types. None: of all."""
        return (self.queue is None or serves(self.queue)) and (self.type is None or types is None or self.type in types)

    def covers_all(self) -> bool:
        return self.queue is None and self.type is None


class PauseInForce(NamedTuple):
    """A pause as a look at the tables shows it."""

    queue: str | None
    type: str | None
    seconds: float | None
    """How many are left. None: it lasts until somebody resumes."""

    def paused(self) -> Paused:
        return Paused(self.queue, self.type)
