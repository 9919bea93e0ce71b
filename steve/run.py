"""Run: what a handler sees of its own run, through `steve.current_run()`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol
from uuid import UUID

from steve.errors import NotRunning
from steve.job import Job


class RunPort(Protocol):
    """What a run asks the engine. All methods may be called from any thread."""

    def is_stopping(self) -> bool: ...

    def is_lost(self, claim: tuple[UUID, int]) -> bool: ...

    def is_cancelled(self, claim: tuple[UUID, int]) -> bool: ...

    def wait(self, claim: tuple[UUID, int], seconds: float) -> bool: ...


class Run:
    """One run of a job, for its handler: `steve.current_run()` returns it."""

    __slots__ = ("_claim", "_signals", "job", "last_attempt")

    def __init__(self, job: Job, claim: tuple[UUID, int], signals: RunPort, last_attempt: bool = False) -> None:
        self.job = job
        self.last_attempt = last_attempt
        """Whether the job fails for good if this attempt raises."""
        self._claim = claim
        self._signals = signals

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
