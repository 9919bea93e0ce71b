"""Stores new jobs, on the caller's connection or on one of ours, and wakes the processes that wait for jobs.

`enqueue.py` has checked the arguments. If the reply for a job is lost on a connection of ours, the job is sent again under the
same uid. On the caller's connection nothing is sent again, and psycopg's errors are raised unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from steve._client.calls import Calls, SentJobs
from steve._client.coalescer import NotifyCoalescer
from steve._client.enqueue import as_job
from steve._client.unique import UniqueJobs
from steve._database.caller import AnyConnection, Caller, raise_to_caller
from steve._database.connections import Connections
from steve._database.failures import Connection, DatabaseFailure, Refused, Transient, Unexplained, translated
from steve._database.statements import Statements
from steve._database.statements.jobs import Insert, Inserted, not_all_stored
from steve._model import json as _json
from steve._model.settings import Settings
from steve.errors import AlreadyExists, InvalidJob, SteveError
from steve.job import Job

KEEP_SECONDS = 600.0
"""How long beyond its tries the database remembers that a create has replaced a job. A try may be carried out late."""


class Creator:
    def __init__(self, *, statements: Statements, calls: Calls, connections: Connections, settings: Settings) -> None:
        tuning = settings.tuning
        self._jobs = statements.jobs
        keep = 2 * settings.create_timeout + KEEP_SECONDS
        self._unique = UniqueJobs(jobs=statements.jobs, unique=statements.unique, keep=keep)
        self._schema = statements.schema
        self._notifications = statements.notifications
        self._calls = calls
        self._tuning = tuning

        def notify() -> None:
            connections.call(statements.notifications.notify, timeout=tuning.late_notify)

        self._coalescer = NotifyCoalescer(notify=notify, tuning=tuning)

    def create(self, job: Insert, wake: bool, theirs: AnyConnection | None) -> Job:
        """`wake`: notify waiting processes. `theirs`: the caller's connection, or None."""
        if theirs is not None:
            try:
                return self._insert_for_caller(theirs, job, wake)
            except DatabaseFailure as error:
                raise_to_caller(error, theirs, self._schema)
        sent = SentJobs(1, job.uid_number)
        tries = count()

        def insert(ours: Connection) -> Job:
            return self._insert(ours, job, carries, self._jobs.insert_job, resent=next(tries) > 0)

        carries = False
        if not wake:
            return self._calls.call(insert, sent=sent)
        stored = True
        try:
            carries = self._coalescer.begin()
            created = self._calls.call(insert, sent=sent)
            stored = not created.duplicate
            return created
        finally:
            self._coalescer.end(carries, stored=stored)

    def create_many(self, jobs: Sequence[Insert], wake: bool, theirs: AnyConnection | None) -> list[Job]:
        """Store all or none, and return them in their order."""
        has_options = any(job.terms.options is not None for job in jobs)
        is_unique = has_options and any(job.key is not None for job in jobs)
        if theirs is not None:
            try:
                if isinstance(theirs, Caller):
                    return self._insert_at_once(theirs, jobs, wake, is_unique)
                if is_unique:
                    sent = [_as_sent_by(theirs, job) for job in jobs]
                    created = self._unique.create_many(theirs, sent, sparing=True, resent=False)
                else:
                    created = self._jobs.insert_jobs(theirs, jobs, as_job, has_options=has_options)
                if wake and _has_changed(created, jobs):
                    self._notifications.notify(theirs)
            except DatabaseFailure as error:
                raise_to_caller(error, theirs, self._schema)
            return created
        tries = count()

        def insert(ours: Connection) -> list[Job]:
            if is_unique:
                return self._unique.create_many(ours, jobs, sparing=False, resent=next(tries) > 0)
            return self._copy(ours, jobs, has_options)

        is_owed = wake
        try:
            created = self._calls.call(
                insert,
                sent=SentJobs(len(jobs), jobs[0].uid_number),
                more_seconds=len(jobs) / self._tuning.create_rate,
            )
            is_owed = wake and (not is_unique or _has_changed(created, jobs))
            return created
        except AlreadyExists:
            is_owed = False
            raise
        finally:
            if is_owed:
                self._coalescer.owe()

    def _insert_for_caller(self, theirs: AnyConnection, job: Insert, wake: bool) -> Job:
        if isinstance(theirs, Caller) and job.key is not None:
            return self._unique.create_at_once(theirs, [job], wake)[0]
        return self._insert(theirs, _as_sent_by(theirs, job), wake, self._jobs.insert_job_for_caller)

    def _insert_at_once(self, theirs: Caller, jobs: Sequence[Insert], wake: bool, is_unique: bool) -> list[Job]:
        if is_unique:
            return self._unique.create_at_once(theirs, jobs, wake)
        inserted = self._jobs.insert_given_jobs(theirs, jobs, wake)
        if len(inserted) < len(jobs):
            raise not_all_stored(len(jobs), len(inserted))
        return [as_job(job, *inserted[job.uid_number]) for job in jobs]

    def _insert(
        self,
        connection: AnyConnection,
        job: Insert,
        notify: bool,
        insert: Callable[[Any, Insert, bool], Inserted | None],
        *,
        resent: bool = False,
    ) -> Job:
        is_ours = insert == self._jobs.insert_job
        try:
            if job.key is not None:
                return self._unique.create(connection, job, notify, insert, sparing=not is_ours, resent=resent)
            inserted = insert(connection, job, notify)
        except Unexplained:
            # A limit or no memory: the server may be at fault, and recover, or this payload may, for good. check_payload tells.
            if is_ours and not isinstance(connection, Caller):
                self._jobs.check_payload(connection, job.payload)
            raise
        if inserted is None:  # an earlier try has stored it, and its reply was lost
            inserted = self._jobs.find_inserted(connection, [job.uid]).get(job.uid)
        if inserted is None:
            raise SteveError("the job was not stored: a trigger on the table job swallowed it")
        return as_job(job, *inserted)

    def _copy(self, connection: Connection, jobs: Sequence[Insert], has_options: bool) -> list[Job]:
        try:
            return self._jobs.insert_jobs(connection, jobs, as_job, has_options=has_options)
        except Transient as error:
            if error.sqlstate != "0A000":
                raise
            # PostgreSQL refuses COPY into a table with row level security.
            with translated(connection), connection.transaction():
                return [self._insert(connection, job, False, self._jobs.insert_job) for job in jobs]
        except Refused as error:
            if error.sqlstate != "23505":
                raise
            # The uids exist: an earlier try has stored the jobs, and its reply was lost.
            found = self._jobs.find_inserted(connection, [job.uid for job in jobs])
            if len(found) < len(jobs):
                raise
            return [as_job(job, *found[job.uid]) for job in jobs]


