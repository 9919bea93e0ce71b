"""What the runs of this process have left and what is not written yet. In memory only: no call here waits for anything.

A run is here from its beginning if it is captured, otherwise from its first progress() on. A plain run never is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple
from uuid import UUID

from steve._database.statements.records import Logged, Reported
from steve._engine.records.attempt_log import AttemptLog
from steve._model.capture import Capture
from steve._model.claimed import Claimed, RunKey
from steve._model.json import readable
from steve._model.tuning import Tuning
from steve.job import Progress

OVER_SECONDS = 60.0
"""How long a run that is over stays here if nobody asks for it: its outcome was dropped, or waits to be written."""
SHARE_LEAST = 4 << 10


class Unwritten(NamedTuple):
    """What is to be written."""

    logged: Sequence[Logged]
    reported: Sequence[Reported]

    def __bool__(self) -> bool:
        return bool(self.logged or self.reported)


class RunRecord:
    """What one run has left."""

    __slots__ = ("attempt", "is_settled", "key", "log", "over_at", "report", "written_report")

    def __init__(self, key: RunKey, *, attempt: int = 0, log: AttemptLog | None = None) -> None:
        self.key = key
        self.attempt = attempt
        self.log = log
        self.report: Reported | None = None
        self.written_report = -1
        self.over_at = 0.0
        """When the handler returned, if it has."""
        self.is_settled = False

    def is_written(self) -> bool:
        return (self.log is None or self.log.is_written()) and not self.has_news()

    def has_news(self) -> bool:
        return self.report is not None and self.report.report > self.written_report


class Records:
    """Single operations on a dict are atomic, so it takes no lock."""

    def __init__(
        self,
        *,
        capture_of: Callable[[str], Capture | None],
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`capture_of(type)`: what is kept of the runs of jobs of this type; None: nothing."""
        self._capture_of = capture_of
        self._tuning = tuning
        self._clock = clock
        self.runs: dict[RunKey, RunRecord] = {}
        """Empty in most managers."""
        self.ended: dict[RunKey, RunRecord] = {}
        """Those whose handlers have returned. The settler looks here for the run of each outcome. That would take a twentieth
        of the time of a plain job; so it does not look while this is empty, however many runs go on."""
        self._numbers = count()
        self._are_live_written = False
        self.shift: float | None = None
        """How many seconds the database's clock is ahead of this process's; None: not known yet."""

    # -- on the threads of the run --------------------------------------------------------------------------------------

    def begin(self, job: Claimed) -> AttemptLog | None:
        """A run begins. Returns its log if it is captured."""
        capture = self._capture_of(job.type)
        if capture is None:
            return None
        log = AttemptLog(capture=capture, share=self._share)
        key = job.run_key()
        self.runs[key] = RunRecord(key, attempt=job.attempts, log=log)
        return log

    def progress(self, key: tuple[UUID, int, datetime], done: float, total: float | None, note: str | None) -> None:
        """`key`: as a RunKey."""
        run = self.runs.get(key)  # type: ignore[call-overload]  # equal to a RunKey
        if run is None:
            key = RunKey(*key)
            run = self.runs.setdefault(key, RunRecord(key))
        # Of two reports that two threads make at the same moment, any may stay.
        clean = None if note is None else readable(note)
        run.report = Reported(run.key, next(self._numbers), done, total, clean, self._clock())

    def over(self, key: tuple[UUID, int, datetime]) -> None:
        """The handler has returned."""
        if (run := self.runs.get(key)) is not None:  # type: ignore[call-overload]
            run.over_at = self._clock()
            self.ended[run.key] = run

    # -- on the settler's thread ----------------------------------------------------------------------------------------

    def settled(self, job: Claimed) -> Progress | None:
        """The job's outcome is written. Returns how far the run was, for listeners. What is not written of the run stays."""
        run = self.ended.get(job.run_key())
        if run is None:
            return None
        run.is_settled = True
        # What the scanner is writing may have to be cut afterwards: end_live().
        if run.is_written() and not self._are_live_written:
            self._forget(run)
        if (last := run.report) is None:
            return None
        at = datetime.now(UTC) + timedelta(seconds=(self.shift or 0.0) + last.at - self._clock())
        return Progress(last.done, last.total, last.note, at)

    # -- on the threads that write --------------------------------------------------------------------------------------

    def of(self, jobs: Iterable[Claimed]) -> list[RunRecord]:
        """Those of them that have ended."""
        return [run for job in jobs if (run := self.ended.get(job.run_key())) is not None]

    def all(self) -> list[RunRecord]:
        return list(self.runs.values())

    def begin_live(self) -> None:
        """The scanner begins to write."""
        self._are_live_written = True

    def end_live(self) -> None:
        """It has written, or failed."""
        self._are_live_written = False
        for run in self.all():
            if run.is_settled and run.is_written():
                self._forget(run)

    def written(self, unwritten: Unwritten) -> None:
        for logged in unwritten.logged:
            if (run := self.runs.get(logged.run)) is not None and run.log is not None:
                run.log.written(logged.chunks, logged.cut)
        for reported in unwritten.reported:
            if (run := self.runs.get(reported.run)) is not None:
                run.written_report = max(run.written_report, reported.report)

    def tidy(self) -> int:
        """Forget runs that have been over for long: those of which all is written; and the oldest, if very many cannot be
        written. Returns of how many something is lost."""
        now = self._clock()
        over = [run for run in list(self.ended.values()) if now - run.over_at > OVER_SECONDS]
        left = []
        for run in over:
            if run.is_written():
                self._forget(run)
            else:
                left.append(run)
        lost = left[: max(0, len(left) - self._tuning.records_most)]
        for run in lost:
            self._forget(run)
        return len(lost)

    def met_clock(self, database: float, mine: float) -> None:
        """The two clocks at about the same moment. A small difference is the time that a statement takes."""
        shift = database - mine
        if self.shift is None or abs(shift - self.shift) > self._tuning.shift_least:
            self.shift = shift

    # -- the limit on memory --------------------------------------------------------------------------------------------

    def _share(self) -> int:
        return max(SHARE_LEAST, self._tuning.log_bytes // max(1, len(self.runs)))

    def _forget(self, run: RunRecord) -> None:
        self.runs.pop(run.key, None)
        self.ended.pop(run.key, None)


def unwritten_logs(runs: Iterable[RunRecord]) -> list[Logged]:
    found = []
    for run in runs:
        if run.log is not None and not run.log.is_written():
            chunks, cut = run.log.unwritten()
            found.append(Logged(run.key, run.attempt, chunks, cut))
    return found


def unwritten_reports(runs: Iterable[RunRecord]) -> list[Reported]:
    return [run.report for run in runs if run.has_news() and run.report is not None]
