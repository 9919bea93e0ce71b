"""The jobs whose handlers have not returned."""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from collections.abc import Collection, Sequence, Set
from types import FrameType
from typing import NamedTuple
from uuid import UUID

from steve._engine.records.records import Records
from steve._engine.work.completions import Completions
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed, ClaimKey
from steve._runtime.log import logger


class RunningJob(NamedTuple):
    job: Claimed
    thread: int
    """threading.get_ident() of the thread that runs it."""
    begun: float
    """By time.monotonic()."""


class RunningJobs:
    def __init__(
        self,
        *,
        workers: int,
        deadlines: Deadlines | None = None,
        completions: Completions | None = None,
        records: Records | None = None,
    ) -> None:
        self.workers = workers
        """How many may run at a time. It grows for the time that handlers are stuck."""
        self.stuck = 0
        """How many of them are stuck."""
        self.signals = RunSignals(deadlines=deadlines, completions=completions, records=records)
        self._completing: Set[ClaimKey] = frozenset() if completions is None else completions.claims
        # By id() of the claimed job, because two runs may have the same job for a moment: a job that is due again at once may
        # begin before its earlier run is removed here. They may even have the same claim key: a standby that is promoted
        # may give a lease_no out again while the handler of the earlier claim runs. Single operations on a dict are atomic.
        self._jobs: dict[int, RunningJob] = {}
        self.freed_at = 0.0
        """time.monotonic() when a worker last became free after all had been busy."""

    def __len__(self) -> int:
        return len(self._jobs)

    def all(self) -> list[RunningJob]:
        return list(self._jobs.values())

    def add(self, job: Claimed) -> float:
        """Returns the time of the beginning, by time.monotonic()."""
        begun = time.monotonic()
        self._jobs[id(job)] = RunningJob(job, threading.get_ident(), begun)
        return begun

    def remove(self, job: Claimed) -> None:
        """Does nothing if the job is not here, because something may have interrupted the thread in `add`."""
        if len(self._jobs) >= self.workers:
            self.freed_at = time.monotonic()
        try:
            del self._jobs[id(job)]
        except KeyError:
            pass

    def claims(self) -> list[ClaimKey]:
        return [one.job.key() for one in self.all()]

    def lose(self, lost: Collection[ClaimKey]) -> None:
        """Other processes have taken these jobs, or `run.complete()` has ended some of them: those are left out."""
        lost = set(lost).difference(self._completing)
        for one in self.all():
            if one.job.key() in lost:
                logger.warning(
                    "job %s was taken from this process while attempt %d runs: its outcome will be dropped",
                    one.job.uid, one.job.attempts,
                    extra=one.job.log_extra(),
                )  # fmt: skip
        self.signals.lose(lost, self.claims())

    def cancel(self, uids: Collection[UUID], buffered: Collection[Claimed]) -> None:
        """Somebody has asked to cancel these jobs. `buffered`: the jobs in the buffer, which were read before this call. So a
        job that a worker takes from the buffer meanwhile is seen in one of the two places, but for a moment in between."""
        self.signals.cancel(uids, [*(job.key() for job in buffered), *self.claims()])


def log_stacks(running: Sequence[RunningJob]) -> None:
    """Log for each of these jobs where its handler is at present."""
    stacks = stacks_of([one.thread for one in running])
    for one in running:
        logger.warning(
            "job %s (%s) is still running, here:\n%s", one.job.uid, one.job.type, stacks[one.thread],
            extra=one.job.log_extra(),
        )  # fmt: skip


def frames_now() -> dict[int, FrameType]:
    """Where all threads are at present, by threading.get_ident()."""
    # CPython before 3.11.9 may stop for ever if the garbage collector runs within _current_frames, because that holds a lock.
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()


def stacks_of(threads: Collection[int]) -> dict[int, str]:
    """As `frames_now`, as text for people, of these threads."""
    frames = frames_now()
    return {
        thread: "".join(traceback.format_stack(frames[thread])) if thread in frames else "it has just returned\n"
        for thread in threads
    }