def _has_changed(created: Sequence[Job], jobs: Sequence[Insert]) -> bool:
    """Whether a job was stored, or one may be due earlier now."""
    return any(not job.duplicate for job in created) or any(job.on_conflict == "replace" for job in jobs)


def _as_sent_by(connection: AnyConnection, job: Insert) -> Insert:
    """The job as the encoding of the caller's session can carry it: the payload in ASCII if need be, which JSON allows. Raises
    InvalidJob for a name that the encoding cannot hold."""
    if isinstance(connection, Caller):  # the driver raises an error of its own for such a name
        return in_ascii(job)
    encoding = connection.info.encoding
    if encoding == "utf-8":
        return job
    for what, name in (("type", job.terms.type), ("queue", job.terms.queue), ("unique", job.key or "")):
        try:
            name.encode(encoding)
        except UnicodeEncodeError:
            raise InvalidJob(f"{what} {name!r} cannot be sent in the connection's client_encoding, {encoding}") from None
    return in_ascii(job)


def in_ascii(job: Insert) -> Insert:
    """The job with all its JSON in ASCII, which every encoding of a session can carry."""
    options = job.terms.options
    if options is not None:
        tags, metadata = (text and _json.in_ascii(text) for text in (options.tags, options.metadata))
        job = job._replace(terms=job.terms._replace(options=options._replace(tags=tags, metadata=metadata)))
    return job._replace(payload=_json.in_ascii(job.payload))
