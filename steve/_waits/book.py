"""The jobs that somebody waits for: who waits for each, when to look at it next, and when it counts as gone. Pure, but for the
futures that it resolves. The waits' thread alone uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._waits.futures import JobFuture
from steve.errors import JobGone

GROWTH = 0.25
"""The next look comes after this part of the time for which somebody has waited already."""


class EnginePort(Protocol):
    """The engine of a handler that waits."""

    stopping: bool


@dataclass(slots=True)
class Wait:
    """One who waits."""

    uid: UUID
    future: JobFuture
    stops: int
    """How often the manager had been asked to stop by then: only a later stop ends this wait."""
    engine: EnginePort | None
    """The engine of the handler that waits, which cannot end before it."""


@dataclass(slots=True)
class WaitedJob:
    """A job that somebody waits for."""

    since: float
    due_at: float
    waits: list[Wait]
    was_seen: bool = False
    """Whether some look has found it."""
    missing_since: float | None = None


class Book:
    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._jobs: dict[UUID, WaitedJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, wait: Wait, now: float) -> None:
        """Somebody waits from now on."""
        due_at = now + self._tuning.wait_first
        known = self._jobs.get(wait.uid)
        if known is None:
            self._jobs[wait.uid] = WaitedJob(now, due_at, [wait])
        else:
            known.waits.append(wait)
            known.since, known.due_at = now, min(known.due_at, due_at)

    def waits(self) -> Iterator[Wait]:
        for job in self._jobs.values():
            yield from job.waits

    def drop_done(self) -> None:
        """Forget the waits that were given up, and the jobs for which nobody waits any more."""
        for uid, job in list(self._jobs.items()):
            job.waits = [wait for wait in job.waits if not wait.future.done()]
            if not job.waits:
                del self._jobs[uid]

    # -- when to look ---------------------------------------------------------------------------------------------------

    def next_due(self) -> float:
        """When a look is due; inf: there is no job."""
        return min((job.due_at for job in self._jobs.values()), default=float("inf"))

    def due(self, now: float, *, all: bool) -> list[UUID]:
        """The jobs to look at: `all`, or those whose look is due now or soon enough to be made at once."""
        return [uid for uid, job in self._jobs.items() if all or job.due_at - self._pause(job, now) / 2 <= now]

    def _pause(self, job: WaitedJob, now: float) -> float:
        return min(max((now - job.since) * GROWTH, self._tuning.wait_look_first), self._tuning.wait_look_most)

    # -- what a look has found ------------------------------------------------------------------------------------------

    def found(self, asked: Collection[UUID], ended: Ended, now: float) -> None:
        """The reply to a look at these jobs."""
        for uid in asked:
            job = self._jobs[uid]
            job.due_at = now + self._pause(job, now)
            if uid not in ended.missing:
                job.was_seen, job.missing_since = True, None
            elif job.missing_since is None:
                job.missing_since = now
        # Each job is forgotten only after its futures are done, in case something breaks this thread off in between.
        for one in ended.jobs:
            for wait in self._jobs[one.uid].waits:
                wait.future.end(one)
            del self._jobs[one.uid]
        for uid in ended.missing:
            if self._is_gone(self._jobs[uid], now):
                error = JobGone(f"there is no job {uid}: it was deleted, or the transaction that created it was rolled back")
                self.fail(error, self._jobs[uid].waits)

    def _is_gone(self, job: WaitedJob, now: float) -> bool:
        """Of a job that is missing. One that nobody has seen may be part of a transaction that is still open."""
        return job.was_seen or (job.missing_since is not None and now - job.missing_since >= self._tuning.wait_unseen)

    # -- ends of waits --------------------------------------------------------------------------------------------------

    def fail(self, error: Exception, which: Collection[Wait] | None = None) -> None:
        """End these waits, or all, with this error."""
        for wait in list(self.waits()) if which is None else which:
            wait.future.fail(error)
        self.drop_done()
