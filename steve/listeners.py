"""Who wants to know, and the dispatcher thread that tells them: always after the commit, in the order of the commits.

The settler hands over what it has committed, workers announce the beginning of a run; listeners are the users' functions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from . import _json
from ._brake import Brake
from ._fork import end_child
from ._log import logger
from .errors import shown
from .job import Attempt, AttemptStatus, Claimed, Job, Settled, Status
from .outcome import Verdict
from .settings import EVENTS_MOST, name_flaw

Kind = Literal["success", "failure", "done", "attempt"]
Listener = Callable[..., Any]


class Subscription:
    """What `on_success` and its siblings return: call it, or leave its `with` block, to remove the listener."""

    def __init__(self, registry: Listeners, entry: _Entry) -> None:
        self._registry = registry
        self._entry = entry

    def __call__(self) -> None:
        self._registry.remove(self._entry)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self()


class _Entry:
    """One listener; compared by identity, so that the same function may listen twice."""

    __slots__ = ("callback", "kind", "types")

    def __init__(self, kind: Kind, types: frozenset[str] | None, callback: Listener) -> None:
        self.kind = kind
        self.types = types
        self.callback = callback

    def wants(self, type: str, kinds: tuple[Kind, ...]) -> bool:
        return self.kind in kinds and (self.types is None or type in self.types)


class Event(NamedTuple):
    """A run that begins (no verdict), or one that is settled."""

    job: Claimed
    process: str
    verdict: Verdict | None
    settled: Settled | None

    def status(self) -> Status:
        return Status.RUNNING if self.verdict is None else self.verdict.status

    def make_job(self) -> Job:
        """The job as the database has it, decoded anew: what one listener does to it no other sees."""
        if self.verdict is None or self.settled is None:
            return self.job.job(_json.decode, Status.RUNNING)
        verdict, settled = self.verdict, self.settled
        return self.job.job(
            _json.decode_or_text,  # a payload that cannot be decoded failed for that, and its listeners hear of it
            verdict.status,
            result=None if verdict.result is None else _json.decode(verdict.result),
            error=verdict.error,
            updated_at=settled.updated_at,
            run_at=settled.run_at,
            claimed_at=None if verdict.status is Status.PENDING else self.job.claimed_at,
            started_at=settled.started_at,
            completed_at=settled.completed_at,
        )

    def make_attempt(self) -> Attempt:
        job, verdict, settled = self.job, self.verdict, self.settled
        if verdict is None or settled is None or verdict.attempt_status is None:
            return Attempt(job.id, job.attempts, self.process, job.claimed_at, None, AttemptStatus.RUNNING, None, None)
        return Attempt(
            job.id,
            job.attempts,
            self.process,
            settled.begun_at,
            settled.updated_at,
            verdict.attempt_status,
            verdict.error,
            verdict.details,
        )


class Listeners:
    """The registry. Adding and removing from any thread at any time is safe, also from a listener."""

    def __init__(self) -> None:
        # Writers replace the tuple under the lock; readers take the tuple as it is at that moment, without one.
        self._lock = threading.Lock()
        self._entries: tuple[_Entry, ...] = ()
        # on_done= of create: one uid, one call. dict operations are atomic, whoever pops it tells it.
        self._once: dict[UUID, Listener] = {}
        self._over: set[UUID] = set()  # of these, which were found to have ended by the last look

    def begin_anew(self) -> None:
        """In the child of a fork: the same listeners; the parent tells those of single jobs, which are its own."""
        self._lock = threading.Lock()  # a thread that is not here may have held it
        self._once = {}

    def add(self, kind: Kind, types: str | Iterable[str] | None, callback: Listener) -> Subscription:
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        entry = _Entry(kind, check_types(types), callback)
        with self._lock:
            self._entries = (*self._entries, entry)
        return Subscription(self, entry)

    def remove(self, entry: _Entry) -> None:
        with self._lock:
            self._entries = tuple(other for other in self._entries if other is not entry)

    def add_once(self, uid: UUID, callback: Listener) -> None:
        self._once[uid] = callback

    def once(self) -> list[UUID]:
        """Whose on_done has not been told yet."""
        return list(self._once)

    def forget_over(self, over: Collection[UUID]) -> None:
        """These jobs have ended, or are gone. Those that had when this was called last will not be told here any more: another
        process has finished them."""
        self.drop_once(*self._over.intersection(over))
        self._over = set(over)

    def drop_once(self, *uids: UUID) -> None:
        for uid in uids:
            self._once.pop(uid, None)

    def want_begin(self, type: str) -> bool:
        return bool(self._entries) and any(entry.wants(type, ("attempt",)) for entry in self._entries)

    def want(self, verdict: Verdict) -> bool:
        """Whether anybody wants to know. Asked for every job: it costs nothing where nobody listens."""
        if not self._entries and not self._once:
            return False
        if verdict.job.uid in self._once and verdict.status is not Status.PENDING:
            return True
        kinds = _kinds(verdict)
        return any(entry.wants(verdict.job.type, kinds) for entry in self._entries)

    def tell(self, event: Event) -> None:
        """Call those who want to know, each guarded. On the dispatcher thread."""
        kinds: tuple[Kind, ...] = ("attempt",) if event.verdict is None else _kinds(event.verdict)
        for entry in self._entries:
            # asked again for each: a listener may have removed another
            if entry.wants(event.job.type, kinds) and entry in self._entries:
                self._call(entry.callback, event, with_attempt=entry.kind == "attempt")
        if event.status() in (Status.COMPLETED, Status.FAILED):
            once = self._once.pop(event.job.uid, None)
            if once is not None:
                self._call(once, event, with_attempt=False)

    def _call(self, callback: Listener, event: Event, *, with_attempt: bool) -> None:
        try:
            job = event.make_job()
        except (ValueError, RecursionError):
            return  # a payload that cannot be decoded: the run will not begin after all, and its end is told
        pid, raised = os.getpid(), None
        try:
            if with_attempt:
                callback(job, event.make_attempt())
            else:
                callback(job)
        except BaseException as error:
            raised = error
        if os.getpid() != pid:
            end_child(raised)
        if raised is not None:
            # Whatever it is: neither the job (it is settled), nor the next listener, nor this thread may suffer from it.
            logger.error(
                "a listener raised: %s, told of job %s", _name(callback), event.job.uid,
                exc_info=raised, extra=event.job.log_extra(),
            )  # fmt: skip
            raised = None  # its traceback leads to this frame


class Dispatcher:
    """The queue of events and the thread that tells them, one after the other."""

    def __init__(self, listeners: Listeners, on_end: Callable[[], None]) -> None:
        self._listeners = listeners
        self._on_end = on_end
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self.brake = Brake(lambda: self._events.qsize() / EVENTS_MOST, _warn_of_slow_listeners)
        """For who claims. Settling is never held up: what is done must be written down."""
        self._ended = False
        self._is_idle = False  # before the first
        self._taken = 0  # from the queue, and told but for the last

    def progress(self) -> tuple[int, int]:
        """How many events were ever put here, about, and how many of these are told."""
        taken = self._taken
        return taken + self.waiting(), max(taken - 1, 0) + self._is_idle

    def put(self, event: Event) -> None:
        self._events.put(event)

    def end(self) -> None:
        """No event comes after this."""
        self._ended = True
        self._events.put(None)

    def waiting(self) -> int:
        return max(0, self._events.qsize() - self._ended)  # the end marker is no event

    def run(self) -> None:
        with suppress(Empty):  # whoever is broken off while he waits for the end marker may have taken it
            while (event := self._events.get(block=not self._ended)) is not None:
                self._is_idle = False
                self._taken += 1
                self._listeners.tell(event)
                self._is_idle = True
                self.brake.ease()
        self._on_end()


def _warn_of_slow_listeners() -> None:
    logger.warning("%d events wait for slow listeners: nothing is claimed until half are told", EVENTS_MOST)


def check_types(types: str | Iterable[str] | None) -> frozenset[str] | None:
    if types is None:
        return None
    names = frozenset([types] if isinstance(types, str) else types)
    for name in names:
        if flaw := name_flaw(name):
            raise (ValueError if isinstance(name, str) else TypeError)(f"a listener's type {flaw}")
    return names


def _name(callback: Listener) -> str:
    try:
        return str(callback.__qualname__)
    except Exception:  # it has none, or raises whatever it likes when asked
        return shown(callback)


def _kinds(verdict: Verdict) -> tuple[Kind, ...]:
    if verdict.status is Status.COMPLETED:
        return ("success", "done", "attempt")
    if verdict.status is Status.FAILED:
        return ("failure", "done", "attempt")
    return () if verdict.attempt_status is None else ("attempt",)
