"""Run: what a handler sees of its own run, through `steve.current_run()`."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from steve.errors import STOP_REASONS, NotRunning, Stopped
from steve.job import Job

NOTE_MOST = 1_000
"""How many characters of a note are kept."""


class CompletionPort(Protocol):
    """What `complete` and `transaction` of a run ask the engine."""

    def complete(self, run: Run, result: object, connection: object, bind: object) -> None: ...

    def transaction(self, run: Run) -> AbstractContextManager[Any]: ...

    def forget(self, claim: tuple[UUID, int]) -> None:
        """The handler that called `complete` has returned."""


class RunPort(Protocol):
    """What a run asks the engine. All methods may be called from any thread."""

    completions: CompletionPort | None

    @property
    def records(self) -> RecordPort | None: ...

    def is_stopping(self) -> bool: ...

    def is_lost(self, claim: tuple[UUID, int]) -> bool: ...

    def is_cancelled(self, claim: tuple[UUID, int]) -> bool: ...

    def wait(self, claim: tuple[UUID, int], seconds: float) -> bool: ...

    def interrupting(
        self, claim: tuple[UUID, int], connection: object, limit: LimitPort | None
    ) -> AbstractContextManager[None]: ...


class WindowPort(Protocol):
    """Where TimeLimit may be raised."""

    def shut(self) -> None: ...

    def unshut(self) -> None: ...


class LimitPort(Protocol):
    """The limit of a run that has a timeout."""

    @property
    def deadline(self) -> float: ...

    @property
    def window(self) -> WindowPort | None: ...


class RecordPort(Protocol):
    """Where a run says how far it is. `run`: its uid, its lease_no and the time of its claim. From any thread; nothing
    waits."""

    def progress(self, run: tuple[UUID, int, Any], done: float, total: float | None, note: str | None) -> None: ...

    def over(self, run: tuple[UUID, int, Any]) -> None: ...


class Run:
    """One run of a job, for its handler: `steve.current_run()` returns it."""

    __slots__ = ("_begun", "_claim", "_completion", "_has_reported", "_is_over", "_limit", "_signals", "job", "last_attempt")

    def __init__(
        self,
        job: Job,
        claim: tuple[UUID, int],
        signals: RunPort,
        last_attempt: bool = False,
        begun: float = 0.0,
        limit: LimitPort | None = None,
    ) -> None:
        self.job = job
        self.last_attempt = last_attempt
        """Whether the job fails for good if this attempt raises."""
        self._claim = claim
        self._signals = signals
        self._begun = begun
        self._limit = limit
        self._completion: Completion | None = None
        self._is_over = self._has_reported = False

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1: that of the `Attempt` which `history()` will show."""
        return self.job.attempts

    @property
    def scheduled_for(self) -> datetime | None:
        """The tick for which a schedule has created this job, in the schedule's zone. None: no schedule has. A job that begins
        late, or is tried again, still has the same: use it, and not the time of the run, to say which day or hour is meant."""
        return _time_of(self.job.metadata.get("_scheduled_for"))

    @property
    def stopping(self) -> bool:
        """Whether the manager is stopping. Then finish soon, or raise Snooze, so that the job runs again elsewhere."""
        return self._signals.is_stopping()

    @property
    def lost(self) -> bool:
        """Whether another process took this one for dead and took its job: whatever this run returns or raises is dropped.

        It becomes true with the first heartbeat that reaches the database again, so False is no proof that the process still
        holds the job.
        """
        return self._signals.is_lost(self._claim)

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked to cancel this job. Then clean up and raise anything: the job ends `cancelled` and is not
        tried again. If the handler returns all the same, the job is `completed`."""
        return self._signals.is_cancelled(self._claim)

    @property
    def deadline(self) -> float | None:
        """When the timeout of this attempt is over, by time.monotonic(). None: it has no timeout."""
        return None if self._limit is None else self._limit.deadline

    def remaining(self) -> float | None:
        """How many seconds are left until the deadline, 0.0 after it. None: there is no timeout."""
        return None if self._limit is None else max(0.0, self._limit.deadline - time.monotonic())

    @property
    def timed_out(self) -> bool:
        """Whether the deadline has passed. If the handler returns all the same, the job is `completed`."""
        return self._limit is not None and time.monotonic() >= self._limit.deadline

    def check(self) -> None:
        """Raise Stopped if `timed_out`, `cancelled`, `stopping` or `lost` is true: a long loop calls this."""
        for reason in STOP_REASONS:
            if getattr(self, reason):
                raise Stopped(reason)

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds. Return True as soon as `stopping`, `lost`, `cancelled` or `timed_out` is true, and False
        when the time is over."""
        left = self.remaining()
        is_short = left is None or seconds < left
        with uninterrupted():
            was_stopped = self._signals.wait(self._claim, seconds if left is None else min(seconds, left))
        return was_stopped or not is_short

    def interrupting(self, connection: object) -> AbstractContextManager[None]:
        """A context manager: at the deadline, or when the job is cancelled or lost, PostgreSQL is asked to cancel what this
        connection does, which then raises psycopg's QueryCanceled.

        `connection`: a Connection or Cursor of psycopg 3, or Django's or SQLAlchemy's over one. In the block each statement is
        cancelled that runs after that moment; the first one after the block is safe. Raises Stopped if that moment has come
        already, and TypeError.
        """
        for reason in STOP_REASONS:
            if reason != "stopping" and getattr(self, reason):
                raise Stopped(reason)
        return self._signals.interrupting(self._claim, connection, self._limit)

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far the job is: `find(job).progress` shows it, in any process, about two seconds later.

        `done`, `total`: finite numbers; None: how much there is to do is not known. `note`: what is being done. Of more than
        1,000 characters the first are kept. It only changes memory, so it may be called as often as you like, from any thread
        of the run. What is written is the last one. After the run has ended, a call does nothing. Raises TypeError and
        ValueError.
        """
        done = _finite("done", done)
        total = None if total is None else _finite("total", total)
        if note is not None and not isinstance(note, str):
            raise TypeError(f"note must be a str or None, not {type(note).__name__}")
        records = self._signals.records
        if records is None or self._is_over:
            return
        run = (*self._claim, self.job.claimed_at)
        self._has_reported = True  # before _is_over is read below; end() goes the other way
        note = note if note is None or len(note) <= NOTE_MOST else note[: NOTE_MOST - 1] + "…"
        with uninterrupted():
            records.progress(run, done, total, note)
            if _is_over(self):  # it may have ended before the line above
                records.over(run)

    def complete(self, result: Any = None, *, connection: object, bind: object = None) -> None:
        """Complete the job as a part of the transaction that is open on `connection`: what you have written there and the
        completion are committed together, or rolled back together.

        `result`: what becomes `job.result`, in place of what the handler returns. `connection`, `bind`: as in `create`; it must
        lead to the database of the manager. The job ends when you commit, and whatever the handler does then changes nothing.
        If you roll back, it is as if this was never called.

        Raises LeaseLost if another process has the job, NotPossible if the job was completed by this run already, and
        SchemaError if the role of the connection lacks a right. After each of these the transaction can only be rolled back.
        Raises ValueError, TypeError and NotRunning before anything is sent, and the errors of the driver as they are.
        """
        _completions(self).complete(self, result, connection, bind)

    def transaction(self) -> AbstractContextManager[Any]:
        """`with run.transaction() as connection:` opens a transaction on a connection of the manager's pool, and completes the
        job with it: at the end of the block both are committed. If the block raises, both are rolled back.

        The connection is a `psycopg.Connection`. To give the job a result, call `complete(result, connection=connection)` in
        the block. Raises what `complete` raises, and Unavailable if there is no connection for `create_timeout` seconds.
        """
        return _completions(self).transaction(self)


class Completion(NamedTuple):
    """What `complete` was called with last. It may have been rolled back."""

    result: str | None
    """As JSON text."""


def _completions(run: Run) -> CompletionPort:
    if run._signals.completions is None:
        raise NotRunning("complete() needs a started manager")
    return run._signals.completions


def claim_of(run: Run) -> tuple[UUID, int, float]:
    """The claim under which it runs, (uid, lease_no), and when it began by time.monotonic()."""
    return *run._claim, run._begun


def completion_of(run: Run) -> Completion | None:
    return run._completion


def note_completion(run: Run, completion: Completion) -> None:
    """Before the completion is sent: from now on only the database knows what becomes of the job. Raises NotRunning if the
    handler has returned; a thread that it has left behind may call this at any moment."""
    before, run._completion = run._completion, completion
    if run._is_over:  # read after _completion is set; end() reads them in the other order
        run._completion = before
        raise NotRunning(f"complete: the handler of job {run.job.uid} has returned, and its run is over")


def end(run: Run) -> Completion | None:
    """The handler has returned or raised. Returns what `complete` was called with; None: it was not called."""
    run._is_over = True
    if run._has_reported and run._signals.records is not None:
        run._signals.records.over((*run._claim, run.job.claimed_at))
    return run._completion


def _is_over(run: Run) -> bool:
    return run._is_over


def _time_of(text: object) -> datetime | None:
    """The time that metadata says; None if it says none."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if at is None or at.utcoffset() is None else at


