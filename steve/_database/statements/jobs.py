"""Statements that create, find and prune jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from steve._database.caller import AnyConnection, Caller
from steve._database.execute import Cursor
from steve._database.failures import Connection, Refused, Unexplained, translated
from steve._database.literals import copied, uuid_array
from steve._database.portable import Portable
from steve._database.statements.rows import in_utc, job_row, known
from steve._database.statements.script import Script
from steve._model import json as _json
from steve.errors import SteveError
from steve.job import Attempt, AttemptStatus, Job

T = TypeVar("T")

COPY_ROWS = 1_000
"""How many rows of a COPY are sent at a time."""


class Options(NamedTuple):
    """What few new jobs have. Durations are in seconds."""

    delay: float | None = None
    unique: str | None = None
    on_conflict: str = "return"
    unique_for: float | None = None
    tags: str | None = None
    """JSON text."""
    metadata: str | None = None
    """JSON text."""
    expires_at: datetime | None = None
    expires_in: float | None = None
    timeout: float | None = None


class Terms(NamedTuple):
    """All of a new job except its uid and its payload. Many jobs may share one value."""

    queue: str
    type: str
    priority: int
    max_attempts: int
    backoff_strategy: str
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    run_at: datetime | None
    options: Options | None = None


class Insert(NamedTuple):
    """A new job as it is sent."""

    uid_number: int
    """The uid as an integer. For many jobs, the UUIDs are made while PostgreSQL reads the COPY."""
    payload: str
    """JSON text."""
    terms: Terms

    @property
    def uid(self) -> UUID:
        return UUID(int=self.uid_number)

    @property
    def key(self) -> str | None:
        """The `unique` of the job."""
        return None if self.terms.options is None else self.terms.options.unique

    @property
    def window(self) -> float | None:
        """The `unique_for` of the job, in seconds."""
        return None if self.terms.options is None else self.terms.options.unique_for

    @property
    def on_conflict(self) -> str:
        return "return" if self.terms.options is None else self.terms.options.on_conflict


class Inserted(NamedTuple):
    """What the database added to a job."""

    created_at: datetime
    updated_at: datetime
    run_at: datetime
    expires_at: datetime | None = None


class Page(NamedTuple):
    """Which jobs to list."""

    status: str | None
    type: str | None
    queue: str | None
    limit: int
    before: UUID | None
    """List only jobs whose uids are below this one. None: any."""
    tags: str | None = None
    """JSON text: list only jobs that have all of these tags."""
    error: str | None = None
    """List only jobs whose error contains this text."""
    created_before: datetime | None = None
    created_after: datetime | None = None
    ended_before: datetime | None = None
    ended_after: datetime | None = None


class Old(NamedTuple):
    """Which jobs to prune."""

    ages: Mapping[str, timedelta]
    """By status: how long ago a job must have ended."""
    type: str | None = None
    tags: str | None = None
    """JSON text: only jobs that have all of these tags."""


class Pruned(NamedTuple):
    """What a batch of a prune did."""

    deleted: int
    last: UUID | None
    """The last uid that was looked at. None: there is none above, or another process prunes."""
    is_young: bool
    """That job was created so lately that no later one can be old enough."""


class JobStatements:
    """Creating, finding and pruning jobs.

    Statements that look for jobs are never prepared, because the connection may be the caller's, and its session does not have
    our settings. A plan that was made for a small table would still read the whole table after it has grown. And a plan for all
    kinds of pages would walk down from the newest job, even if only a few jobs match.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    def insert_job(self, connection: Connection, job: Insert, notify: bool) -> Inserted | None:
        """Returns None if there is a job with that uid already, or a job with its `unique` that has not ended."""

        def insert(notify: bool) -> Inserted | None:
            return self._insert_job(connection, job, notify, sparing=False)

        return self._script.with_notification(connection, notify, insert)

    def insert_job_for_caller(self, connection: AnyConnection, job: Insert, notify: bool) -> Inserted | None:
        """As `insert_job`, in the caller's transaction, whose commit must not fail because of a notification."""
        return self._insert_job(connection, job, notify, sparing=True)

    def insert_statement(self, job: Insert, notify: bool, style: str) -> tuple[Portable, dict[str, Any]]:
        """The statement that stores a job, for a driver of the caller's, and its parameters. It returns a row if the job is
        stored, and none if a job with its `unique` has not ended. A job with a window is not for it."""
        name = "insert_job" if job.terms.options is None else "insert_full_job"
        return self._script.portable(name, style, in_json=False), self._parameters(job, notify, sparing=True)

    def _insert_job(self, connection: AnyConnection, job: Insert, notify: bool, *, sparing: bool) -> Inserted | None:
        parameters = self._parameters(job, notify, sparing=sparing)
        if job.terms.options is None:
            rows = self._script.rows(connection, "insert_job", parameters)
            return Inserted(*map(in_utc, rows[0][:3])) if rows else None
        rows = self._script.rows(connection, "insert_full_job", parameters)
        return inserted_row(rows[0]) if rows else None

    def _parameters(self, job: Insert, notify: bool, *, sparing: bool) -> dict[str, Any]:
        parameters = {
            "uid": job.uid,
            "payload": job.payload,
            "notify": notify,
            "sparing": sparing,
            "channel": self._script.channel,
            **job.terms._asdict(),
        }
        options = job.terms.options
        return parameters if options is None else parameters | options._asdict()

    def insert_jobs(
        self,
        connection: Connection,
        jobs: Sequence[Insert],
        made: Callable[[Insert, datetime, datetime, datetime, datetime | None], T],
        *,
        has_options: bool,
    ) -> list[T]:
        """Insert all jobs or none; none has a `unique`. Returns `made(job, created_at, updated_at, run_at, expires_at)` for
        each job, in their order. `has_options`: whether any job has some.

        Raises Refused with SQLSTATE 23505 if a job with one of the uids exists already.
        """
        at = in_utc(self._script.rows(connection, "read_clock", {})[0][0])
        results: list[T] = []
        statement = self._script.text("insert_full_jobs" if has_options else "insert_jobs")
        statement = statement.replace("%%", "%")  # psycopg does not undo %% if there are no parameters
        cursor = Cursor(connection)
        with translated(connection), cursor.copy(statement.encode()) as copy:
            for start in range(0, len(jobs), COPY_ROWS):
                some = jobs[start : start + COPY_ROWS]
                expiries: Iterable[datetime | None] = repeat(None)
                if has_options:
                    run_ats = [_due(job.terms, at) for job in some]
                    expiries = [_expiry(job.terms.options, at) for job in some]
                    lines = _full_lines(some, run_ats, expiries, at)
                else:
                    run_ats = [at if job.terms.run_at is None else max(at, job.terms.run_at) for job in some]
                    lines = _copy_lines(some, run_ats, at)
                copy.write("".join(lines).encode())
                results += map(made, some, repeat(at), repeat(at), run_ats, expiries)  # meanwhile PostgreSQL reads the lines
        if cursor.rowcount != len(jobs):
            raise not_all_stored(len(jobs), cursor.rowcount)
        return results

    def insert_given_jobs(self, connection: Caller, jobs: Sequence[Insert], notify: bool) -> dict[int, Inserted]:
        """As `insert_jobs`, in one statement of another driver's. Returns what the database added to each job, by the number of
        its uid."""
        parameters = {"jobs": json_array(jobs), "notify": notify, "channel": self._script.channel}
        rows = self._script.rows(connection, "insert_given_jobs", parameters)
        return {row[0].int: inserted_row(row[1:]) for row in rows}

    def check_payload(self, connection: Connection, payload: str) -> None:
        """Raises Refused if PostgreSQL cannot hold this payload. No limit on writing can be the cause, because nothing is
        written."""
        try:
            self._script.rows(connection, "check_payload", {"payload": payload}, prepare=False)
        except Unexplained as error:
            raise Refused(str(error), error.sqlstate) from error

    def find_jobs(self, connection: AnyConnection, uids: Sequence[UUID]) -> dict[UUID, Job]:
        rows = self._script.rows(connection, "find_jobs", {"uids": uuid_array(uids)}, prepare=False)
        return {row[0]: job_row(row) for row in rows}

    def find_inserted(self, connection: AnyConnection, uids: Sequence[UUID]) -> dict[UUID, Inserted]:
        """What the database added to each of these jobs, if it exists."""
        rows = self._script.rows(connection, "find_inserted", {"uids": uuid_array(uids)}, prepare=False)
        return {row[0]: inserted_row(row[1:]) for row in rows}

    def find_open(self, connection: Connection, uids: Sequence[UUID]) -> set[UUID]:
        """Which of these jobs have not ended."""
        return {row[0] for row in self._script.rows(connection, "find_open", {"uids": uuid_array(uids)}, prepare=False)}

    def list_jobs(self, connection: AnyConnection, page: Page) -> list[Job]:
        return [job_row(row) for row in self._script.rows(connection, "list_jobs", page._asdict(), prepare=False)]

    def list_attempts(self, connection: AnyConnection, uid: UUID) -> list[Attempt]:
        rows = self._script.rows(connection, "list_attempts", {"uid": uid}, prepare=False)
        return [
            Attempt(
                row[0], row[1], row[2], in_utc(row[3]), in_utc(row[4]), known(AttemptStatus, row[5]), row[6], row[7], row[8]
            )
            for row in rows
        ]

    def find_running(self, connection: AnyConnection, uid: UUID) -> list[Attempt]:
        """The attempt that is under way, if there is one."""
        rows = self._script.rows(connection, "find_running", {"uid": uid}, prepare=False)
        return [Attempt(row[0], row[1], row[2], in_utc(row[3]), None, AttemptStatus.RUNNING, None, None) for row in rows]

    def prune_jobs(self, connection: Connection, old: Old, after: UUID | None, most: int) -> Pruned:
        """Look at the next `most` jobs above the uid `after`, or at the first ones."""
        parameters = {
            "statuses": list(old.ages),
            "ages": list(old.ages.values()),
            "youngest": min(old.ages.values()),
            "type": old.type,
            "tags": old.tags,
            "after": after,
            "most": most,
        }
        # Planned each time: a plan that was made for a small table might read all of a large one in each batch.
        return Pruned(*self._script.rows(connection, "prune_jobs", parameters, prepare=False)[0])


