"""Turns rows into values, for all sets of statements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from steve._model.claimed import Claimed, Settled
from steve.job import AttemptStatus, Status

# The columns of a row have the order of the fields. This takes half the time of Claimed(*row).
claimed_row: Callable[[tuple[Any, ...]], Claimed] = partial(tuple.__new__, Claimed)
settled_row: Callable[[tuple[Any, ...]], Settled] = partial(tuple.__new__, Settled)


def known(kind: type[Status] | type[AttemptStatus], text: str) -> Any:
    """Newer code may have written a status that this version does not know: it stays text."""
    return kind._value2member_map_.get(text, text)


def in_utc(at: Any) -> Any:
    """A time, or None. On connections of ours it is in UTC already, on a caller's it may be in any zone."""
    return at if at is None or at.tzinfo is UTC else at.astimezone(UTC)


def claim_order(job: Claimed) -> tuple[bool, int, datetime, int]:
    return not job.crashes, -job.priority, job.run_at, job.id  # those that crashed first: there is a worker for each