def _finite(what: str, number: object) -> float:
    if isinstance(number, (str, bytes, bool)):
        raise TypeError(f"{what} must be a number, not {type(number).__name__}")
    try:
        value = float(number)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} must be a number, not {type(number).__name__}") from None
    except OverflowError:
        raise ValueError(f"{what} is too large") from None
    if not isfinite(value):
        raise ValueError(f"{what} must be finite, not {value}")
    return value


current: ContextVar[Run] = ContextVar("steve_current_run")


def current_signals() -> RunPort | None:
    """The signals of the engine whose handler calls this; None outside a handler."""
    run = current.get(None)
    return None if run is None else run._signals


def current_window() -> WindowPort | None:
    """Where TimeLimit may be raised into the handler that calls this. None: it is not raised, or this is no handler."""
    run = current.get(None)
    return None if run is None or run._limit is None else run._limit.window


def seconds_to_interrupt() -> float | None:
    """How many seconds are left until TimeLimit is raised into the handler that calls this. None: it is not raised."""
    run = current.get(None)
    return None if run is None or current_window() is None else run.remaining()


class uninterrupted:
    """`with uninterrupted():` in code of ours that handlers call. TimeLimit is not raised in the block, but soon after it.

    It could strike between two steps of code that others rely on: after a lock was taken and before anything would release it
    (`Condition.__enter__` is such a place), or after a connection was taken from the pool.
    """

    __slots__ = ("_window",)

    def __enter__(self) -> None:
        self._window = current_window()
        if self._window is not None:
            self._window.shut()

    def __exit__(self, *error: object) -> None:
        if self._window is not None:
            self._window.unshut()


def current_run() -> Run:
    """The run of the handler that calls this. Raises NotRunning outside a handler."""
    try:
        return current.get()
    except LookupError:
        raise NotRunning("current_run() is for handlers: no job runs in this context") from None
