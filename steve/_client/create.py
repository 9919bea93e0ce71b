"""Stores new jobs, on the caller's connection or on one of ours, and wakes the processes that wait for jobs.

`enqueue.py` has checked the arguments. If the reply for a job is lost on a connection of ours, the job is sent again under the
same uid. On the caller's connection nothing is sent again, and psycopg's errors are raised unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steve._client.calls import Calls, SentJobs
from steve._client.coalescer import NotifyCoalescer
from steve._client.enqueue import as_job
from steve._database.connections import Connections
from steve._database.failures import Connection, DatabaseFailure, Refused, Transient, Unexplained, translated
from steve._database.statements import Statements
from steve._database.statements.jobs import Insert, Inserted
from steve._model import json as _json
from steve._model.tuning import Tuning
from steve.errors import InvalidJob, SteveError
from steve.job import Job


class Creator:
    def __init__(self, *, statements: Statements, calls: Calls, connections: Connections, tuning: Tuning) -> None:
        self._jobs = statements.jobs
        self._notifications = statements.notifications
        self._calls = calls
        self._tuning = tuning

        def notify() -> None:
            connections.call(statements.notifications.notify, timeout=tuning.late_notify)

        self._coalescer = NotifyCoalescer(notify=notify, tuning=tuning)

    def create(self, job: Insert, wake: bool, theirs: Connection | None) -> Job:
        """`wake`: notify waiting processes. `theirs`: the caller's connection, or None."""
        if theirs is not None:
            try:
                return self._insert(theirs, _as_sent_by(theirs, job), wake, self._jobs.insert_job_for_caller)
            except DatabaseFailure as error:
                raise (error.__cause__ or error) from None
        sent = SentJobs(1, job.uid_number)
        if not wake:
            return self._calls.call(lambda ours: self._insert(ours, job, False, self._jobs.insert_job), sent=sent)
        carries = False
        try:
            carries = self._coalescer.begin()
            return self._calls.call(lambda ours: self._insert(ours, job, carries, self._jobs.insert_job), sent=sent)
        finally:
            self._coalescer.end(carries)

    def create_many(self, jobs: Sequence[Insert], wake: bool, theirs: Connection | None) -> list[Job]:
        """Store all or none, and return them in their order."""
        if theirs is not None:
            try:
                created = self._jobs.insert_jobs(theirs, jobs, as_job)
                if wake:
                    self._notifications.notify(theirs)
            except DatabaseFailure as error:
                raise (error.__cause__ or error) from None
            return created
        try:
            return self._calls.call(
                lambda ours: self._copy(ours, jobs),
                sent=SentJobs(len(jobs), jobs[0].uid_number),
                more_seconds=len(jobs) / self._tuning.create_rate,
            )
        finally:
            if wake:
                self._coalescer.owe()

    def _insert(
        self, connection: Connection, job: Insert, notify: bool, insert: Callable[[Connection, Insert, bool], Inserted | None]
    ) -> Job:
        try:
            inserted = insert(connection, job, notify)
        except Unexplained:
            # A limit or no memory: the server may be at fault, and recover, or this payload may, for good. check_payload tells.
            if insert == self._jobs.insert_job:
                self._jobs.check_payload(connection, job.payload)
            raise
        if inserted is None:  # an earlier try has stored it, and its reply was lost
            inserted = self._jobs.find_inserted(connection, [job.uid]).get(job.uid)
        if inserted is None:
            raise SteveError("the job was not stored: a trigger on the table job swallowed it")
        return as_job(job, *inserted)

    def _copy(self, connection: Connection, jobs: Sequence[Insert]) -> list[Job]:
        try:
            return self._jobs.insert_jobs(connection, jobs, as_job)
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


def _as_sent_by(connection: Connection, job: Insert) -> Insert:
    """The job as the encoding of the caller's session can carry it: the payload in ASCII if need be, which JSON allows. Raises
    InvalidJob for a name that the encoding cannot hold."""
    encoding = connection.info.encoding
    if encoding == "utf-8":
        return job
    for what, name in (("type", job.terms.type), ("queue", job.terms.queue)):
        try:
            name.encode(encoding)
        except UnicodeEncodeError:
            raise InvalidJob(f"{what} {name!r} cannot be sent in the connection's client_encoding, {encoding}") from None
    return job._replace(payload=_json.in_ascii(job.payload))
