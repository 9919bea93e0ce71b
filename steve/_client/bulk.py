"""Changes many jobs: cancel_all, retry_all and delete_all.

A call fixes at its beginning where it ends: at the newest job, and at that time. Then it goes up the uids, a batch of up to
1,000 jobs in each transaction. So it passes each job once, whatever the job does meanwhile,
and never a job that is created later. A batch waits for no lock. Jobs that others have locked are tried again in the end, one
by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._client.control import Told, check_attempts, check_reason
from steve._client.lookup import check_error, check_tags
from steve._database.caller import AnyConnection, caller_of
from steve._database.execute import savepoint
from steve._database.failures import Refused
from steve._database.statements import Statements
from steve._database.statements.audit import Entry
from steve._database.statements.bulk import Batch, End, Matching, Span
from steve._model.control import cancelled_error, possible
from steve._model.names import check_name
from steve._model.settings import Settings
from steve._model.times import check_time
from steve.errors import shown
from steve.job import Status
from steve.report import Changed

NO_UID = UUID(int=0)
PAUSES = (0.0, 0.01, 0.05, 0.2, 0.5)
"""Before each try to change a job that others had locked."""


class Filters(NamedTuple):
    """Which jobs to change, as the caller gave it."""

    status: object = None
    type: object = None
    queue: object = None
    tags: object = None
    error: object = None
    created_before: object = None
    created_after: object = None
    ended_before: object = None
    ended_after: object = None


class Options(NamedTuple):
    """How to change them, as the caller gave it."""

    limit: object
    dry_run: object
    progress: object
    connection: object
    rate: object = None


class Step(NamedTuple):
    """A call, ready to send its batches."""

    call: str
    matching: Matching
    send: Callable[[AnyConnection, Span, bool], Batch]
    is_told: bool = False
    """Whether listeners are told of what it does."""


class Pace:
    """Keeps a call to so many jobs a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self.most = None if rate is None else max(1, int(rate / 4))
        """How many jobs a batch may take, so that there are four in a second; None: any number."""

    def wait(self, done: int) -> None:
        """Wait until that many jobs may be done."""
        if self._rate is not None:
            time.sleep(max(0.0, self._began + done / self._rate - time.monotonic()))


class Bulk:
    def __init__(self, *, calls: Calls, statements: Statements, settings: Settings, told: Told, audit: Audit) -> None:
        self._calls = calls
        self._statements = statements
        self._settings = settings
        self._told = told
        self._audit = audit

    def cancel_all(self, filters: Filters, options: Options, reason: object) -> Changed:
        matching, why = checked("cancel", filters), check_reason(reason)
        told = options.connection is None and self._told.wants_cancelled()

        def cancel(ours: AnyConnection, span: Span, notify: bool) -> Batch:
            return self._statements.bulk.cancel_jobs(ours, matching, span, notify, why, cancelled_error(why), told)

        return self._run(Step("cancel", matching, cancel, told), filters, options)

    def retry_all(self, filters: Filters, options: Options, attempts: object, completed: object) -> Changed:
        if not isinstance(completed, bool):
            raise TypeError(f"completed must be True or False, not {completed.__class__.__name__}")
        matching, count = checked("retry", filters, completed=completed), check_attempts(attempts)

        def retry(ours: AnyConnection, span: Span, notify: bool) -> Batch:
            try:
                with savepoint(ours):  # a transaction goes on if a key is taken
                    return self._statements.bulk.retry_jobs(ours, matching, span, notify, count)
            except Refused as error:
                if error.sqlstate != "23505":
                    raise
            if span.uids is not None:
                return Batch(0, [], None, skipped=1)
            # A job was created with the key of one of these: take them one by one.
            all = self._statements.bulk.retry_jobs(ours, matching, span._replace(dry=True), notify, count)
            each = [retry(ours, span._replace(uids=[uid]), notify) for uid in all.passed]
            return Batch(
                sum(one.done for one in each),
                [uid for one in each for uid in one.passed],
                all.last,
                sum(one.skipped for one in each),
            )

        return self._run(Step("retry", matching, retry), filters, options)

    def delete_all(self, filters: Filters, options: Options) -> Changed:
        matching = checked("delete", filters)

        def delete(ours: AnyConnection, span: Span, notify: bool) -> Batch:
            return self._statements.bulk.delete_jobs(ours, matching, span, notify)

        return self._run(Step("delete", matching, delete), filters, options)

    def _run(self, step: Step, filters: Filters, options: Options) -> Changed:
        limit, dry, progress = _checked_options(options)
        pace = Pace(None if dry else _checked_rate(options.rate))
        theirs = caller_of(options.connection)
        look = self._settings.tuning.bulk_look
        end = self._calls.call_on(theirs, lambda ours: self._statements.bulk.find_end(ours, look))
        if end is None:
            return Changed(0, 0)
        given = {name: value for name, value in filters._asdict().items() if value is not None}
        entry = None if dry else self._audit.entry(f"{step.call}_all", given)
        passed: list[UUID] = []
        keys: set[str] = set()
        done = skipped = 0
        after: UUID | None = NO_UID
        while after is not None and (limit is None or done < limit):
            pace.wait(done)
            span = self._span(end, after, limit if limit is None else limit - done, dry, pace.most)
            began = time.monotonic()
            batch = self._send(step, span, theirs, entry)
            took = time.monotonic() - began
            repeated = keys.intersection(batch.keys)  # in a dry run, an earlier batch has not taken the key
            keys.update(batch.keys)
            done += batch.done - len(repeated)
            skipped += batch.skipped + len(repeated)
            passed += [] if dry else batch.passed
            after = batch.last
            progress(done)
            if after is not None and theirs is None:
                time.sleep(took * self._settings.tuning.bulk_rest)
        if passed:
            room = len(passed) if limit is None else limit - done
            more, left = self._send_singly(step, end, passed, room, theirs, entry)
            done, skipped = done + more, skipped + left
            progress(done)
        return Changed(done, skipped)

    def _span(self, end: End, after: UUID, left: int | None, dry: bool, most: int | None) -> Span:
        tuning = self._settings.tuning
        most = min(one for one in (tuning.bulk_most, left, most) if one is not None)
        return Span(end, after, tuning.bulk_look, most, dry=dry)

    def _send_singly(
        self, step: Step, end: End, uids: list[UUID], room: int, theirs: AnyConnection | None, entry: Entry | None
    ) -> tuple[int, int]:
        """Returns how many of these jobs were changed, and how many were not. On the caller's connection each is tried once,
        because the caller's transaction holds locks that others may wait for."""
        done = skipped = 0
        for pause in PAUSES if theirs is None else PAUSES[:1]:
            if not uids:
                break
            time.sleep(pause)
            left = []
            for uid in uids:
                if done >= room:
                    break
                batch = self._send(step, Span(end, NO_UID, 0, 1, [uid]), theirs, entry)
                done += batch.done
                skipped += batch.skipped
                left += batch.passed  # neither done nor passed: it does not match any more
            uids = left
        return done, skipped + len(uids)

    def _send(self, step: Step, span: Span, theirs: AnyConnection | None, entry: Entry | None) -> Batch:
        notify = self._settings.notify
        if step.is_told and not span.dry:
            self._told.wait_for_listeners()  # here, where no connection is held

        def send(ours: AnyConnection) -> Batch:
            return self._audit.write(ours, entry, lambda: step.send(ours, span, notify), lambda batch: batch.done)

        batch = self._calls.change_on(theirs, send)
        if batch.cancelled:
            found = self._calls.call(lambda ours: self._statements.jobs.find_jobs(ours, batch.cancelled))
            self._told.on_cancelled([job for job in found.values() if job.status is Status.CANCELLED])
        return batch


