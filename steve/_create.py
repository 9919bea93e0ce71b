"""Stores new jobs: on the caller's connection or on one of ours, and wakes who waits for them.

`JobManager.create` and `create_many` are this, once `_enqueue` has checked what they were given. On a connection of ours
a job whose reply was lost is sent again under the same uid; on the caller's nothing is, and the driver's errors come through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import _json
from ._announce import Announcer
from ._ask import translated
from ._calls import Calls
from ._connection import Connection
from ._enqueue import as_job
from ._pool import Connections, Sent
from ._store import Insert, Inserted, Store
from .errors import InvalidJob, Refused, SteveError, Trouble, Unexplained, Weather
from .job import Job
from .settings import ANSWER_SECONDS, CREATE_PACE

PAY_SECONDS = 1.0
"""How long a notification that is sent late may wait for a connection: the poll finds the jobs meanwhile."""


class Creator:
    def __init__(self, store: Store, calls: Calls, connections: Connections) -> None:
        self._store = store
        self._calls = calls
        self._announcer = Announcer(lambda: connections.once(store.notify, PAY_SECONDS))

    def create(self, job: Insert, wake: bool, theirs: Connection | None) -> Job:
        """`wake`: notify waiting processes. `theirs`: the caller's connection."""
        if theirs is not None:
            try:
                return self._insert(theirs, _as_sent_by(theirs, job), wake, self._store.insert_job_for_caller)
            except Trouble as error:
                raise (error.__cause__ or error) from None
        sent = Sent(1, job.uid_number)
        if not wake:
            return self._calls.call(lambda ours: self._insert(ours, job, False, self._store.insert_job), sent)
        carries = False
        try:
            carries = self._announcer.begin()
            return self._calls.call(lambda ours: self._insert(ours, job, carries, self._store.insert_job), sent)
        finally:
            self._announcer.end(carries)

    def create_many(self, jobs: Sequence[Insert], wake: bool, theirs: Connection | None) -> list[Job]:
        """All or none, in their order."""
        if theirs is not None:
            try:
                created = self._store.insert_jobs(theirs, jobs, as_job)
                if wake:
                    self._store.notify(theirs)
            except Trouble as error:
                raise (error.__cause__ or error) from None
            return created
        try:
            return self._calls.call(
                lambda ours: self._copy(ours, jobs),
                Sent(len(jobs), jobs[0].uid_number),
                ANSWER_SECONDS + len(jobs) / CREATE_PACE,
            )
        finally:
            if wake:
                self._announcer.owe()

    def _insert(
        self, connection: Connection, job: Insert, notify: bool, insert: Callable[[Connection, Insert, bool], Inserted | None]
    ) -> Job:
        try:
            inserted = insert(connection, job, notify)
        except Unexplained:
            # A limit, no memory: of the server, which may pass, or of this payload, which will not.
            if insert == self._store.insert_job:
                self._store.check_payload(connection, job.payload)
            raise
        if inserted is None:  # stored by an earlier try, its reply lost
            inserted = self._store.find_inserted(connection, [job.uid]).get(job.uid)
        if inserted is None:
            raise SteveError("the job was not stored: a trigger on the table job swallowed it")
        return as_job(job, *inserted)

    def _copy(self, connection: Connection, jobs: Sequence[Insert]) -> list[Job]:
        try:
            return self._store.insert_jobs(connection, jobs, as_job)
        except Weather as error:
            if error.sqlstate != "0A000":
                raise
            # Under row level security PostgreSQL takes no COPY.
            with translated(connection), connection.transaction():
                return [self._insert(connection, job, False, self._store.insert_job) for job in jobs]
        except Refused as error:
            if error.sqlstate != "23505":
                raise
            # An earlier try, whose reply was lost, has stored them all.
            found = self._store.find_inserted(connection, [job.uid for job in jobs])
            if len(found) < len(jobs):
                raise
            return [as_job(job, *found[job.uid]) for job in jobs]


def _as_sent_by(connection: Connection, job: Insert) -> Insert:
    """The job in the encoding of a caller's session: JSON can say everything in ASCII, names cannot. Raises InvalidJob."""
    encoding = connection.info.encoding
    if encoding == "utf-8":
        return job
    for what, name in (("type", job.terms.type), ("queue", job.terms.queue)):
        try:
            name.encode(encoding)
        except UnicodeEncodeError:
            raise InvalidJob(f"{what} {name!r} cannot be sent in the connection's client_encoding, {encoding}") from None
    return job._replace(payload=_json.in_ascii(job.payload))
