"""Deletes jobs that ended long ago, and their attempts, in batches. Each batch is a transaction: what it deleted stays deleted,
whatever becomes of the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from steve.errors import shown


def prune(batch: Callable[[int], tuple[int, int | None]]) -> int:
    """Go from the lowest id up to the end of the table. Returns how many jobs were deleted.

    `batch(after)` deletes among the next jobs above the id `after`. It returns how many, and the last id that it looked at;
    None: there was none.
    """
    total = 0
    last: int | None = 0
    while last is not None:
        count, last = batch(last)
        total += count
    return total


def check_age(older_than: object) -> timedelta:
    """Raises TypeError or ValueError for what is no age."""
    if not isinstance(older_than, timedelta):
        raise TypeError(f"older_than must be a datetime.timedelta, not {type(older_than).__name__}")
    if older_than < timedelta(0):
        raise ValueError(f"older_than must be 0 or more, not {shown(older_than)}")
    return older_than
