"""What steve asks and tells the tables: one method for each file of sql/, of the same name; rows become values.

Every method takes the connection to use and leaves its transaction alone. The rooms get these as plain functions.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from importlib.resources import files
from itertools import repeat
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg

from . import _json
from ._ask import FOR_LOOPS, SET_FOR_LOOPS, Cursor, ask, place_schema, quoted, settings, translated, trouble
from ._hints import Hints
from ._literals import array, copied, text_array, words
from ._log import logger
from .errors import Refused, SteveError, Unexplained
from .job import Attempt, AttemptStatus, Claimed, Job, Settled, Status
from .outcome import Verdict, hint
from .settings import LANE_LEAST

Connection = psycopg.Connection[Any]
T = TypeVar("T")

COPY_ROWS = 1_000  # sent at a time

INDEXES = ["job_pkey", "job_uid_key", "job_ready", "job_suspect", "job_claimed", "attempt_pkey", "process_pkey"]
DEFAULTS = ["id", "status", "attempts", "crashes", "lease_no", "created_at", "updated_at"]
"""What the statements rely on: `check_tables`."""


class Terms(NamedTuple):
    """What many jobs may have in common: all of a new job but its uid and its payload."""

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
    """A job as it is sent."""

    uid_number: int
    """The uid as an integer. Of many jobs the UUIDs themselves are made while PostgreSQL reads the COPY."""
    payload: str
    """JSON."""
    terms: Terms

    @property
    def uid(self) -> UUID:
        return UUID(int=self.uid_number)


class Inserted(NamedTuple):
    """What the database added to it."""

    id: int
    created_at: datetime
    updated_at: datetime
    run_at: datetime


class Page(NamedTuple):
    """Which jobs to list."""

    status: str | None
    type: str | None
    queue: str | None
    limit: int
    before: int | None
    """Only ids below this one."""


class Lane(NamedTuple):
    """Where a job waits: jobs of one lane are claimed in the order of (run_at, id)."""

    queue: str
    type: str
    priority: int


Mark = tuple[datetime, int]
"""(run_at, id) of the last job that was claimed from a lane."""


class Demand(NamedTuple):
    """What a claim asks for."""

    n: int
    mosts: Mapping[str, int]
    """For each type with a handler or a pace: how many at most."""
    unknown_most: int
    """The same for every other type."""
    any_type: bool
    """Whether other types are served at all."""
    marks: Mapping[Lane, Mark] | None
    """Look only into these lanes, above their marks; None: a full scan."""
    suspects: int = 0
    """Beside them: how many jobs at most that were held when a process died."""
    alone: bool = False
    """Of these only what is on its last chance; else only what is not."""


class Claims(NamedTuple):
    """What a claim brought."""

    jobs: list[Claimed]
    """Best first."""
    next_due_in: float | None
    """Seconds until another job of the lanes it looked into is due."""
    scan_seconds: float
    """How long the database looked for them."""
    heads: dict[Lane, Mark]
    """After a full scan: the first pending job of every served lane, due or not, claimed by this or not."""
    last_chance: bool = False
    """A job is due, or was claimed by this, that the death of one more process would fail."""


class Store:
    """steve's statements, for the tables in one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.channel = "steve_" + hashlib.sha256(schema.encode()).hexdigest()[:16]
        self._sql = {name: place_schema(text, schema) for name, text in _texts().items()}
        self._hints = Hints()
        self._left_out: set[str] = set()

    # -- creating and looking -------------------------------------------------------------------------------------------
    # Looking never prepares: the connection may be the caller's, its session not ours. A plan kept from a small table reads
    # all of one that has grown; one for any page walks down from the newest job.

    def insert_job(self, connection: Connection, job: Insert, notify: bool) -> Inserted | None:
        """None: a job of that uid is there already."""
        return self._hinting(connection, notify, lambda notify: self._insert_job(connection, job, notify, sparing=False))

    def insert_job_for_caller(self, connection: Connection, job: Insert, notify: bool) -> Inserted | None:
        """The same in the caller's transaction, whose commit is not to fail for a notification."""
        return self._insert_job(connection, job, notify, sparing=True)

    def _insert_job(self, connection: Connection, job: Insert, notify: bool, *, sparing: bool) -> Inserted | None:
        parameters = {"uid": job.uid, "payload": job.payload, "notify": notify, "sparing": sparing, "channel": self.channel}
        rows = self._rows(connection, "insert_job", parameters | job.terms._asdict())
        return _inserted(rows[0]) if rows else None

    def insert_jobs(
        self, connection: Connection, jobs: Sequence[Insert], made: Callable[[Insert, int, datetime, datetime, datetime], T]
    ) -> list[T]:
        """All or none; in their order, what `made` makes of each job and, as four arguments, the fields of its Inserted.

        Refused with SQLSTATE 23505: some are there already.
        """
        reserved = {"table": self._table("job"), "count": len(jobs)}
        at, ids = self._rows(connection, "reserve_ids", reserved)[0]
        if ids[0] is None:
            raise Refused("the column id of the table job has no sequence of its own", "23502")
        at = _utc(at)
        results: list[T] = []
        statement = self._statement("insert_jobs").replace("%%", "%")  # without parameters psycopg looks for no placeholders
        cursor = Cursor(connection)
        with translated(connection), cursor.copy(statement.encode()) as copy:
            for start in range(0, len(jobs), COPY_ROWS):
                some, some_ids = jobs[start : start + COPY_ROWS], ids[start : start + COPY_ROWS]
                run_ats = [at if job.terms.run_at is None else max(at, job.terms.run_at) for job in some]
                copy.write("".join(_copy_lines(some, some_ids, run_ats, at)).encode())
                results += map(made, some, some_ids, repeat(at), repeat(at), run_ats)  # while PostgreSQL reads these
        if cursor.rowcount != len(jobs):
            raise SteveError(
                f"of {len(jobs)} jobs {cursor.rowcount} were stored: a trigger on the table job swallowed the others; "
                "find(uid) tells which, or roll back where they are part of your transaction"
            )
        return results

    def notify(self, connection: Connection) -> None:
        """Not while the database's queue of notifications is half full."""
        self._rows(connection, "notify", {"channel": self.channel})

    def check_payload(self, connection: Connection, payload: str) -> None:
        """Raises Refused where PostgreSQL cannot hold it, whatever else may be wrong just now."""
        try:
            self._rows(connection, "check_payload", {"payload": payload}, prepare=False)
        except Unexplained as error:
            raise Refused(str(error), error.sqlstate) from error

    def check_sequence(self, connection: Connection) -> str | None:
        """What is wrong with the sequence of the ids, and how to mend it; None: nothing, or this role may not know."""
        rows = self._rows(connection, "check_sequence", {"table": self._table("job")})
        if not rows or not rows[0][1]:
            return None
        sequence, _, greatest = rows[0]
        with translated(connection):  # the name is PostgreSQL's, with its quotes
            ((last, is_called),) = ask(connection, f"select last_value, is_called from {sequence}", prepare=False)
        next_id = last + is_called
        if next_id > greatest:
            return None
        return (
            f"the sequence {sequence} gives out the id {next_id} next, but there are jobs up to {greatest}, as after a copy "
            f"of the rows: as the owner, run select setval('{sequence}', {greatest})"
        )

    def check_tables(self, connection: Connection) -> list[str]:
        """Which keys, indexes and defaults they lack, a sentence each."""
        parameters = {"schema": quoted(self.schema), "job": self._table("job"), "indexes": INDEXES, "defaults": DEFAULTS}
        return [row[0] for row in self._rows(connection, "check_tables", parameters, prepare=False)]

    def check_access(self, connection: Connection, *, worker: bool) -> list[str]:
        """What keeps this role from a worker's work, a sentence each. Else: from what it has a right to."""
        needs = [("job", "select"), ("job", "insert"), ("attempt", "select")]
        if worker:
            needs = [("job", "select"), ("job", "update"), ("attempt", "insert"), ("process", "select"), ("process", "update")]
        parameters = {
            "tables": [self._table(table) for table, _ in needs],
            "rights": [right for _, right in needs],
            "worker": worker,
        }
        return [row[0] for row in self._rows(connection, "check_access", parameters, prepare=False)]

    def find_jobs(self, connection: Connection, uids: Sequence[UUID]) -> dict[UUID, Job]:
        rows = self._rows(connection, "find_jobs", {"uids": array(uids)}, prepare=False)
        return {row[1]: _job(row) for row in rows}

    def find_inserted(self, connection: Connection, uids: Sequence[UUID]) -> dict[UUID, Inserted]:
        """What those that are there were given when they were stored."""
        return {row[0]: _inserted(row[1:]) for row in self._rows(connection, "find_inserted", {"uids": array(uids)})}

    def find_open(self, connection: Connection, uids: Sequence[UUID]) -> set[UUID]:
        """Those that have not ended."""
        return {row[0] for row in self._rows(connection, "find_open", {"uids": array(uids)}, prepare=False)}

    def list_jobs(self, connection: Connection, page: Page) -> list[Job]:
        return [_job(row) for row in self._rows(connection, "list_jobs", page._asdict(), prepare=False)]

    def list_attempts(self, connection: Connection, uid: UUID) -> list[Attempt]:
        rows = self._rows(connection, "list_attempts", {"uid": uid}, prepare=False)
        return [
            Attempt(row[0], row[1], row[2], _utc(row[3]), _utc(row[4]), _known(AttemptStatus, row[5]), row[6], row[7])
            for row in rows
        ]

    # -- forgetting -----------------------------------------------------------------------------------------------------

    def prune_jobs(self, connection: Connection, older_than: timedelta, after: int, most: int) -> tuple[int, int | None]:
        """How many were deleted, and the last id that was looked at; None: there is none above `after`."""
        parameters = {"older_than": older_than, "after": after, "most": most}
        # planned anew each time: a plan kept from a small table might read all of a large one, batch by batch
        count, last = self._rows(connection, "prune_jobs", parameters, prepare=False)[0]
        return count, last

    # -- working --------------------------------------------------------------------------------------------------------

    def claim_jobs(
        self, connection: Connection, process_id: int, queues: Sequence[str] | None, max_crashes: int, demand: Demand
    ) -> Claims:
        """At most `demand.n` jobs, and `demand.suspects`."""
        try:
            return self._claim_jobs(connection, process_id, queues, max_crashes, demand)
        except Refused as error:
            # Sent as UTF-8, and the database has another encoding: one name that it cannot hold is not to stop all claims.
            if error.sqlstate != "22P05" or not self._leave_out(connection, {*demand.mosts, *(queues or ())}):
                raise
            return self._claim_jobs(connection, process_id, queues, max_crashes, demand)

    def _leave_out(self, connection: Connection, names: Iterable[str]) -> bool:
        """Of these names those that the database cannot hold; whether there are any."""
        found = set()
        for name in names:
            try:
                self._rows(connection, "check_name", {"name": name}, prepare=False)
            except Refused:
                found.add(name)
                logger.warning("the database's encoding cannot hold the name %r, so no job has it: it is left out", name)
        self._left_out |= found
        return bool(found)

    def _claim_jobs(
        self, connection: Connection, process_id: int, queues: Sequence[str] | None, max_crashes: int, demand: Demand
    ) -> Claims:
        lanes = demand.marks or {}
        mosts = demand.mosts
        if self._left_out:
            mosts = {type: most for type, most in mosts.items() if type not in self._left_out}
            queues = None if queues is None else [queue for queue in queues if queue not in self._left_out]
        parameters = {
            "n": demand.n,
            "lane_least": LANE_LEAST,
            "full": demand.marks is None,
            "queues": text_array(lane.queue for lane in lanes),
            "types": text_array(lane.type for lane in lanes),
            "priorities": array(lane.priority for lane in lanes),
            "run_ats": text_array(run_at.isoformat() for run_at, _ in lanes.values()),
            "ids": array(id for _, id in lanes.values()),
            "known_types": text_array(mosts),
            "mosts": array(mosts.values()),
            "unknown_most": demand.unknown_most,
            "any_type": demand.any_type,
            "served_queues": None if queues is None else text_array(queues),
            "process_id": process_id,
            "suspects": demand.suspects,
            "alone": demand.alone,
            "max_crashes": max_crashes,
        }
        rows = self._rows(connection, "claim_jobs", parameters, prepare=True)
        jobs = [_claimed(row[:-4]) for row in rows if row[0] is not None]
        jobs.sort(key=_claim_order)  # `returning` promises no order
        next_due_in, scan_seconds, heads, last_chance = next(row[-4:] for row in rows if row[0] is None)
        return Claims(jobs, next_due_in, scan_seconds, dict(map(_head, json.loads(heads)) if heads else ()), last_chance)

    def find_claimed(self, connection: Connection, process_id: int, answered: Sequence[datetime]) -> list[Claimed]:
        """The jobs that this process has claimed since the first of these instants, but for those claimed at one of them."""
        times = text_array([at.isoformat() for at in answered])
        rows = self._rows(connection, "find_claimed", {"process_id": process_id, "answered": times})
        return sorted(map(_claimed, rows), key=_claim_order)

    def find_horizon(self, connection: Connection) -> list[tuple[str, float | None]]:
        """Who holds back the removal of dead rows and index entries, and for how many seconds."""
        return [(row[0], row[1]) for row in self._rows(connection, "find_horizon", {})]

    def settle_jobs(
        self, connection: Connection, process: str, verdicts: Sequence[Verdict], now: float, notify: bool, times: bool
    ) -> dict[int, Settled | None]:
        """Those that were still ours, by their place, from 1. `now`: time.monotonic() of this try. Without `times`, which are
        slow to read, only which they are."""
        text = hint(verdicts) if notify else None
        return self._hinting(
            connection,
            text is not None,
            lambda notify: self._settle_jobs(connection, process, verdicts, now, text if notify else None, times),
        )

    def rehearse_settlement(self, connection: Connection, process: str, verdict: Verdict) -> None:
        """Whether it can be written: in a transaction that is rolled back."""
        with translated(connection), connection.transaction(force_rollback=True):
            self._settle_jobs(connection, process, [verdict], time.monotonic(), None, False)
            Cursor(connection).execute("set constraints all immediate")  # of the user's, which wait for the commit

    def _settle_jobs(
        self, connection: Connection, process: str, verdicts: Sequence[Verdict], now: float, hint: str | None, times: bool
    ) -> dict[int, Settled | None]:
        instants, claims = _claims_of(verdicts)
        parameters = {
            "process": process,
            "channel": self.channel,
            "hint": hint,
            "times": times,
            "ids": array([verdict.job.id for verdict in verdicts]),
            "lease_nos": array([verdict.job.lease_no for verdict in verdicts]),
            "statuses": words([verdict.status for verdict in verdicts]),
            "results": text_array([verdict.result for verdict in verdicts]),
            "errors": text_array([verdict.error for verdict in verdicts]),
            "delays": array([verdict.delay if verdict.status is Status.PENDING else None for verdict in verdicts]),
            # Whole microseconds: PostgreSQL keeps no more, and to print a float takes twice as long.
            "begun_agos": array([None if verdict.begun is None else int((now - verdict.begun) * 1e6) for verdict in verdicts]),
            "attempt_statuses": words([verdict.attempt_status or "null" for verdict in verdicts]),
            "error_details": text_array([verdict.details for verdict in verdicts]),
            "claims": array(claims),
            "claimed_ats": text_array(at.isoformat() for at in instants),
        }
        rows = self._rows(connection, "settle_jobs", parameters, prepare=True)
        return {row[0]: _settled(row[1:-1]) for row in rows} if times else {row[0]: None for row in rows}

    def find_settled(self, connection: Connection, verdicts: Sequence[Verdict]) -> dict[int, Settled | None]:
        """The witness: of these verdicts those that an earlier try wrote."""
        jobs = [verdict.job for verdict in verdicts]
        claims = {
            "ids": array(job.id for job in jobs),
            "lease_nos": array(job.lease_no for job in jobs),
            "claimed_ats": text_array(job.claimed_at.isoformat() for job in jobs),
        }
        return {row[0]: _settled(row[1:]) for row in self._rows(connection, "find_settled", claims)}

    def forget_attempt(self, connection: Connection, verdict: Verdict) -> None:
        """A row in the log under the lease of this verdict, which is held, is of another life of the job."""
        job = verdict.job
        claim = {"id": job.id, "lease_no": job.lease_no, "claimed_at": job.claimed_at.isoformat()}
        self._rows(connection, "forget_attempt", claim)

    def deregister_process(self, connection: Connection, process_id: int) -> None:
        self._rows(connection, "deregister_process", {"id": process_id})

    # -- hearing --------------------------------------------------------------------------------------------------------

    def listen(self, connection: Connection) -> bool:
        """From now on `hear` returns what is notified. False: a pooler is in between, and nothing was done."""
        parameters = {"channel": self.channel, "session": connection.info.backend_pid}
        statement = self._statement("listen") % parameters  # of a name and a number of ours: DO takes no parameters
        with translated(connection):
            try:
                Cursor(connection).execute(statement.encode(), prepare=False)
            except psycopg.errors.RaiseException:
                return False
        return True

    def hear(self, connection: Connection) -> list[str]:
        """The payloads of the notifications that have arrived, without waiting for more."""
        with translated(connection):
            return [notification.payload for notification in connection.notifies(timeout=0)]

    # -------------------------------------------------------------------------------------------------------------------

    def _hinting(self, connection: Connection, notify: bool, statement: Callable[[bool], T]) -> T:
        return self._hints.send(notify, statement, lambda: self._rows(connection, "clean_notifications", {}))

    def _rows(
        self, connection: Connection, name: str, parameters: dict[str, Any], prepare: bool | None = None
    ) -> list[tuple[Any, ...]]:
        try:  # not `translated`, which costs every create a hundredth of its time
            if prepare and connection.prepare_threshold is None:  # a pooler in between: the settings of one transaction
                with connection.transaction():
                    ask(connection, SET_FOR_LOOPS, settings(FOR_LOOPS))
                    return ask(connection, self._statement(name), parameters)
            return ask(connection, self._statement(name), parameters, prepare=prepare)
        except psycopg.Error as error:
            raise trouble(error, connection) from error

    def _table(self, name: str) -> str:
        """For functions of PostgreSQL's that take the name of a table."""
        return f"{quoted(self.schema)}.{name}"

    def _statement(self, name: str) -> str:
        return self._sql[name]