def _copy_lines(jobs: Sequence[Insert], run_ats: Sequence[datetime], at: datetime) -> Iterator[str]:
    """The lines of the COPY, with the columns in the order of insert_jobs.sql. `at`: the time of creation."""
    created_at = at.isoformat(" ")  # a blank, because PostgreSQL takes longer to read a T
    terms = None
    for job, run_at in zip(jobs, run_ats, strict=True):
        if job.terms is not terms:
            terms = job.terms
            columns = _copy_terms(terms)
        due = created_at if run_at is at else run_at.isoformat(" ")
        yield f"{job.uid_number:032x}\t{copied(job.payload)}\t{columns}\t{due}\t{created_at}\t{created_at}\n"


def _full_lines(
    jobs: Sequence[Insert], run_ats: Sequence[datetime], expiries: Sequence[datetime | None], at: datetime
) -> Iterator[str]:
    """As `_copy_lines`, with the columns of insert_full_jobs.sql."""
    for line, job, expires_at in zip(_copy_lines(jobs, run_ats, at), jobs, expiries, strict=True):
        options = job.terms.options or Options()
        values = (options.tags, options.metadata, options.timeout, expires_at)
        more = "\t".join("\\N" if value is None else copied(str(value)) for value in values)
        yield f"{line[:-1]}\t{more}\n"


