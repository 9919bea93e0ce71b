"""Deletes jobs that ended long ago, and their attempts, in batches.

Each batch is a transaction of its own. What it deleted stays deleted, even if a later batch fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from steve._client.lookup import check_tags
from steve._database.statements.jobs import Old
from steve._model.control import ENDED
from steve._model.names import check_name
from steve.errors import shown as _shown


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


def checked(older_than: object, status: object, type: object, tags: object) -> Old:
    """Which jobs to delete. Raises TypeError or ValueError for the first argument that is wrong."""
    age = check_age(older_than)
    if status is not None and status not in ENDED:
        raise ValueError(f"status must be one of {', '.join(ENDED)} or None, not {_shown(status)}: other jobs have not ended")
    statuses = ENDED if status is None else (status,)
    ages = {str(one): age for one in statuses}
    return Old(ages, None if type is None else check_name("type", type), check_tags(tags))


def shown(old: Old) -> dict[str, object]:
    """For the audit."""
    chosen = {"type": old.type, "tags": None if old.tags is None else json.loads(old.tags)}
    return {"older_than": old.ages} | {name: value for name, value in chosen.items() if value is not None}


def check_age(older_than: object) -> timedelta:
    """Returns the age. Raises TypeError or ValueError if it is none."""
    if not isinstance(older_than, timedelta):
        raise TypeError(f"older_than must be a datetime.timedelta, not {type(older_than).__name__}")
    if older_than < timedelta(0):
        raise ValueError(f"older_than must be 0 or more, not {_shown(older_than)}")
    return older_than
