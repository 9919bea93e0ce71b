"""The registry of listeners: the users' functions that are told of jobs, always after the commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Literal
from uuid import UUID

from steve._engine.events.event import Event
from steve._model.names import check_types
from steve._model.outcome import Verdict
from steve._runtime.copy_on_write import CopyOnWrite
from steve._runtime.guard import call_guarded, call_here
from steve._runtime.hooks import Hooks, name_of, within
from steve._runtime.log import logger
from steve._runtime.subscription import Subscription
from steve.job import Status

Kind = Literal["success", "failure", "done", "attempt"]
Listener = Callable[..., Any]
TYPE = "a listener's type"


class _Entry:
    """One listener. Compared by identity, so that the same function may listen twice."""

    __slots__ = ("callback", "kind", "types")

    def __init__(self, *, kind: Kind, types: frozenset[str] | None, callback: Listener) -> None:
        self.kind = kind
        self.types = types
        self.callback = callback

    def wants(self, type: str, kinds: tuple[Kind, ...]) -> bool:
        return self.kind in kinds and (self.types is None or type in self.types)


class Listeners:
    """Any thread may add and remove listeners at any time, even from within a listener."""

    def __init__(self) -> None:
        self._entries: CopyOnWrite[tuple[_Entry, ...]] = CopyOnWrite(())
        # The on_done= of single jobs, each called once. Operations on a dict are atomic: only the thread that pops a listener
        # calls it.
        self._once: dict[UUID, Listener] = {}
        self.hooks = Hooks()
        self._ended_elsewhere: set[UUID] = set()  # the jobs of _once that had ended when they were last looked up

    def __len__(self) -> int:
        return len(self._entries.value)

    def reset_after_fork(self) -> None:
        """In the child of a fork: keep the listeners, except those of single jobs, which the parent calls."""
        self._entries.reset_after_fork()
        self.hooks.reset_after_fork()
        self._once = {}

    def add(self, kind: Kind, types: str | Iterable[str] | None, callback: Listener) -> Subscription:
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        entry = _Entry(kind=kind, types=check_types(TYPE, types), callback=callback)
        self._entries.replace(lambda entries: (*entries, entry))
        return Subscription(lambda: self.remove(entry))

    def remove(self, entry: _Entry) -> None:
        self._entries.replace(lambda entries: tuple(other for other in entries if other is not entry))

    # -- on_done= of single jobs ----------------------------------------------------------------------------------------

    def add_once(self, uid: UUID, callback: Listener) -> None:
        self._once[uid] = callback

    def waiting_once(self) -> list[UUID]:
        """The jobs whose on_done= has not been called, the oldest first."""
        return list(self._once)

    def drop_once(self, *uids: UUID) -> None:
        for uid in uids:
            self._once.pop(uid, None)

    def drop_ended(self, ended: Collection[UUID]) -> None:
        """These jobs have ended, or are gone. Drop the on_done= of each that had already ended at the last call: another
        process finished it, so this process gets no event for it."""
        self.drop_once(*self._ended_elsewhere.intersection(ended))
        self._ended_elsewhere = set(ended)

    def want_done(self) -> bool:
        """Whether anybody may want to know of jobs that end."""
        return bool(self._once) or any(entry.kind == "done" for entry in self._entries.value)

    # -- telling --------------------------------------------------------------------------------------------------------

    def want_begin(self, type: str) -> bool:
        entries = self._entries.value
        return bool(entries) and any(entry.wants(type, ("attempt",)) for entry in entries)

    def want_any(self, verdicts: Iterable[Verdict]) -> bool:
        """Whether a listener wants to know of one of these. This is asked for every group, and is cheap without listeners."""
        return bool(self._entries.value or self._once) and any(map(self.want, verdicts))

    def want(self, verdict: Verdict) -> bool:
        """Whether a listener wants to know."""
        entries = self._entries.value
        if not entries and not self._once:
            return False
        if verdict.job.uid in self._once and verdict.is_final:
            return True
        kinds = _kinds(verdict)
        return any(entry.wants(verdict.job.type, kinds) for entry in entries)

    def tell(self, event: Event) -> None:
        """On the dispatcher's thread: call the listeners that want to know. Whatever one raises is logged."""
        kinds: tuple[Kind, ...] = ("attempt",) if event.verdict is None else _kinds(event.verdict)
        for entry in self._entries.value:
            # Look the entry up again, because an earlier listener may have removed it.
            if entry.wants(event.job.type, kinds) and entry in self._entries.value:
                self._call(entry.callback, event, with_attempt=entry.kind == "attempt")
        if event.is_final():
            once = self._once.pop(event.job.uid, None)
            if once is not None:
                self._call(once, event, with_attempt=False)

    def _call(self, callback: Listener, event: Event, *, with_attempt: bool) -> None:
        try:
            job = event.make_job()
        except (ValueError, RecursionError):
            return  # the payload cannot be decoded: the handler will not be called, and listeners hear of the job's failure
        arguments = (job, event.make_attempt()) if with_attempt else (job,)
        wraps = self.hooks.entries.value and self.hooks.wraps()
        if wraps:
            raised = call_guarded(within, wraps, job, partial(call_here, callback, *arguments))
        else:
            raised = call_guarded(callback, *arguments)
        if raised is not None:
            # Whatever was raised, the job is settled, the next listener is called, and this thread goes on.
            logger.error(
                "a listener raised: %s, told of job %s", name_of(callback), event.job.uid,
                exc_info=raised, extra=event.job.log_extra(),
            )  # fmt: skip
            del raised  # its traceback refers to this frame, and so to all its variables


def _kinds(verdict: Verdict) -> tuple[Kind, ...]:
    if verdict.status is Status.COMPLETED:
        return ("success", "done", "attempt")
    if verdict.status is Status.FAILED:
        return ("failure", "done", "attempt")
    kinds: tuple[Kind, ...] = ("attempt",) if verdict.counts else ()
    return ("done", *kinds) if verdict.status is Status.CANCELLED else kinds