def json_array(jobs: Sequence[Insert]) -> str:
    """The jobs as the parameter of GIVEN_JSON, in ASCII, which every encoding of a session can carry."""
    return "[" + ",".join(map(_json_object, jobs)) + "]"


def _json_object(job: Insert) -> str:
    payload, terms = _json.in_ascii(job.payload), _json_terms(job.terms)
    return f'{{"new_uid":"{job.uid_number:032x}","new_payload":{payload},{terms}}}'


@lru_cache(maxsize=100)
def _json_terms(terms: Terms) -> str:
    options = terms.options or Options()
    texts = {"new_tags": options.tags, "new_metadata": options.metadata}
    values = {
        "new_queue": terms.queue,
        "new_type": terms.type,
        "new_priority": terms.priority,
        "new_max_attempts": terms.max_attempts,
        "new_strategy": terms.backoff_strategy,
        "new_base": terms.backoff_base,
        "new_max": terms.backoff_max,
        "new_jitter": terms.backoff_jitter,
        "new_run_at": _iso(terms.run_at),
        "new_delay": options.delay,
        "new_key": options.unique,
        "new_window": options.unique_for,
        "new_timeout": options.timeout,
        "new_expires_at": _iso(options.expires_at),
        "new_expires_in": options.expires_in,
        "new_conflict": options.on_conflict,
    }
    given = [f'"{name}":{json.dumps(value)}' for name, value in values.items() if value is not None]
    given += [f'"{name}":{_json.in_ascii(text)}' for name, text in texts.items() if text is not None]
    return ",".join(given)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _due(terms: Terms, at: datetime) -> datetime:
    if terms.options is not None and terms.options.delay is not None:
        return at + timedelta(seconds=terms.options.delay)
    return at if terms.run_at is None else max(at, terms.run_at)


def _expiry(options: Options | None, at: datetime) -> datetime | None:
    if options is None:
        return None
    return options.expires_at if options.expires_in is None else at + timedelta(seconds=options.expires_in)


@lru_cache(maxsize=100)
def _copy_terms(terms: Terms) -> str:
    """The columns of the terms, except run_at and the options. They are the same for most jobs of a call, or for those of a
    type."""
    return "\t".join(copied(str(value)) for value in terms[:-2])


def not_all_stored(jobs: int, stored: int) -> SteveError:
    return SteveError(
        f"of {jobs} jobs {stored} were stored: a trigger on the table job swallowed the others; "
        "find(uid) tells which, or roll back where they are part of your transaction"
    )


def inserted_row(row: tuple[Any, ...]) -> Inserted:
    return Inserted(in_utc(row[0]), in_utc(row[1]), in_utc(row[2]), in_utc(row[3]))
