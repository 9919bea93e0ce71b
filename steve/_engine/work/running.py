"""The jobs whose handlers have not returned: of one pool, and of all."""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence, Set
from types import FrameType
from typing import NamedTuple
from uuid import UUID

from steve._engine.claim.pauses import Pauses
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


class Runs(ABC):
    """Some jobs whose handlers have not returned."""

    signals: RunSignals
    completing: Set[ClaimKey]
    """The claims of those whose handler has called `run.complete()`."""

    @abstractmethod
    def all(self) -> list[RunningJob]: ...

    def claims(self) -> list[ClaimKey]:
        return [one.job.key() for one in self.all()]

    def lose(self, lost: Collection[ClaimKey]) -> None:
        """Other processes have taken these jobs, or `run.complete()` has ended some of them: those are left out."""
        lost = set(lost).difference(self.completing)
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


class RunningJobs(Runs):
    """Those of one pool."""

    def __init__(
        self,
        *,
        workers: int,
        everywhere: AllRunning | None = None,
        completions: Completions | None = None,
    ) -> None:
        """`everywhere`: those of all pools, to which these belong; None: there is no other pool."""
        self.workers = workers
        """How many may run at a time. It grows for the time that handlers are stuck."""
        self.stuck = 0
        """How many of them are stuck."""
        # `is None`: one that is empty is false
        self.everywhere = AllRunning(completions=completions, pools=[self]) if everywhere is None else everywhere
        self.signals = self.everywhere.signals
        self.completing = self.everywhere.completing
        # By id() of the claimed job, because two runs may have the same job for a moment: a job that is due again at once may
        # begin before its earlier run is removed here. They may even have the same claim key: a standby that is promoted
        # may give a lease_no out again while the handler of the earlier claim runs. Single operations on a dict are atomic.
        # The values are as RunningJob.
        self._jobs: dict[int, tuple[Claimed, int, float]] = {}
        self.freed_at = 0.0
        """time.monotonic() when a worker last became free after all had been busy."""

    def __len__(self) -> int:
        return len(self._jobs)

    def all(self) -> list[RunningJob]:
        return [RunningJob(*one) for one in list(self._jobs.values())]

    def add(self, job: Claimed) -> float:
        """Returns the time of the beginning, by time.monotonic()."""
        begun = time.monotonic()
        self._jobs[id(job)] = job, threading.get_ident(), begun
        return begun

    def remove(self, job: Claimed) -> None:
        """Does nothing if the job is not here, because something may have interrupted the thread in `add`."""
        if len(self._jobs) >= self.workers:
            self.freed_at = time.monotonic()
        try:
            del self._jobs[id(job)]
        except KeyError:
            pass


class AllRunning(Runs):
    """Those of all pools of an engine."""

    def __init__(
        self,
        *,
        deadlines: Deadlines | None = None,
        completions: Completions | None = None,
        records: Records | None = None,
        pauses: Pauses | None = None,
        pools: Collection[RunningJobs] = (),
    ) -> None:
        self.signals = RunSignals(deadlines=deadlines, completions=completions, records=records, pauses=pauses)
        self.completing = frozenset() if completions is None else completions.claims
        self.pools = tuple(pools)
        """Replaced as a whole."""

    def have_all_run(self) -> bool:
        """Whether as many jobs as `signals.limit_jobs` said have begun, and have returned or are stuck."""
        quota = self.signals.quota
        return quota is not None and quota.is_used_up and len(self) <= sum(pool.stuck for pool in self.pools)

    def __len__(self) -> int:
        return sum(len(pool) for pool in self.pools)

    def all(self) -> list[RunningJob]:
        return [one for pool in self.pools for one in pool.all()]

    @property
    def workers(self) -> int:
        return sum(pool.workers for pool in self.pools)

    @property
    def stuck(self) -> int:
        return sum(pool.stuck for pool in self.pools)


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