@cache
def _texts() -> dict[str, str]:
    """Of all files at once, when the first manager is made: a deploy may remove or replace them under a running process."""
    folder = files("steve").joinpath("sql")
    return {file.name.removesuffix(".sql"): file.read_text() for file in folder.iterdir() if file.name.endswith(".sql")}


# Half the time of Claimed(*row): a row has the fields in their order.
_claimed: Callable[[tuple[Any, ...]], Claimed] = partial(tuple.__new__, Claimed)
_settled: Callable[[tuple[Any, ...]], Settled] = partial(tuple.__new__, Settled)


def _claims_of(verdicts: Sequence[Verdict]) -> tuple[list[datetime], list[int]]:
    """The instants at which these were claimed, which are few, for a claim brings many; and for each its place among them."""
    instants: list[datetime] = []
    claims: list[int] = []
    last = None
    claim = 0
    for verdict in verdicts:
        if (at := verdict.job.claimed_at) != last:
            last = at
            if at not in instants:
                instants.append(at)
            claim = instants.index(at) + 1
        claims.append(claim)
    return instants, claims


def _head(values: list[Any]) -> tuple[Lane, Mark]:
    queue, type, priority, run_at, id = values
    return Lane(queue, type, priority), (datetime.fromisoformat(run_at), id)


