"""Statements for jobs whose `unique` no other job may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.caller import AnyConnection, Caller
from steve._database.execute import read_statement
from steve._database.literals import array, text_array
from steve._database.portable import Portable, row_of
from steve._database.statements.jobs import Insert, Inserted, Options, inserted_row, json_array
from steve._database.statements.rows import job_row
from steve._database.statements.script import Script
from steve.job import Job


class Found(NamedTuple):
    """What stands for jobs that were not inserted."""

    made: dict[int, Inserted]
    """The jobs that an earlier try has stored: the numbers of their uids, and what the database added."""
    replaced: dict[int, Job | None]
    """The jobs that an earlier try has changed, by the number of the create's uid. None: it was deleted."""
    open: dict[str, Job]
    """The jobs that have not ended, by their keys."""
    windows: dict[str, tuple[UUID, Job | None]]
    """By their keys the jobs whose windows are not over. None: it was deleted."""


class Replaced(NamedTuple):
    job: Job
    is_new: bool
    """Whether the job was stored beside the one that had the key and runs. Otherwise it is that one, changed."""


class Answer(NamedTuple):
    """What create_unique_jobs.sql says about a job. A job may have several answers: the first one counts."""

    asked: int
    """The number of the uid of the create."""
    kind: str
    """stored, changed, open or window."""
    held: UUID | None
    """The job that has the key, or had it."""
    row: tuple[Any, ...] | None
    """The columns of Inserted if the job was stored, else those of a job. None: it was deleted."""


class UniqueStatements:
    """As JobStatements, these prepare no statement that looks for jobs. But if it is for one job, on a connection of ours, they
    keep its plan for a few seconds.

    `sparing`: the statement is part of a caller's transaction, whose commit must not fail because of a notification.
    """

    def __init__(self, script: Script) -> None:
        many, one = (read_statement(token, script.schema) for token in ("{given}", "{given_one}"))
        texts = {f"{name} for one": script.text(name).replace(many, one) for name in ("insert_unique_jobs", "replace_jobs")}
        self._script = script.with_texts(texts)

    def insert_unique_jobs(
        self, connection: AnyConnection, jobs: Sequence[Insert], notify: bool, *, sparing: bool
    ) -> dict[int, Inserted]:
        """Insert the jobs whose keys are free. Returns what the database added to each of those, by the number of its uid."""
        rows = self._send(connection, "insert_unique_jobs", jobs, {}, notify, sparing)
        return {row[0].int: inserted_row(row[1:]) for row in rows}

    def replace_jobs(
        self, connection: AnyConnection, jobs: Sequence[Insert], notify: bool, *, sparing: bool, keep: float
    ) -> dict[int, Replaced]:
        """Returns what was changed or stored in place of each of these jobs whose key is held by a job that has not ended.

        `keep`: for how many seconds the create may be sent again. Raises Refused with SQLSTATE 23505 if an earlier try has
        changed a job.
        """
        rows = self._send(connection, "replace_jobs", jobs, {"keep": keep}, notify, sparing)
        return {row[0].int: Replaced(job_row(row[2:-1], duplicate=row[1]), not row[1]) for row in rows}

    def insert_statement(self, job: Insert, notify: bool, style: str) -> tuple[Portable, dict[str, Any]]:
        """As that of JobStatements, for a job with a window."""
        more = {"notify": notify, "sparing": True, "channel": self._script.channel}
        return self._script.portable("insert_unique_jobs", style, in_json=False), arrays([job]) | more

    def create_unique_jobs(self, connection: Caller, jobs: Sequence[Insert], notify: bool) -> list[Answer]:
        """Do in one statement of another driver's what the other methods do for these jobs."""
        parameters = {"jobs": json_array(jobs), "notify": notify, "channel": self._script.channel}
        rows = self._script.rows(connection, "create_unique_jobs", parameters)
        return [Answer(asked.int, kind, held, None if found is None else row_of(found)) for asked, kind, held, found in rows]

    def find_holder(self, connection: AnyConnection, key: str, *, sparing: bool) -> Job | None:
        """The job with this key that has not ended."""
        rows = self._rows(connection, "find_holder", {"key": key}, is_one=not sparing)
        return job_row(rows[0], duplicate=True) if rows else None

    def find_unique(self, connection: AnyConnection, jobs: Sequence[Insert], *, sparing: bool, resent: bool) -> Found:
        """`resent`: an earlier try may have been carried out, so look also for what it has made or changed."""
        parameters = {
            "uids": _uids(jobs) if resent else "{}",
            "keys": text_array([job.key for job in jobs if job.key is not None]),
        }
        found = Found({}, {}, {}, {})
        rows = self._rows(connection, "find_unique", parameters, is_one=len(jobs) == 1 and not sparing)
        for precedence, asked, key, held, *columns in rows:
            job = job_row(tuple(columns), duplicate=True) if columns[0] is not None else None
            if precedence == 1:
                found.windows[key] = held, job
            elif precedence == 3:
                found.replaced[asked.int] = job
            elif job is not None and precedence == 2:
                found.open[key] = job
            elif job is not None:
                found.made[asked.int] = Inserted(job.created_at, job.updated_at, job.run_at, job.expires_at)
        return found

    def close_windows(self, connection: AnyConnection, jobs: Sequence[Insert]) -> None:
        """End the windows that these creates have opened without making a job."""
        keys = text_array([job.key for job in jobs])
        parameters = {"keys": keys, "uids": _uids(jobs)}
        self._script.rows(connection, "close_windows", parameters, prepare=False)

    def clean_windows(self, connection: AnyConnection, most: int) -> int:
        """Delete up to `most` windows that are over, and as many old notes about replaced jobs. Returns how many rows of one
        kind were deleted, at most."""
        count: int = self._script.rows(connection, "clean_windows", {"n": most})[0][0]
        return count

    def _send(
        self,
        connection: AnyConnection,
        name: str,
        jobs: Sequence[Insert],
        more: dict[str, Any],
        notify: bool,
        sparing: bool,
    ) -> list[tuple[Any, ...]]:
        is_one = len(jobs) == 1 and not isinstance(connection, Caller)
        more = more | {"sparing": sparing, "channel": self._script.channel}
        parameters = (scalars(jobs[0]) if is_one else arrays(jobs)) | more
        text = f"{name} for one" if is_one else name

        def send(notify: bool) -> list[tuple[Any, ...]]:
            return self._rows(connection, text, parameters | {"notify": notify}, is_one=is_one and not sparing)

        return send(notify) if sparing else self._script.with_notification(connection, notify, send)

    def _rows(self, connection: AnyConnection, name: str, parameters: dict[str, Any], *, is_one: bool) -> list[tuple[Any, ...]]:
        """`is_one`: the statement is for one job, on a connection of ours."""
        if is_one and not isinstance(connection, Caller):
            return self._script.young_rows(connection, name, parameters)
        return self._script.rows(connection, name, parameters, prepare=False)


