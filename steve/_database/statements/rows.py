"""Turns rows into values, for all classes of statements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from steve._model import json as _json
from steve._model.claimed import Claimed, Settled
from steve.job import AttemptStatus, Draft, Job, Progress, Status, sealed

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


def job_row(row: tuple[Any, ...], *, duplicate: bool = False) -> Job:
    """The Job of a row whose columns are JOB in fragments.py."""
    (
        uid, queue, type, priority, payload, result, error, status, attempts, crashes, max_attempts, backoff_strategy,
        created_at, updated_at, run_at, claimed_at, started_at, completed_at,
        unique, tags, metadata, timeout, expires_at, cancel_asked_at, progress,
    ) = row  # fmt: skip
    read = _json.decode_or_text
    draft = Draft(
        uid, queue, type, priority, read(payload), None if result is None else read(result), error, known(Status, status),
        attempts, crashes, max_attempts, backoff_strategy, in_utc(created_at), in_utc(updated_at), in_utc(run_at),
        in_utc(claimed_at), in_utc(started_at), in_utc(completed_at), unique, {} if tags is None else read(tags),
        {} if metadata is None else read(metadata), timeout, in_utc(expires_at), in_utc(cancel_asked_at), duplicate,
        None if progress is None else progress_of(progress),
    )  # fmt: skip
    return sealed(draft)


def progress_of(text: str) -> Progress:
    """The Progress of the JSON text in the column `progress` of JOB."""
    done, total, note, at = _json.decode(text)
    return Progress(float(done), None if total is None else float(total), note, in_utc(datetime.fromisoformat(at)))
