"""A run as its handler sees it: `steve.current_run()`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from steve.errors import NotRunning
from steve.job import Job


class RunPort(Protocol):
    """What the engine tells its runs. All methods may be called from any thread."""

    def is_stopping(self) -> bool: ...

    def is_lost(self, claim: tuple[int, int]) -> bool: ...

    def wait(self, claim: tuple[int, int], seconds: float) -> bool: ...


class Run:
    """The run of a job, seen from within its handler: `steve.current_run()`."""

    __slots__ = ("_claim", "_signals", "job")

    def __init__(self, job: Job, claim: tuple[int, int], signals: RunPort) -> None:
        self.job = job
        self._claim = claim
        self._signals = signals

    @property
    def stopping(self) -> bool:
        """The manager stops: finish soon, or raise Snooze to be called again elsewhere."""
        return self._signals.is_stopping()

    @property
    def lost(self) -> bool:
        """Another process took this one for dead and has the job now: whatever this run returns or raises is dropped.

        Learned with the first heartbeat that gets through again, not before. False does not say that the job is still held.
        """
        return self._signals.is_lost(self._claim)

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds; return True, at once, when `stopping` or `lost` is or becomes true."""
        return self._signals.wait(self._claim, seconds)


current: ContextVar[Run] = ContextVar("steve_current_run")


def current_signals() -> RunPort | None:
    """Those of the engine whose handler calls this; None: outside a handler."""
    run = current.get(None)
    return None if run is None else run._signals


def current_run() -> Run:
    """The run of the handler that calls this. Raises NotRunning outside a handler."""
    try:
        return current.get()
    except LookupError:
        raise NotRunning("current_run() is for handlers: no job runs in this context") from None
