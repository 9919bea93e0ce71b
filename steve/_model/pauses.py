"""Which jobs a pause holds back. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Paused(NamedTuple):
    """The jobs of this queue and of this type; None: of every one."""

    queue: str | None
    type: str | None

    def covers(self, queue: str, type: str) -> bool:
        """Whether a job of this queue and type is held back."""
        return (self.queue is None or self.queue == queue) and (self.type is None or self.type == type)

    def concerns(self, queues: Collection[str] | None, types: Collection[str] | None) -> bool:
        """Whether it may hold back a job of these queues and types. None: of all."""
        return (self.queue is None or queues is None or self.queue in queues) and (
            self.type is None or types is None or self.type in types
        )

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
