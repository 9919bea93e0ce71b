"""Failures: failed jobs with one error. `failures()` returns them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed jobs of one type whose errors are the same but for numbers, uuids and quoted texts."""

    type: str
    error: str
    """Their error, its first 2,000 characters, with … for what differs between them."""
    jobs: int
    """How many there are."""
    first: datetime
    """When the first of them failed."""
    last: datetime
    sample: UUID
    """The uid of one of them, the newest."""
    part: str
    """The longest part that all their errors have and that a person can type: for `retry_all(error=)` and its siblings. It may
    be empty, and errors of other groups may have it, too."""
