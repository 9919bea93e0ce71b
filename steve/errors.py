"""What steve raises, and what a handler may raise to steer its job.

    SteveError
    ├── InvalidJob (also ValueError)   steve or PostgreSQL refuses an argument of create: nothing was stored
    ├── AlreadyExists                  create(on_conflict="raise") found a job with the same `unique`
    ├── SchemaError                    the tables are missing, too old, too new or changed by hand
    ├── NotRunning                     the call needs a running handler or a started manager, or the manager ended meanwhile
    ├── NotPossible                    the job's status does not allow the call: nothing was changed
    ├── LeaseLost                      complete() came too late: another process has the job, and the transaction is rolled back
    ├── JobFailed                      the job that a future stands for has failed
    ├── JobCancelled                   the job that a future stands for was cancelled
    ├── JobGone (also LookupError)     the job that somebody waits for does not exist, or not any more
    ├── Unavailable                    the database could not be reached: nothing was stored
    ├── OutcomeUnknown                 the connection broke while a job or a change was sent: it may or may not be stored
    └── ForkedProcessError             a manager on the user's own pool, used in the child of a fork

Beside them stand a handler's words, which are BaseExceptions, so that an `except Exception` in the handler does not catch them:

    Snooze                             run the job again later; the attempt does not count
    Retry                              the attempt failed; run the job again then
    Fail                               the attempt failed, and no other attempt is of use
    Cancel                             the job is not wanted any more
    Stopped                            what `current_run().check()` raises when the handler should come to its end
    TimeLimit                          raised into a handler that was registered with `interrupt=True`, at its deadline

and the names under which the log of attempts has what no handler raised. Nothing raises these:

    Cancelled, Expired, Crashed, TimedOut

A message names the thing that is wrong, its value and what to do. It never shows a payload or a password.
The errors that the database layer raises inside steve are in `_database/failures.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from steve.job import Job


class SteveError(Exception):
    """The base of all errors that steve itself raises."""


class InvalidJob(SteveError, ValueError):
    """steve or PostgreSQL cannot store an argument of `create` or `create_many`. Nothing was stored."""


class _ErrorAboutJob(SteveError):
    """`job`: the job that the error is about. It stays with the error in a copy and in another process."""

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message, job)
        self.job = job

    def __str__(self) -> str:
        return str(self.args[0])


class AlreadyExists(_ErrorAboutJob):
    """There is a job with the same `unique`, and `create` was called with `on_conflict="raise"`. Nothing was stored.

    `job`: the job that is there.
    """


class SchemaError(SteveError):
    """The tables in the database do not fit this version of steve. The message says what to run."""


class NotRunning(SteveError):
    """The call needs something that does not run here.

    Either `current_run()` was called outside a handler; or `create(on_done=...)` was called on a manager that is not started or
    has no handler for the type; or the manager was stopped while somebody waited for a job.
    """


class NotPossible(_ErrorAboutJob):
    """The call cannot change this job, for example because it has ended. The message says what works instead.

    `job`: the job as it is. If a job cannot be retried because another one has its unique key, `job` is the other one.
    """


class LeaseLost(SteveError):
    """`run.complete()` was called when the job did not belong to this run any more: this process was taken for dead, and the
    job runs elsewhere, or has ended there.

    The transaction can only be rolled back, even if the handler catches this error. Whatever the handler returns or raises is
    dropped.
    """


class JobFailed(_ErrorAboutJob):
    """The job ended `failed`. Futures raise it.

    `job`: the job as it ended.
    """


class JobCancelled(_ErrorAboutJob):
    """The job ended `cancelled`. Futures raise it.

    `job`: the job as it ended.
    """


class JobGone(SteveError, LookupError):
    """The job that somebody waits for does not exist: it was deleted, or the transaction that created it was rolled back."""


class Unavailable(SteveError):
    """The database could not be reached in time, or could not do its work. Nothing was stored or changed."""


class OutcomeUnknown(SteveError):
    """The connection broke while a job or a change was sent, and the database stayed away: it may or may not have been stored.

    `uid`: the uid of that job, or of the first job of `create_many` (which stores all or none). None: a call that changes or
    prunes many jobs was interrupted. Once the database is back, `manager.find(uid)` tells what was stored.
    """

    def __init__(self, message: str, uid: UUID | None = None) -> None:
        super().__init__(message)
        self.uid = uid


class ForkedProcessError(SteveError):
    """This process is the child of a fork, and the pool given as `db` belongs to its parent. Make a pool and a manager here."""


class Snooze(BaseException):
    """Raise it in a handler to postpone the job: it is pending again, due in `seconds`, and the attempt does not count.

    It is a BaseException, so that an `except Exception` in the handler does not catch it.
    `seconds`: 0 to 31,536,000 (a year). `reason`: a text that `job.error` and `why()` show until the next attempt has ended.
    Raises TypeError and ValueError for anything else.
    """

    def __init__(self, seconds: float, reason: str | None = None) -> None:
        self.seconds = check_pause("Snooze(seconds)", seconds)
        self.reason = None if reason is None else check_text("Snooze(seconds, reason)", reason)
        super().__init__(*(seconds,) if reason is None else (seconds, reason))


class Retry(BaseException):
    """Raise it in a handler whose attempt failed and that knows when to try again, from HTTP's Retry-After for example.

    The attempt counts as failed. Unless it was the last one, the next is due in `after` seconds, whatever the policy says.
    `after`: 0 to 31,536,000 (a year). `reason`: a text for the job's error and for the log. Raises TypeError and ValueError for
    anything else.
    """

    def __init__(self, after: float, reason: str | None = None) -> None:
        self.after = check_pause("Retry(after)", after)
        self.reason = None if reason is None else check_text("Retry(after, reason)", reason)
        super().__init__(after, reason)


class Fail(BaseException):
    """Raise it in a handler to fail the job at once, however many attempts are left.

    `reason`: a text for the job's error and for the log. Raises TypeError for anything else.
    """

    def __init__(self, reason: str) -> None:
        self.reason = check_text("Fail(reason)", reason)
        super().__init__(reason)


class Cancel(BaseException):
    """Raise it in a handler to cancel its job: it ends `cancelled`, neither completed nor failed.

    `reason`: a text for the job's error and for the log. Raises TypeError for anything else.
    """

    def __init__(self, reason: str) -> None:
        self.reason = check_text("Cancel(reason)", reason)
        super().__init__(reason)


STOP_REASONS = ("lost", "cancelled", "timed_out", "stopping")
"""Why a handler should come to its end, the most pressing first: each is a property of Run."""


class Stopped(BaseException):
    """Raised by `current_run().check()`: the handler should come to its end.

    `reason`: "timed_out", "cancelled", "stopping" or "lost". If the handler lets it pass, a timed-out attempt has failed as
    `TimedOut`; a job that somebody asked to cancel ends `cancelled`; and a job whose manager stops is pending again, due now,
    and the attempt does not count. Raises ValueError for any other reason.
    """

    def __init__(self, reason: str) -> None:
        if reason not in STOP_REASONS:
            raise ValueError(f"Stopped(reason) must be one of {', '.join(STOP_REASONS)}, not {shown(reason)}")
        self.reason = reason
        super().__init__(reason)


class TimeLimit(BaseException):
    """Raised into the handler at its deadline, wherever it is, if it was registered with `interrupt=True`.

    If the handler lets it pass, the attempt has failed as `TimedOut`.
    """

    def __str__(self) -> str:
        return "the handler took longer than its timeout"


class Cancelled(Exception):
    """Only a name: the `error_type` of an attempt that ended because its job was cancelled. It is never raised."""


class Expired(Exception):
    """Only a name: the `error_type` of a job that had not begun when its `expires_at` came. It is never raised."""


class Crashed(Exception):
    """Only a name: the `error_type` of an attempt whose process died or fell silent. It is never raised."""


class TimedOut(Exception):
    """Only a name: the `error_type` of an attempt that took longer than its `timeout`. It is never raised."""


def check_pause(what: str, seconds: object) -> float:
    """Returns the seconds before the next attempt. Raises TypeError or ValueError if they are no number, or more than a year.
    `what`: the word for them in errors."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what} must be a number, not {type(seconds).__name__}")
    if not 0 <= seconds <= 31_536_000:
        raise ValueError(f"{what} must be between 0 and 31536000 (a year), not {shown(seconds)}")
    return float(seconds)


def check_text(what: str, text: object) -> str:
    """Returns the text. Raises TypeError unless it is a str."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    return text


def shown(value: object) -> str:
    """The value as text for a message. It is short, and its repr() may raise."""
    try:
        return repr(value)[:60]
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
