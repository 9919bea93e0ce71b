"""Pause: which jobs no process begins until somebody resumes them. `pause()` makes it, and `paused()` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """What keeps jobs from beginning: those of a queue, of a type, of a type in a queue, or all."""

    queue: str | None
    """None: the jobs of every queue."""
    type: str | None
    """None: the jobs of every type."""
    since: datetime
    """When they were paused, by the database's clock."""
    until: datetime | None
    """When they go on by themselves. None: when somebody resumes them."""
    reason: str | None
    by: str | None
    """Who paused them: the actor of `acting_as()`. None: nobody was acting."""
