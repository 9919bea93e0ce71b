"""Changes one job: cancel, retry, reschedule, set_priority and delete.

Each call is one statement, which changes the job only if its status allows that. If it changed nothing, the job is looked up:
it does not exist, or NotPossible says why. Each call is a transaction. If the connection breaks, it is carried out again only
if that transaction was not committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._client.lookup import uid_of
from steve._database.caller import AnyConnection, Caller, caller_of
from steve._database.execute import savepoint
from steve._database.failures import Refused
from steve._database.statements import Statements
from steve._model.control import cancelled_error, key_refusal, possible, refusal
from steve._model.times import check_delay, check_time
from steve.errors import NotPossible, shown
from steve.job import Job, Status
from steve.retry import MAX_ATTEMPTS

TRIES = 10
"""How often a statement is sent again because the job's status has just become one that allows the call."""
REASON_MOST = 1_000


class Told(Protocol):
    """The started manager, which tells its listeners of jobs that were cancelled before they ran."""

    def wants_cancelled(self) -> bool: ...

    def on_cancelled(self, jobs: Sequence[Job]) -> None: ...

    def wait_for_listeners(self) -> None: ...


class Control:
    def __init__(self, *, calls: Calls, statements: Statements, notify: bool, told: Told, audit: Audit) -> None:
        self._calls = calls
        self._statements = statements
        self._control = statements.control
        self._notify = notify
        self._told = told
        self._audit = audit

    def cancel(self, job: object, reason: object, connection: object) -> Job | None:
        uid, why = uid_of(job), check_reason(reason)

        def cancel(ours: AnyConnection) -> Job | None:
            return self._control.cancel_job(ours, uid, why, cancelled_error(why), self._notify)

        cancelled = self._change("cancel", uid, cancel, connection)
        if cancelled is not None and cancelled.status is Status.CANCELLED and connection is None:
            self._told.on_cancelled([cancelled])
        return cancelled

    def retry(self, job: object, attempts: object, completed: object, connection: object) -> Job | None:
        uid, count = uid_of(job), check_attempts(attempts)
        if not isinstance(completed, bool):
            raise TypeError(f"completed must be True or False, not {completed.__class__.__name__}")

        def retry(ours: AnyConnection) -> Job | None:
            if isinstance(
                ours, Caller
            ):  # one statement: if another job takes the key just now, the driver's error comes through
                return self._control.retry_job(ours, uid, count, completed, self._notify)
            try:
                with savepoint(ours):  # a transaction goes on if the key is taken
                    return self._control.retry_job(ours, uid, count, completed, self._notify)
            except Refused as error:
                if error.sqlstate != "23505":
                    raise
                return None

        return self._change("retry", uid, retry, connection, completed=completed)

    def reschedule(self, job: object, run_at: object, delay: object, connection: object) -> Job | None:
        uid = uid_of(job)
        if (run_at is None) == (delay is None):
            raise TypeError("reschedule takes run_at= or delay=, one of the two")
        at = None if run_at is None else check_time("run_at", run_at)
        after = None if delay is None else check_delay("delay", delay)

        def reschedule(ours: AnyConnection) -> Job | None:
            return self._control.reschedule_job(ours, uid, at, after, self._notify)

        return self._change("reschedule", uid, reschedule, connection)

    def set_priority(self, job: object, priority: object, connection: object) -> Job | None:
        uid = uid_of(job)
        if type(priority) is not int:  # not isinstance: True is an int
            raise TypeError(f"priority must be an int, not {priority.__class__.__name__}")
        if not -100 <= priority <= 100:
            raise ValueError(f"priority must be between -100 and 100 (higher first), not {shown(priority)}")

        def set_priority(ours: AnyConnection) -> Job | None:
            return self._control.set_priority(ours, uid, priority, self._notify)

        return self._change("set_priority", uid, set_priority, connection)

    def delete(self, job: object, connection: object) -> Job | None:
        uid = uid_of(job)

        def delete(ours: AnyConnection) -> Job | None:
            return self._control.delete_job(ours, uid, self._notify)

        return self._change("delete", uid, delete, connection)

    def _change(
        self,
        call: str,
        uid: UUID,
        statement: Callable[[AnyConnection], Job | None],
        connection: object,
        *,
        completed: bool = False,
    ) -> Job | None:
        theirs = caller_of(connection)
        entry = self._audit.entry(call, {"job": str(uid)})
        allowed = possible(call, completed=completed)

        def change(ours: AnyConnection) -> Job | None:
            tries = TRIES
            while True:
                changed = self._audit.write(ours, entry, lambda: statement(ours), lambda job: int(job is not None))
                if changed is not None:
                    return changed
                found = self._statements.jobs.find_jobs(ours, [uid]).get(uid)
                if found is None:
                    return None
                # It may have this status since a moment ago. Otherwise another job has its unique key.
                holder = self._control.find_holder(ours, uid) if call == "retry" else None
                if holder is not None:
                    raise NotPossible(key_refusal(found, holder), holder)
                tries -= 1
                if found.status not in allowed or not tries:
                    raise NotPossible(refusal(call, found), found)

        return self._calls.change_on(theirs, change, uid)


def check_reason(reason: object) -> str | None:
    """Returns the reason. Raises TypeError and ValueError."""
    if reason is None:
        return None
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str or None, not {reason.__class__.__name__}")
    if not 1 <= len(reason) <= REASON_MOST:
        raise ValueError(f"reason must have 1 to {REASON_MOST} characters, not {len(reason)}")
    if "\x00" in reason or any("\ud800" <= c <= "\udfff" for c in reason):
        raise ValueError("reason contains a NUL character or a lone surrogate")
    return str.__str__(reason)


def check_attempts(attempts: object) -> int | None:
    """Returns the number. Raises TypeError and ValueError."""
    if attempts is None:
        return None
    if type(attempts) is not int:  # not isinstance: True is an int
        raise TypeError(f"attempts must be an int or None, not {attempts.__class__.__name__}")
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ValueError(f"attempts must be between 1 and {MAX_ATTEMPTS}, not {shown(attempts)}")
    return attempts