def arrays(jobs: Sequence[Insert]) -> dict[str, Any]:
    """The parameters that make the rows of `given` in insert_unique_jobs.sql, replace_jobs.sql and fire_schedules.sql."""
    *terms, run_ats, options = zip(*(job.terms for job in jobs), strict=True)
    queues, types, priorities, max_attempts, strategies, bases, maxes, jitters = terms
    all_options = zip(*(one or _NONE for one in options), strict=True)
    delays, keys, _, windows, tags, metadata, expires_ats, expires_ins, timeouts = all_options
    return {
        "uids": _uids(jobs),
        "payloads": text_array([job.payload for job in jobs]),
        "queues": _column(text_array, queues),
        "types": _column(text_array, types),
        "priorities": _column(array, priorities),
        "max_attempts": _column(array, max_attempts),
        "strategies": _column(text_array, strategies),
        "bases": _column(array, bases),
        "maxes": _column(array, maxes),
        "jitters": _column(array, jitters),
        "run_ats": _column(times, run_ats),
        "delays": _column(array, delays),
        "keys": text_array(keys),
        "windows": _column(array, windows),
        "tags": _column(text_array, tags),
        "metadata": _column(text_array, metadata),
        "timeouts": _column(array, timeouts),
        "expires_ats": _column(times, expires_ats),
        "expires_ins": _column(array, expires_ins),
    }


def scalars(job: Insert) -> dict[str, Any]:
    """The same for one job: see GIVEN_ONE."""
    terms, options = job.terms, job.terms.options or _NONE
    return {
        "uid": job.uid,
        "payload": job.payload,
        "queue": terms.queue,
        "type": terms.type,
        "priority": terms.priority,
        "max_attempts": terms.max_attempts,
        "strategy": terms.backoff_strategy,
        "base": terms.backoff_base,
        "max": terms.backoff_max,
        "jitter": terms.backoff_jitter,
        "run_at": terms.run_at,
        "delay": options.delay,
        "key": options.unique,
        "window": options.unique_for,
        "tags": options.tags,
        "metadata": options.metadata,
        "timeout": options.timeout,
        "expires_at": options.expires_at,
        "expires_in": options.expires_in,
    }


_NONE = Options()


def _column(write: Callable[[Sequence[Any]], str], values: Sequence[Any]) -> str:
    """The array of the values. Most columns have one value in all rows, and those of options often have none: then the array is
    empty, and unnest() fills it up."""
    first = values[0]
    if len(values) == 1 or values.count(first) < len(values):
        return write(values)
    return "{}" if first is None else "{" + ",".join([write([first])[1:-1]] * len(values)) + "}"


def times(values: Sequence[datetime | None]) -> str:
    return text_array([None if value is None else value.isoformat(" ") for value in values])


def _uids(jobs: Sequence[Insert]) -> str:
    return "{" + ",".join(["%032x" % job.uid_number for job in jobs]) + "}"  # noqa: UP031 - takes half the time
