"""The jobs whose handlers have not returned."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from steve._engine.records.records import Records
from steve._engine.work.signals import RunSignals
from steve._model.claimed import Claimed, ClaimKey
from steve._runtime.log import logger


class RunningJob(NamedTuple):
    job: Claimed
    thread: int
    """threading.get_ident() of the thread that runs it."""


class RunningJobs:
    def __init__(self, *, workers: int, records: Records | None = None) -> None:
        """`records`: keeps what runs leave behind; None: nothing does."""
        self.workers = workers
        self.records = records
        self.signals = RunSignals()
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

    def add(self, job: Claimed) -> None:
        self._jobs[id(job)] = RunningJob(job, threading.get_ident())

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
        """Other processes have taken these jobs."""
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
    frames = sys._current_frames()
    for one in running:
        frame = frames.get(one.thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "it has just returned\n"
        logger.warning(
            "job %s (%s) is still running, here:\n%s", one.job.uid, one.job.type, stack,
            extra=one.job.log_extra(),
        )  # fmt: skip
