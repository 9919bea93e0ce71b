"""Jobs that ended long ago are deleted, and their rows in the log with them: in batches, each a transaction of its own.

`JobManager.prune` is this. What a batch deleted stays deleted, whatever becomes of those after it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from .errors import shown

PRUNE_MOST = 1_000
"""Jobs that a batch looks at."""


def prune(batch: Callable[[int, int], tuple[int, int | None]]) -> int:
    """How many jobs were deleted, from the lowest id up to the end of the table.

    `batch(after, most)`: delete among the next `most` jobs above the id `after`; how many, and the last id of these.
    """
    total = 0
    last: int | None = 0
    while last is not None:
        count, last = batch(last, PRUNE_MOST)
        total += count
    return total


def check_age(older_than: object) -> timedelta:
    """Raises TypeError or ValueError for what is no age."""
    if not isinstance(older_than, timedelta):
        raise TypeError(f"older_than must be a datetime.timedelta, not {type(older_than).__name__}")
    if older_than < timedelta(0):
        raise ValueError(f"older_than must be 0 or more, not {shown(older_than)}")
    return older_than