def _copy_lines(jobs: Sequence[Insert], ids: Sequence[int], run_ats: Sequence[datetime], at: datetime) -> Iterator[str]:
    """In the order of the columns in insert_jobs.sql. `at`: when they are created."""
    created_at = at.isoformat(" ")  # PostgreSQL takes longer over a T
    terms = None
    for job, id, run_at in zip(jobs, ids, run_ats, strict=True):
        if job.terms is not terms:
            terms = job.terms
            columns = _copy_terms(terms)
        due = created_at if run_at is at else run_at.isoformat(" ")
        yield f"{id}\t{job.uid_number:032x}\t{copied(job.payload)}\t{columns}\t{due}\t{created_at}\t{created_at}\n"


@lru_cache(maxsize=100)
def _copy_terms(terms: Terms) -> str:
    """All but its run_at: the same for most jobs of a call, or for those of a type."""
    return "\t".join(copied(str(value)) for value in terms[:-1])


def _inserted(row: tuple[Any, ...]) -> Inserted:
    return Inserted(row[0], _utc(row[1]), _utc(row[2]), _utc(row[3]))


def _claim_order(job: Claimed) -> tuple[bool, int, datetime, int]:
    return not job.crashes, -job.priority, job.run_at, job.id  # suspects first: there is a worker for each


def _job(row: tuple[Any, ...]) -> Job:
    """Of the columns that find_jobs.sql and list_jobs.sql select: Job's own, in its order."""
    given = dict(zip(Job.__slots__, row, strict=True))
    given["payload"] = _json.decode_or_text(given["payload"])
    given["result"] = None if given["result"] is None else _json.decode_or_text(given["result"])
    given["status"] = _known(Status, given["status"])
    return Job(**given | {name: _utc(given[name]) for name in _TIMES})


_TIMES = ("created_at", "updated_at", "run_at", "claimed_at", "started_at", "completed_at")


def _known(kind: type[Status] | type[AttemptStatus], text: str) -> Any:
    """Newer code may have written a status that this version does not know: it stays text."""
    return kind._value2member_map_.get(text, text)


def _utc(at: Any) -> Any:
    return at if at is None or at.tzinfo is UTC else at.astimezone(UTC)  # ours are UTC already, a caller's may be anything
