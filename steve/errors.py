"""What steve raises, and what a handler may raise to steer its job.

    SteveError
    ├── InvalidJob (also ValueError)   an argument of create: refused before anything was sent
    ├── SchemaError                    the tables are missing, too old, too new or changed by hand
    ├── NotRunning                     needs a running handler or a started manager
    ├── Unavailable                    the database could not be reached: nothing was stored
    ├── OutcomeUnknown                 the connection broke while a job was sent: it may have been stored
    └── ForkedProcessError             a manager on the user's own pool, used in the child of a fork

    Snooze (BaseException)             raised by a handler: not now, again in so many seconds

Messages name the thing, the value (never a payload's, never a password) and what to do.
What the database layer raises inside steve is in `_database/failures.py`.
"""

from __future__ import annotations

from uuid import UUID


class SteveError(Exception):
    """Anything that steve itself raises."""


class InvalidJob(SteveError, ValueError):
    """An argument of `create` or `create_many` that steve or PostgreSQL cannot hold. Nothing was stored."""


class SchemaError(SteveError):
    """The tables in the database do not fit this version of steve. The message says what to run."""


class NotRunning(SteveError):
    """Called where nothing runs: `current_run()` outside a handler, `create(on_done=...)` before `start()`."""


class Unavailable(SteveError):
    """The database could not be reached or refused its service in time. Nothing was stored."""


class OutcomeUnknown(SteveError):
    """The connection broke after a job was sent and stayed away: it may have been stored or not.

    `uid`: of that job, or of create_many's first job (all were stored, or none). Once the database is back, `manager.find(uid)`
    tells which.
    """

    def __init__(self, message: str, uid: UUID | None = None) -> None:
        super().__init__(message)
        self.uid = uid


class ForkedProcessError(SteveError):
    """The pool given as `db` is the parent's, with its threads and sockets. Make a pool and a manager in this process."""


class Snooze(BaseException):
    """Raise it in a handler to postpone the job: it is pending again, due in `seconds`, and the attempt does not count.

    A BaseException, so that a handler's own `except Exception` lets it pass.
    `seconds`: 0 to 31,536,000 (a year); anything else is a `ValueError`.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"Snooze(seconds) must be a number, not {type(seconds).__name__}")
        if not 0 <= seconds <= 31_536_000:
            raise ValueError(f"Snooze(seconds) must be between 0 and 31536000 (a year), not {shown(seconds)}")
        super().__init__(seconds)
        self.seconds = float(seconds)


def shown(value: object) -> str:
    """A value for a message: short, whatever its repr() does."""
    try:
        return repr(value)[:60]
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
