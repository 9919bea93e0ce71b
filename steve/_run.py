"""Runs one handler. Always an Outcome, whatever it raises, returns or does to its context.

`_worker` calls it with a job it drew; `outcome.judge` says what the outcome means.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
import traceback
from collections.abc import Collection
from contextvars import Context, ContextVar

from . import _json
from ._exit import is_refused
from ._fork import end_child
from ._log import logger
from .errors import NotRunning, Snooze
from .handlers import Handler
from .job import Claimed, Job, Status
from .outcome import Outcome, Raised, Returned, Snoozed, Unusable

MESSAGE_BYTES = 10_000
DETAILS_BYTES = 64_000


Claim = tuple[int, int]
"""(id, lease_no): what a process holds of a job."""


class Signals:
    """What the handlers of a manager may learn while they run: that it stops, and whose job others have taken.

    One for all of them: an event for each run would cost every job a tenth of its time.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # protects the two below; who only reads them needs no lock
        self._stopping = False
        self._lost: frozenset[Claim] = frozenset()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def is_stopping(self) -> bool:
        return self._stopping

    def lose(self, lost: Collection[Claim], running: Collection[Claim]) -> None:
        """These are lost; of those that were only what is still running is kept."""
        with self._changed:
            self._lost = self._lost.intersection(running).union(lost)
            self._changed.notify_all()

    def is_lost(self, claim: Claim) -> bool:
        return claim in self._lost

    def are_of_current_run(self) -> bool:
        run = _current.get(None)
        return run is not None and run._signals is self

    def wait(self, claim: Claim, seconds: float) -> bool:
        """Until one of them turns true, at most so long; whether one is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping or claim in self._lost, seconds)


class Run:
    """The run of a job, seen from within its handler: `steve.current_run()`."""

    __slots__ = ("_claim", "_signals", "job")

    def __init__(self, job: Job, claim: Claim, signals: Signals) -> None:
        self.job = job
        self._claim = claim
        self._signals = signals

    @property
    def stopping(self) -> bool:
        """The manager stops: finish soon, or raise Snooze to be called again elsewhere."""
        return self._signals.is_stopping()

    @property
    def lost(self) -> bool:
        """Others took this process for dead and have the job now: whatever this run returns or raises is dropped.

        Learned with the first heartbeat that gets through again, not before. False does not say that the job is still held.
        """
        return self._signals.is_lost(self._claim)

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds; True, at once, when `stopping` or `lost` is or becomes true."""
        return self._signals.wait(self._claim, seconds)


Run.__module__ = "steve"

_current: ContextVar[Run] = ContextVar("steve_current_run")


def current_run() -> Run:
    """The run that the calling handler is. Raises NotRunning outside of one."""
    try:
        return _current.get()
    except LookupError:
        raise NotRunning("current_run() is for handlers: no job runs in this context") from None


def run(claimed: Claimed, handler: Handler, signals: Signals, max_result_bytes: int) -> Outcome:
    try:
        job = claimed.job(_json.decode, Status.RUNNING)
    except (ValueError, RecursionError) as error:
        return Unusable(f"PayloadNotDecodable: Python cannot hold this payload ({type(error).__name__})")
    # A context of its own: what a handler sets in it, the next one on this thread does not see.
    return Context().run(_call, handler, Run(job, (claimed.id, claimed.lease_no), signals), max_result_bytes)


def _call(handler: Handler, this: Run, most: int) -> Outcome:
    _current.set(this)
    pid = os.getpid()
    try:
        try:
            result = handler(this.job)
        finally:
            if os.getpid() != pid:  # the handler forked, and this is the child
                end_child(sys.exception())
    except Snooze as snooze:
        try:
            return Snoozed(Snooze(snooze.seconds).seconds)  # checked anew: the attribute is the handler's to set
        except BaseException:
            return _raised(snooze)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a handler ends itself, not its thread
        if is_refused(error):
            logger.warning(
                "job %s: the program has ended, so Python starts no threads any more: the attempt is not counted; call stop() "
                "before the end, or use `with manager:`",
                this.job.uid,
            )
            return Snoozed(0.0)
        return _raised(error)
    if result is None:
        return Returned(None)
    if type(result) not in _PLAIN and (awaited := _unawaited(result)) is not None:
        return Raised(f"HandlerNotRun: the handler returned {awaited}, so nothing was run; wrap it: {_HOW_TO_WRAP}", "")
    try:
        text = _json.encode(result, "result", clean=True)
    except _json.NotStorable as flaw:
        return Unusable(f"ResultNotStorable: the handler finished, but {flaw}")
    except BaseException as error:  # a dict of a class of its own may raise anything
        message = f"ResultNotStorable: the handler finished, but its result cannot be read: {_message(error)}"
        return Unusable(_bounded(message, MESSAGE_BYTES))
    if (size := _json.size(text)) > most:
        return Unusable(
            f"ResultNotStorable: the handler finished, but its result has {size} bytes, more than max_result_bytes={most}"
        )
    return Returned(text)


_PLAIN = frozenset({dict, list, str, int, float, bool})
_HOW_TO_WRAP = "lambda job: asyncio.run(function(job))"


def _unawaited(result: object) -> str | None:
    """What the handler returned instead of doing it, as a callable that is no `async def` itself may."""
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # else Python warns that nobody awaited it
        return f"a {type(result).__name__}"
    if inspect.isasyncgen(result) or inspect.isawaitable(result):
        return f"a {type(result).__name__}"
    return None


def _raised(error: BaseException) -> Raised:
    details, printable = _details(error)
    return Raised(_message(error), details, error if printable else None)


def _message(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = "".join([str(error)])  # str() may return a subclass, which may do anything
    except BaseException as failure:
        text = f"<its str() raised {type(failure).__name__}>"
    return _bounded(f"{name}: {text}" if text else name, MESSAGE_BYTES)


def _details(error: BaseException) -> tuple[str, bool]:
    """The traceback, from the handler's own frame on; and whether the error itself can be printed just so."""
    try:
        own = error.__traceback__
        text = "".join(traceback.format_exception(type(error), error, own.tb_next if own else None))
    except BaseException as failure:
        return f"the traceback cannot be printed: {type(failure).__name__}", False
    details = _bounded(text, DETAILS_BYTES)
    return details, details == text


def _bounded(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8 that PostgreSQL can store: both ends, how it began and what was raised."""
    data = _json.readable(text).encode()
    if len(data) <= size:
        return data.decode()
    half = (size - 60) // 2
    head, tail = data[:half].decode(errors="ignore"), data[-half:].decode(errors="ignore")
    return f"{head}\n... {len(data) - 2 * half} bytes left out ...\n{tail}"
