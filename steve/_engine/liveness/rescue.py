"""Takes the jobs of processes that `_model/process.py` judges dead or stalled.

The heartbeat's thread looks at the other processes, judges what it saw, and leaves the findings here. The scanner acts on them,
on another connection, because it may have to wait for locks. The database checks once more whether a finding still holds:
`sql/rescue_jobs.sql`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol
from uuid import UUID

from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._model.process import Observation, Observer, Process, ProcessState, judge_process
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve.job import Status


class RescuePort(Protocol):
    """What a rescue asks of the database. Both methods raise DatabaseFailure."""

    def suspect(self, process: Process) -> float | None:
        """Write into the row that the process is suspect. Returns when that was, by the server's clock; None: the process has
        sent a heartbeat since, or another process has written it already."""

    def rescue(
        self, process: Process, *, dead: bool, reason: str, taken: Collection[UUID]
    ) -> Sequence[tuple[Verdict, Settled]]:
        """Take some of its jobs, except those `taken`. Returns what became of each; when it returns none, there are no more."""


FORGET_SECONDS = 3_600.0
"""What is known of a process is forgotten when the process was not shown for so long."""


class Observations:
    """Remembers when this process first saw the last heartbeat and the suspicion of each process. The heartbeat's thread calls
    all methods except `suspected`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[int, tuple[float, float]] = {}
        self._shown_at: dict[int, float] = {}
        # The scanner writes here as well. Each write is one whole entry.
        self._suspicions: dict[int, tuple[float, float]] = {}

    def suspected(self, id: int, suspected_at: float) -> None:
        """On the scanner's thread: this process has just written the suspicion itself."""
        self._suspicions[id] = (suspected_at, self._clock())

    def see(self, processes: Sequence[Process]) -> list[Observation]:
        now = self._clock()
        seen = []
        for process in processes:
            self._shown_at[process.id] = now
            self._beats[process.id] = _since(self._beats.get(process.id), process.heartbeat_at, now)
            suspected = None
            if process.suspected_at is None:
                self._suspicions.pop(process.id, None)
            else:
                known = _since(self._suspicions.get(process.id), process.suspected_at, now)
                self._suspicions[process.id] = known
                suspected = now - known[1]
            seen.append(Observation(process, now - self._beats[process.id][1], suspected))
        # Not all processes are shown at each look. What is known of a process is kept until it was not shown for long: if its
        # heartbeat is still the same when it is shown again, it was silent meanwhile.
        for gone in [id for id, shown_at in self._shown_at.items() if now - shown_at > FORGET_SECONDS]:
            del self._shown_at[gone], self._beats[gone]
            self._suspicions.pop(gone, None)
        return seen


def _since(known: tuple[float, float] | None, value: float, now: float) -> tuple[float, float]:
    return known if known is not None and known[0] == value else (value, now)


class Rescue:
    def __init__(
        self,
        *,
        database: RescuePort,
        tell: Callable[[str, Verdict, Settled], None],
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` is called for each rescued job, with the name of the process that held it."""
        self._database = database
        self._tell = tell
        self._tuning = tuning
        self._observations = Observations(clock=clock)
        # Replaced as a whole, because only the last look counts.
        self._findings: list[tuple[Observation, ProcessState]] = []

    def look(self, others: Sequence[Process], own: Observer) -> None:
        """On the heartbeat's thread: judge the processes that it saw, and leave the findings for `work`."""
        judged = [(seen, judge_process(seen, own, self._tuning)) for seen in self._observations.see(others)]
        self._findings = [(seen, state) for seen, state in judged if state is not ProcessState.ALIVE]

    def work(self) -> bool:
        """On the scanner's thread. Returns whether there was anything to do. Raises DatabaseFailure."""
        findings = self._findings
        for seen, state in findings:
            if state is not ProcessState.SUSPECT:
                self._take_jobs(seen, dead=state is ProcessState.DEAD)
            elif (suspected_at := self._database.suspect(seen.process)) is not None:
                self._observations.suspected(seen.process.id, suspected_at)
        if self._findings is findings:  # after an error they stay: without any, the next call would seem to have worked
            self._findings = []
        return bool(findings)

    def _take_jobs(self, seen: Observation, *, dead: bool) -> None:
        process = seen.process
        what = "died" if process.lock_is_free else f"gave no sign of life for {seen.silent:.0f} s"
        reason = f"ProcessCrashed: process {process.name} {what} while it held the job"
        pending = failed = cancelled = 0
        taken: set[UUID] = set()
        while rescued := self._database.rescue(process, dead=dead, reason=reason, taken=taken):
            for verdict, settled in rescued:
                taken.add(verdict.job.uid)
                self._tell(process.name, verdict, settled)
                if not verdict.is_final:
                    pending += 1
                    continue
                if verdict.status is Status.FAILED:
                    failed += 1
                    logger.error("job %s failed: %s", verdict.job.uid, verdict.error, extra=verdict.job.log_extra())
                else:
                    cancelled += 1
        logger.log(
            logging.WARNING if dead or pending or failed or cancelled else logging.INFO,
            "process %s %s: of its jobs %d are pending again, %d failed%s", process.name, what, pending, failed,
            f", {cancelled} are cancelled" if cancelled else "",
        )  # fmt: skip
