"""Checks the arguments of `find`, `history` and `fetch_all`, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from steve._client.options import tags_text
from steve._database.statements.jobs import Page
from steve._model.names import check_name
from steve._model.times import check_time
from steve.errors import InvalidJob, shown
from steve.job import Job, Status

PAGE_MOST = 10_000


def uid_of(job: object) -> UUID:
    """The uid of a job that is given as a Job, a UUID or a str. Raises TypeError or ValueError."""
    if isinstance(job, Job):
        return job.uid
    if isinstance(job, UUID):
        return job
    if isinstance(job, str):
        try:
            return UUID(job)
        except ValueError:
            raise ValueError(f"a job's uid must be a UUID, not {shown(job)}") from None
    raise TypeError(f"job must be a Job, its uid or that as a str, not {type(job).__name__}")


class Listed(NamedTuple):
    """What else is true of the jobs to list, as the caller gave it."""

    error: object = None
    created_before: object = None
    created_after: object = None
    ended_before: object = None
    ended_after: object = None


def page(status: object, type: object, queue: object, tags: object, limit: object, before: object, more: Listed) -> Page:
    """The page to list. Raises TypeError or ValueError for the first argument that is wrong."""
    if status is not None and status not in list(Status):
        raise ValueError(f"status must be one of {', '.join(Status)} or None, not {shown(status)}")
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit must be an int, not {limit.__class__.__name__}")
    if not 1 <= limit <= PAGE_MOST:
        raise ValueError(f"limit must be between 1 and {PAGE_MOST}, not {shown(limit)}")
    if before is not None and not isinstance(before, Job):
        raise TypeError(f"before must be a Job (the last of the page before) or None, not {before.__class__.__name__}")
    return Page(
        None if status is None else str(status),
        _name("type", type),
        _name("queue", queue),
        limit,
        None if before is None else before.uid,
        check_tags(tags),
        None if more.error is None else check_error(more.error),
        *(None if at is None else check_time(name, at) for name, at in zip(more._fields[1:], more[1:], strict=True)),
    )


def check_error(error: object) -> str:
    """A text that a job's error contains. Raises TypeError or ValueError."""
    if not isinstance(error, str):
        raise TypeError(f"error must be a str, not {error.__class__.__name__}")
    if not error or "\x00" in error or any("\ud800" <= c <= "\udfff" for c in error):
        raise ValueError(f"error must be text without NUL characters and lone surrogates, not {shown(error)}")
    return str.__str__(error)


def check_tags(tags: object) -> str | None:
    """The tags as JSON text; None: whatever tags. Raises TypeError or ValueError."""
    if tags is not None and not isinstance(tags, Mapping):
        raise TypeError(f"tags must be a dict of names to str, int or bool, or None, not {tags.__class__.__name__}")
    try:
        return tags_text(tags)
    except InvalidJob as error:
        raise ValueError(str(error)) from None


def _name(what: str, name: object) -> str | None:
    return None if name is None else check_name(what, name)
