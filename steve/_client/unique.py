"""Stores jobs whose `unique` no other job may have while they have not ended.

Nothing is locked and no job is looked for first: the job is inserted, and the unique index decides. Only if it was not
inserted, a second statement looks for the job that has the key, or replaces it. That job may have ended meanwhile; then it all
begins again. So this takes one round trip without a conflict, and two with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from steve._client.enqueue import as_job
from steve._database.caller import AnyConnection, Caller
from steve._database.failures import Connection, Refused, Transient, translated
from steve._database.statements.jobs import Insert, Inserted, JobStatements
from steve._database.statements.rows import job_row
from steve._database.statements.unique import Answer, Found, UniqueStatements
from steve.errors import AlreadyExists, SteveError
from steve.job import Job

TRIES = 100
"""Each try but the last found that the key was taken, and then that the job which had it had ended."""

BYTES = 64 << 20
"""Roughly the most bytes of payload in one statement."""


class UniqueJobs:
    """Used by one call at a time on one connection. `resent`: an earlier try of the same call may have been carried out."""

    def __init__(self, *, jobs: JobStatements, unique: UniqueStatements, keep: float) -> None:
        """`keep`: for how many seconds a call may be sent again."""
        self._jobs = jobs
        self._unique = unique
        self._keep = keep

    # -- one ------------------------------------------------------------------------------------------------------------

    def create(
        self,
        connection: AnyConnection,
        job: Insert,
        notify: bool,
        insert: Callable[[Any, Insert, bool], Inserted | None],
        *,
        sparing: bool,
        resent: bool,
    ) -> Job:
        """`insert`: inserts a job that has no window."""
        if resent and (known := self._known(job, self._find(connection, [job], sparing))) is not None:
            return known
        for _ in range(TRIES):
            if job.window is None:
                inserted = insert(connection, job, notify)
            else:
                inserted = self._unique.insert_unique_jobs(connection, [job], notify, sparing=sparing).get(job.uid_number)
            if inserted is not None:
                return as_job(job, *inserted)
            if (there := self._there(connection, job, notify, sparing, resent)) is not None:
                return there
        raise _never_stored(job)

    def _there(self, connection: AnyConnection, job: Insert, notify: bool, sparing: bool, resent: bool) -> Job | None:
        """The job that has the key, or what has become of it. None: it has ended meanwhile."""
        if job.on_conflict == "replace":
            try:
                replaced = self._unique.replace_jobs(connection, [job], notify, sparing=sparing, keep=self._keep)
            except Refused as error:
                if error.sqlstate != "23505" or sparing:
                    raise
                return self._known(job, self._find(connection, [job], sparing))
            if job.uid_number in replaced:
                return replaced[job.uid_number].job
        elif job.window is None and not resent and (holder := self._open(connection, job, sparing)) is not None:
            return self._taken(job, holder)
        # If the job is sent again, the one that has the key may be this one: the database may carry out the first try only now.
        found = self._find(connection, [job], sparing)
        if (known := self._known(job, found)) is not None:
            return known
        holder = _holder(job, found)
        if _is_stray(job, found):
            self._unique.close_windows(connection, [job])
        return None if holder is None or (job.on_conflict == "replace" and job.key in found.open) else self._taken(job, holder)

    # -- on a connection of another driver ------------------------------------------------------------------------------

    def create_at_once(self, connection: Caller, jobs: Sequence[Insert], notify: bool) -> list[Job]:
        """Store all or none in one statement, and return them in their order.

        If another create stores a job with one of the keys at the same moment, further statements follow. If the keys must be
        free, a savepoint around all of them keeps what was stored before the error from staying.
        """
        is_undone = len(jobs) > 1 and any(job.on_conflict == "raise" for job in jobs)
        with connection.atomic() if is_undone else nullcontext():
            places, unique = settle_keys(jobs)
            results: dict[int, Job] = {}
            sent = {job.uid_number: job for job in [*(job for job in jobs if job.key is None), *unique]}
            for answer in self._unique.create_unique_jobs(connection, list(sent.values()), notify):
                if answer.asked not in results:
                    results[answer.asked] = self._answered(sent[answer.asked], answer)
            if left := [job for number, job in sent.items() if number not in results]:
                self._store(connection, left, True, False, results)
            return in_order(jobs, places, results)

    def _answered(self, job: Insert, answer: Answer) -> Job:
        if answer.kind == "stored" and answer.row is not None:
            return as_job(job, *answer.row)
        if answer.row is None:
            return self._taken(job, _deleted(job, answer.held or job.uid))
        there = job_row(answer.row, duplicate=True)
        return there if answer.kind == "changed" else self._taken(job, there)

    # -- many -----------------------------------------------------------------------------------------------------------

    def create_many(
        self, connection: Connection, jobs: Sequence[Insert], *, copy: bool = True, sparing: bool, resent: bool
    ) -> list[Job]:
        """Store all or none, and return them in their order. Of several jobs with one key, one is sent. `copy`: store those
        without a key by COPY."""
        if sparing and not connection.autocommit:
            with translated(connection):
                connection.execute("select")  # so that the transaction below is a savepoint in the caller's
        try:
            with translated(connection), connection.transaction():
                return self._create_many(connection, jobs, copy, sparing, resent)
        except Transient as error:
            if error.sqlstate != "0A000" or not copy or sparing:
                raise
            # PostgreSQL refuses COPY into a table with row level security.
            return self.create_many(connection, jobs, copy=False, sparing=sparing, resent=resent)
        except Refused as error:
            if error.sqlstate != "23505" or resent or sparing:
                raise
            # The uids exist: an earlier try, which the database carries out only now, has stored the jobs.
            return self.create_many(connection, jobs, copy=copy, sparing=sparing, resent=True)

    def _create_many(
        self, connection: Connection, jobs: Sequence[Insert], copy: bool, sparing: bool, resent: bool
    ) -> list[Job]:
        plain = [job for job in jobs if job.key is None]
        places, unique = settle_keys(jobs)
        results: dict[int, Job] = {}
        if resent:
            self._add_known(connection, plain, unique, sparing, results)
        plain = [job for job in plain if job.uid_number not in results]
        if plain and copy:
            has_options = any(job.terms.options is not None for job in plain)
            made = self._jobs.insert_jobs(connection, plain, as_job, has_options=has_options)
            results |= zip((job.uid_number for job in plain), made, strict=True)
        elif plain:
            for some in _chunks(plain):
                inserted = self._unique.insert_unique_jobs(connection, some, False, sparing=sparing)
                results |= {job.uid_number: as_job(job, *inserted[job.uid_number]) for job in some}
        unique.sort(key=lambda job: job.key or "")
        for some in _chunks(unique):
            self._store(connection, some, sparing, resent, results)
        return in_order(jobs, places, results)

    def _add_known(
        self,
        connection: Connection,
        plain: Sequence[Insert],
        unique: Sequence[Insert],
        sparing: bool,
        results: dict[int, Job],
    ) -> None:
        """What an earlier try of the call has stored or changed."""
        inserted = self._jobs.find_inserted(connection, [job.uid for job in plain])
        results |= {job.uid_number: as_job(job, *inserted[job.uid]) for job in plain if job.uid in inserted}
        found = self._find(connection, unique, sparing)
        results |= {job.uid_number: known for job in unique if (known := self._known(job, found)) is not None}

    def _store(
        self, connection: AnyConnection, jobs: Sequence[Insert], sparing: bool, resent: bool, results: dict[int, Job]
    ) -> None:
        left = [job for job in jobs if job.uid_number not in results]
        for _ in range(TRIES):
            inserted = self._unique.insert_unique_jobs(connection, left, False, sparing=sparing) if left else {}
            results |= {job.uid_number: as_job(job, *inserted[job.uid_number]) for job in left if job.uid_number in inserted}
            left = [job for job in left if job.uid_number not in inserted]
            if replacing := [job for job in left if job.on_conflict == "replace"]:
                replaced = self._unique.replace_jobs(connection, replacing, False, sparing=sparing, keep=self._keep)
                results |= {number: one.job for number, one in replaced.items()}
                left = [job for job in left if job.uid_number not in replaced]
            if not left:
                return
            found = self._unique.find_unique(connection, left, sparing=sparing, resent=resent)
            if stray := [job for job in left if _is_stray(job, found)]:
                self._unique.close_windows(connection, stray)
            results |= {job.uid_number: known for job in left if resent and (known := self._known(job, found)) is not None}
            for job in (one for one in left if one.uid_number not in results):
                holder = _holder(job, found)
                if holder is not None and not (job.on_conflict == "replace" and job.key in found.open):
                    results[job.uid_number] = self._taken(job, holder)
            left = [job for job in left if job.uid_number not in results]
        raise _never_stored(left[0])

    # -- what is there --------------------------------------------------------------------------------------------------

    def _open(self, connection: AnyConnection, job: Insert, sparing: bool) -> Job | None:
        return self._unique.find_holder(connection, job.key or "", sparing=sparing)

    def _find(self, connection: AnyConnection, jobs: Sequence[Insert], sparing: bool) -> Found:
        return self._unique.find_unique(connection, jobs, sparing=sparing, resent=True)

    @staticmethod
    def _known(job: Insert, found: Found) -> Job | None:
        """What an earlier try has stored or changed."""
        if job.uid_number in found.made:
            return as_job(job, *found.made[job.uid_number])
        if job.uid_number in found.replaced:
            return found.replaced[job.uid_number] or _deleted(job, job.uid)
        return None

    @staticmethod
    def _taken(job: Insert, holder: Job) -> Job:
        """What the call returns for a job whose key is taken. Raises AlreadyExists."""
        if job.on_conflict == "raise":
            raise AlreadyExists(f"there is a job with unique {job.key!r}: {holder.uid}, {holder.status}", holder)
        return holder


def settle_keys(jobs: Sequence[Insert]) -> tuple[list[int], list[Insert]]:
    """For each job the number of the uid of the job that stands for it; and the jobs with keys that are sent: of several with
    one key the first, unless a later one replaces it."""
    winners: dict[str, Insert] = {}
    for job in jobs:
        if job.key is not None and (job.key not in winners or job.on_conflict == "replace"):
            winners[job.key] = job
    places = [job.uid_number if job.key is None else winners[job.key].uid_number for job in jobs]
    return places, list(winners.values())


def in_order(jobs: Sequence[Insert], places: Sequence[int], results: Mapping[int, Job]) -> list[Job]:
    """The result for each job. `places`: those of `settle_keys`."""
    return [
        results[place] if place == job.uid_number or results[place].duplicate else replace(results[place], duplicate=True)
        for job, place in zip(jobs, places, strict=True)
    ]


def _holder(job: Insert, found: Found) -> Job | None:
    """The job that has the key, because it has not ended or because its window is not over."""
    if job.key in found.open:
        return found.open[job.key]
    if job.window is None or job.key not in found.windows:
        return None
    uid, holder = found.windows[job.key]
    if holder is not None:
        return holder
    return None if _is_stray(job, found) else _deleted(job, uid)


def _is_stray(job: Insert, found: Found) -> bool:
    """Whether this call has opened the window without making a job, because another job took the key at the same moment."""
    return job.window is not None and job.key in found.windows and found.windows[job.key][0] == job.uid


def _deleted(job: Insert, uid: UUID) -> Job:
    """In place of a job that was deleted: all that is still known of it is its uid, which says when it was made."""
    created_at = datetime.fromtimestamp((uid.int >> 80) / 1000, UTC)
    return replace(as_job(job, created_at, created_at, created_at), uid=uid, status="deleted", duplicate=True)


def _chunks(jobs: Sequence[Insert]) -> Iterator[list[Insert]]:
    """The jobs in lists that are not too long for one statement, in the same order."""
    some: list[Insert] = []
    size = 0
    for job in jobs:
        size += len(job.payload)
        if some and size > BYTES:
            yield some
            some, size = [], len(job.payload)
        some.append(job)
    if some:
        yield some


def _never_stored(job: Insert) -> SteveError:
    return SteveError(
        f"the job with unique {job.key!r} was not stored: a trigger on the table job swallowed it, a unique index of yours "
        "refuses it, or jobs with that key end and are created all the time"
    )