def checked(call: str, filters: Filters, *, completed: bool = False) -> Matching:
    """Which jobs the call changes. Raises TypeError or ValueError for the first filter that is wrong."""
    if all(value is None for value in filters):
        raise TypeError(f"{call}_all would take all jobs: name at least one filter, such as type=, status= or created_before=")
    allowed = possible(call, completed=completed)
    if filters.status is not None and filters.status not in allowed:
        more = ", and with completed=True completed ones" if call == "retry" and not completed else ""
        raise ValueError(f"{call}_all changes jobs that are {' or '.join(allowed)}{more}, not {shown(filters.status)}")
    times = {
        name: None if getattr(filters, name) is None else check_time(name, getattr(filters, name))
        for name in ("created_before", "created_after", "ended_before", "ended_after")
    }
    return Matching(
        [str(status) for status in allowed] if filters.status is None else [str(filters.status)],
        None if filters.type is None else check_name("type", filters.type),
        None if filters.queue is None else check_name("queue", filters.queue),
        None if filters.tags is None else _tags(filters.tags),
        None if filters.error is None else check_error(filters.error),
        **times,
    )


def _tags(tags: object) -> str:
    text = check_tags(tags)
    if text is None:  # it would match every job
        raise ValueError("tags is empty: name at least one")
    return text


def _checked_options(options: Options) -> tuple[int | None, bool, Callable[[int], Any]]:
    limit, dry_run, progress = options.limit, options.dry_run, options.progress
    if limit is not None:
        if type(limit) is not int:  # not isinstance: True is an int
            raise TypeError(f"limit must be an int or None, not {limit.__class__.__name__}")
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {shown(limit)}")
    if not isinstance(dry_run, bool):
        raise TypeError(f"dry_run must be True or False, not {dry_run.__class__.__name__}")
    if progress is None:
        return limit, dry_run, lambda done: None
    if not callable(progress):
        raise TypeError(f"progress must be callable or None, not {progress.__class__.__name__}")
    return limit, dry_run, progress


def _checked_rate(rate: object) -> float | None:
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(f"rate must be a number of jobs a second or None, not {rate.__class__.__name__}")
    if not 0.01 <= rate <= 1e9:
        raise ValueError(f"rate must be 0.01 to 1,000,000,000 jobs a second, not {shown(rate)}")
    return float(rate)
