"""Deletes jobs that ended long ago, and their attempts, in batches.

Each batch is a transaction of its own. What it deleted stays deleted, even if a later batch fails.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from steve.errors import shown


def prune(batch: Callable[[UUID | None], tuple[int, UUID | None]]) -> int:
    """Go through the table from the lowest uid to the highest. Returns how many jobs were deleted.

    `batch(after)` looks at the next jobs above the uid `after` (None: at the first ones) and deletes the old ones. It returns
    how many it deleted, and the last uid that it looked at (None: there was none).
    """
    total = 0
    last: UUID | None = None
    while True:
        count, last = batch(last)
        total += count
        if last is None:
            return total


def check_age(older_than: object) -> timedelta:
    """Returns the age. Raises TypeError or ValueError if it is none."""
    if not isinstance(older_than, timedelta):
        raise TypeError(f"older_than must be a datetime.timedelta, not {type(older_than).__name__}")
    if older_than < timedelta(0):
        raise ValueError(f"older_than must be 0 or more, not {shown(older_than)}")
    return older_than
