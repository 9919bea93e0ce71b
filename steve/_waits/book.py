"""The jobs that somebody waits for: who waits for each, when to look at it next, and when it counts as gone. Pure, but for the
futures that it resolves. The waits' thread alone uses it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol
from uuid import UUID

from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._waits.futures import JobFuture
from steve.errors import JobGone

GROWTH = 0.25
"""The next look comes after this part of the time for which somebody has waited already."""
TOLD_SECONDS = 1.0
"""For so long after a notification that has named jobs, others are expected to be named, too."""
HEARD_MOST = 20
"""So many notifications are kept for waits that begin after them."""


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


class Hints(NamedTuple):
    """What notifications say has ended since the last look."""

    all: bool
    """Perhaps any job."""
    uids: frozenset[UUID]
    """These jobs, which somebody here waits for."""

    def __bool__(self) -> bool:
        return self.all or bool(self.uids)


NO_HINTS, EVERYTHING = Hints(False, frozenset()), Hints(True, frozenset())


class Book:
    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._jobs: dict[UUID, WaitedJob] = {}
        self._names: dict[str, UUID] = {}
        """The same jobs by the text of their uids, as notifications name them."""
        self._heard: deque[tuple[float, str]] = deque(maxlen=HEARD_MOST)
        self._told_at = -inf
        self.hints = NO_HINTS
        self.least_stops = 0
        """No wait here has fewer `stops`."""

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, wait: Wait, now: float, age: float = inf) -> None:
        """Somebody waits from now on. `age`: for how many seconds the job has existed, if notifications have come for all that
        time."""
        self.least_stops = min(self.least_stops, wait.stops) if self._jobs else wait.stops
        due_at = now + self._tuning.wait_first
        known = self._jobs.get(wait.uid)
        if known is None:
            name = str(wait.uid)
            if 0.0 <= age < self._tuning.wait_new:
                # Its end may have been told already, before somebody waited.
                said = [payload for at, payload in self._heard if at >= now - self._tuning.wait_new]
                if any(name in payload for payload in said):
                    due_at = now
                elif all(said) and len(said) < HEARD_MOST:
                    due_at = now + self._tuning.wait_new - age
            self._jobs[wait.uid] = WaitedJob(now, due_at, [wait])
            self._names[name] = wait.uid
        else:
            known.waits.append(wait)
            known.since, known.due_at = now, min(known.due_at, due_at)

    def waits(self) -> Iterator[Wait]:
        for job in self._jobs.values():
            yield from job.waits

    def _forget(self, uid: UUID) -> None:
        del self._jobs[uid]
        del self._names[str(uid)]

    def drop_done(self) -> None:
        """Forget the waits that were given up, and the jobs for which nobody waits any more."""
        for uid, job in list(self._jobs.items()):
            job.waits = [wait for wait in job.waits if not wait.future.done()]
            if not job.waits:
                self._forget(uid)

    # -- when to look ---------------------------------------------------------------------------------------------------

    def hear(self, payloads: Collection[str], now: float) -> None:
        """These notifications have come: each names jobs that have ended, or is empty, since they were too many. Anybody may
        send one, so words that are no uid of a job here are left out."""
        for payload in payloads:
            self._heard.append((now, payload))
            if not payload:
                self.hints = Hints(True, self.hints.uids)
                continue
            self._told_at = now
            if named := self._names.keys() & payload.split(" "):
                self.hints = Hints(self.hints.all, self.hints.uids.union(map(self._names.__getitem__, named)))

    def take_hints(self) -> Hints:
        """What was heard since the last call."""
        hints, self.hints = self.hints, NO_HINTS
        return hints

    def next_due(self) -> float:
        """When a look is due; inf: there is no job."""
        return min((job.due_at for job in self._jobs.values()), default=inf)

    def due(self, now: float, hints: Hints = NO_HINTS) -> list[UUID]:
        """The jobs to look at: those that have ended as these hints say, and those whose look is due now or soon enough to be
        made at once."""
        if hints.all:
            return list(self._jobs)
        due = [uid for uid, job in self._jobs.items() if job.due_at - self._pause(job, now) / 2 <= now]
        return list(dict.fromkeys([*due, *(hints.uids & self._jobs.keys())])) if hints.uids else due

    def _pause(self, job: WaitedJob, now: float) -> float:
        tuning = self._tuning
        least = max(tuning.wait_look_first, tuning.wait_look_told if now - self._told_at < TOLD_SECONDS else 0.0)
        return min(max((now - job.since) * GROWTH, least), tuning.wait_look_most)

    # -- what a look has found ------------------------------------------------------------------------------------------

    def found(self, asked: Collection[UUID], ended: Ended, now: float) -> None:
        """The reply to a look at these jobs."""
        # The functions that users have added may give other futures up meanwhile, whose jobs are forgotten then.
        for job, uid in [(self._jobs[uid], uid) for uid in asked if uid in self._jobs]:
            job.due_at = now + self._pause(job, now)
            if uid not in ended.missing:
                job.was_seen, job.missing_since = True, None
            elif job.missing_since is None:
                job.missing_since = now
        # Each job is forgotten only after its futures are done, in case something breaks this thread off in between.
        for one in [one for one in ended.jobs if one.uid in self._jobs]:
            for wait in self._jobs[one.uid].waits:
                wait.future.end(one)
            self._forget(one.uid)
        for uid in ended.missing:
            if uid in self._jobs and self._is_gone(self._jobs[uid], now):
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
