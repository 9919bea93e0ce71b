"""What is counted of the jobs of one queue and type."""

from __future__ import annotations

from steve.stats import BOUNDS

Lane = tuple[str, str]
"""Here a queue and a type."""

_BUCKETS = range(len(BOUNDS) + 1)


class LaneFigures:
    """What was counted of one queue and type."""

    __slots__ = ("cancelled", "completed", "crashed", "failed", "retried", "run", "run_seconds", "wait", "wait_seconds")

    def __init__(self) -> None:
        self.completed = self.failed = self.retried = self.crashed = self.cancelled = 0
        self.run_seconds = self.wait_seconds = 0.0
        self.run = [0 for _ in _BUCKETS]
        self.wait = [0 for _ in _BUCKETS]

    def add(self, other: LaneFigures) -> None:
        for name in ("completed", "failed", "retried", "crashed", "cancelled", "run_seconds", "wait_seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.run = [a + b for a, b in zip(self.run, other.run, strict=True)]
        self.wait = [a + b for a, b in zip(self.wait, other.wait, strict=True)]
