"""Turns rows into values, for all classes of statements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from steve._model import json as _json
from steve._model.claimed import Claimed, Settled
from steve.job import AttemptStatus, Job, Status

# The columns of a row have the order of the fields. tuple.__new__ takes half the time of Claimed(*row).
claimed_row: Callable[[tuple[Any, ...]], Claimed] = partial(tuple.__new__, Claimed)
settled_row: Callable[[tuple[Any, ...]], Settled] = partial(tuple.__new__, Settled)


def known(kind: type[Status] | type[AttemptStatus], text: str) -> Any:
    """The status as a member of `kind`; or as text, if newer code wrote a status that this version does not know."""
    return kind._value2member_map_.get(text, text)


def in_utc(at: Any) -> Any:
    """The time in UTC; None stays None. On our connections times are in UTC already, on a caller's they may be in any zone."""
    return at if at is None or at.tzinfo is UTC else at.astimezone(UTC)


def claim_order(job: Claimed) -> tuple[bool, int, datetime, int]:
    return not job.crashes, -job.priority, job.run_at, job.uid.int  # crashed jobs first: each was claimed for an idle worker


def job_row(row: tuple[Any, ...]) -> Job:
    """The Job of a row whose columns are FIELDS in execute.py."""
    given = dict(zip(Job.__slots__[:-1], row, strict=True))  # all but `duplicate`
    given["payload"] = _json.decode_or_text(given["payload"])
    given["result"] = None if given["result"] is None else _json.decode_or_text(given["result"])
    for name in ("tags", "metadata"):
        given[name] = {} if given[name] is None else _json.decode_or_text(given[name])
    given["status"] = known(Status, given["status"])
    return Job(**given | {name: in_utc(given[name]) for name in _TIMES})


_TIMES = ("created_at", "updated_at", "run_at", "claimed_at", "started_at", "completed_at", "expires_at", "cancel_asked_at")
