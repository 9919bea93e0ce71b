"""Statements that create, find and prune jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from steve._database.execute import Cursor
from steve._database.failures import Connection, Refused, Unexplained, translated
from steve._database.literals import copied, uuid_array
from steve._database.statements.rows import in_utc, job_row, known
from steve._database.statements.script import Script
from steve.errors import SteveError
from steve.job import Attempt, AttemptStatus, Job

T = TypeVar("T")

COPY_ROWS = 1_000
"""How many rows of a COPY are sent at a time."""


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


class Inserted(NamedTuple):
    """What the database added to a job."""

    created_at: datetime
    updated_at: datetime
    run_at: datetime


class Page(NamedTuple):
    """Which jobs to list."""

    status: str | None
    type: str | None
    queue: str | None
    limit: int
    before: UUID | None
    """List only jobs whose uids are below this one. None: any."""


class Old(NamedTuple):
    """Which jobs to prune."""

    ages: Mapping[str, timedelta]
    """By status: how long ago a job must have ended."""
    type: str | None = None


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
        """Returns None if there is a job with that uid already."""

        def insert(notify: bool) -> Inserted | None:
            return self._insert_job(connection, job, notify, sparing=False)

        return self._script.with_notification(connection, notify, insert)

    def insert_job_for_caller(self, connection: Connection, job: Insert, notify: bool) -> Inserted | None:
        """As `insert_job`, in the caller's transaction, whose commit must not fail because of a notification."""
        return self._insert_job(connection, job, notify, sparing=True)

    def _insert_job(self, connection: Connection, job: Insert, notify: bool, *, sparing: bool) -> Inserted | None:
        parameters = {
            "uid": job.uid,
            "payload": job.payload,
            "notify": notify,
            "sparing": sparing,
            "channel": self._script.channel,
        }
        rows = self._script.rows(connection, "insert_job", parameters | job.terms._asdict())
        return _inserted(rows[0]) if rows else None

    def insert_jobs(
        self, connection: Connection, jobs: Sequence[Insert], made: Callable[[Insert, datetime, datetime, datetime], T]
    ) -> list[T]:
        """Insert all jobs or none. Returns `made(job, created_at, updated_at, run_at)` for each job, in their order.

        Raises Refused with SQLSTATE 23505 if a job with one of the uids exists already.
        """
        at = in_utc(self._script.rows(connection, "read_clock", {})[0][0])
        results: list[T] = []
        statement = self._script.text("insert_jobs").replace("%%", "%")  # psycopg does not undo %% if there are no parameters
        cursor = Cursor(connection)
        with translated(connection), cursor.copy(statement.encode()) as copy:
            for start in range(0, len(jobs), COPY_ROWS):
                some = jobs[start : start + COPY_ROWS]
                run_ats = [at if job.terms.run_at is None else max(at, job.terms.run_at) for job in some]
                copy.write("".join(_copy_lines(some, run_ats, at)).encode())
                results += map(made, some, repeat(at), repeat(at), run_ats)  # meanwhile PostgreSQL reads the lines
        if cursor.rowcount != len(jobs):
            raise SteveError(
                f"of {len(jobs)} jobs {cursor.rowcount} were stored: a trigger on the table job swallowed the others; "
                "find(uid) tells which, or roll back where they are part of your transaction"
            )
        return results

    def check_payload(self, connection: Connection, payload: str) -> None:
        """Raises Refused if PostgreSQL cannot hold this payload. No limit on writing can be the cause, because nothing is
        written."""
        try:
            self._script.rows(connection, "check_payload", {"payload": payload}, prepare=False)
        except Unexplained as error:
            raise Refused(str(error), error.sqlstate) from error

    def find_jobs(self, connection: Connection, uids: Sequence[UUID]) -> dict[UUID, Job]:
        rows = self._script.rows(connection, "find_jobs", {"uids": uuid_array(uids)}, prepare=False)
        return {row[0]: job_row(row) for row in rows}

    def find_inserted(self, connection: Connection, uids: Sequence[UUID]) -> dict[UUID, Inserted]:
        """What the database added to each of these jobs, if it exists."""
        rows = self._script.rows(connection, "find_inserted", {"uids": uuid_array(uids)}, prepare=False)
        return {row[0]: _inserted(row[1:]) for row in rows}

    def find_open(self, connection: Connection, uids: Sequence[UUID]) -> set[UUID]:
        """Which of these jobs have not ended."""
        return {row[0] for row in self._script.rows(connection, "find_open", {"uids": uuid_array(uids)}, prepare=False)}

    def list_jobs(self, connection: Connection, page: Page) -> list[Job]:
        return [job_row(row) for row in self._script.rows(connection, "list_jobs", page._asdict(), prepare=False)]

    def list_attempts(self, connection: Connection, uid: UUID) -> list[Attempt]:
        rows = self._script.rows(connection, "list_attempts", {"uid": uid}, prepare=False)
        return [
            Attempt(row[0], row[1], row[2], in_utc(row[3]), in_utc(row[4]), known(AttemptStatus, row[5]), row[6], row[7])
            for row in rows
        ]

    def prune_jobs(self, connection: Connection, old: Old, after: UUID | None, most: int, *, alone: bool = False) -> Pruned:
        """Look at the next `most` jobs above the uid `after`, or at the first ones. `alone`: unless another process prunes."""
        parameters = {
            "statuses": list(old.ages),
            "ages": list(old.ages.values()),
            "youngest": min(old.ages.values()),
            "type": old.type,
            "after": after,
            "most": most,
            "lock": f"steve {self._script.schema} prune" if alone else None,
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


@lru_cache(maxsize=100)
def _copy_terms(terms: Terms) -> str:
    """The columns of the terms, except run_at. They are the same for most jobs of a call, or for those of a type."""
    return "\t".join(copied(str(value)) for value in terms[:-1])


def _inserted(row: tuple[Any, ...]) -> Inserted:
    return Inserted(in_utc(row[0]), in_utc(row[1]), in_utc(row[2]))
