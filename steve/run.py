"""Run: what a handler sees of its own run, through `steve.current_run()`."""

from __future__ import annotations

from contextvars import ContextVar
from math import isfinite
from typing import Any, Protocol
from uuid import UUID

from steve.errors import NotRunning
from steve.job import Job

NOTE_MOST = 1_000
"""How many characters of a note are kept."""


class RunPort(Protocol):
    """What a run asks the engine. All methods may be called from any thread."""

    def is_stopping(self) -> bool: ...

    def is_lost(self, claim: tuple[UUID, int]) -> bool: ...

    def is_cancelled(self, claim: tuple[UUID, int]) -> bool: ...

    def wait(self, claim: tuple[UUID, int], seconds: float) -> bool: ...


class RecordPort(Protocol):
    """Where a run says how far it is. `run`: its uid, its lease_no and the time of its claim. From any thread; nothing
    waits."""

    def progress(self, run: tuple[UUID, int, Any], done: float, total: float | None, note: str | None) -> None: ...

    def over(self, run: tuple[UUID, int, Any]) -> None: ...


class Run:
    """One run of a job, for its handler: `steve.current_run()` returns it."""

    __slots__ = ("_claim", "_records", "_signals", "job", "last_attempt")

    def __init__(
        self,
        job: Job,
        claim: tuple[UUID, int],
        signals: RunPort,
        last_attempt: bool = False,
        records: RecordPort | None = None,
    ) -> None:
        self.job = job
        self.last_attempt = last_attempt
        """Whether the job fails for good if this attempt raises."""
        self._claim = claim
        self._signals = signals
        self._records = records
        """None: nobody keeps what the run says, or it has ended."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1: that of the `Attempt` which `history()` will show."""
        return self.job.attempts

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

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds. Return True as soon as `stopping`, `lost` or `cancelled` is true, and False when the time
        is over."""
        return self._signals.wait(self._claim, seconds)

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
        if (records := self._records) is None:
            return
        run = (*self._claim, self.job.claimed_at)
        records.progress(run, done, total, note if note is None or len(note) <= NOTE_MOST else note[: NOTE_MOST - 1] + "…")
        if self._records is None:  # it has ended meanwhile, and has not seen this
            records.over(run)

    def end(self) -> None:
        """The handler has returned. For the engine."""
        self._records = None


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


def current_run() -> Run:
    """The run of the handler that calls this. Raises NotRunning outside a handler."""
    try:
        return current.get()
    except LookupError:
        raise NotRunning("current_run() is for handlers: no job runs in this context") from None
