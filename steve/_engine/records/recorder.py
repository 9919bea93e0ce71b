"""Writes what runs leave behind.

Which thread writes? It must not be the heartbeat's: a write of some megabytes, or one that waits for a lock, would make other
processes take this one for dead. Nor the settler's, for runs that go on: the outcomes of other jobs would wait for it. So it is
a duty of the scanner. A rescue or a look for asked cancels may come some milliseconds later because of it, and a table that
somebody has locked holds it up for no longer than `lock_patience`: that limit is part of the transaction. In return, what runs
leave may come late while the scanner waits for something else.

The settler writes what is left of the runs that have ended, all of a group in one statement, right before their outcomes: when
a job has ended, its lines are there. It writes nothing for runs that have left nothing. If these tables take nothing, the
outcomes do not wait: the scanner writes the lines later.

A line waits until the next write begins and then until it is committed. The promise is that it is there two seconds after it
was logged, so the log is written a little more often than that. Progress promises nothing, and is written every two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from steve._database.failures import (
    LOCK_NOT_AVAILABLE,
    Connection,
    DatabaseFailure,
    InDoubt,
    Refused,
    Transient,
    Unexplained,
)
from steve._database.loop_connection import CallPort
from steve._database.statements.records import RecordStatements
from steve._engine.records.records import Records, Unwritten, unwritten_logs, unwritten_reports
from steve._engine.upkeep.periodic import Duty
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class Recorder:
    def __init__(
        self,
        *,
        records: Records,
        statements: RecordStatements,
        scan: CallPort,
        settle: CallPort,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._statements = statements
        self._scan = scan
        self._settle = settle
        self._tuning = tuning
        self._clock = clock
        self._not_before = 0.0  # of the settler
        self._has_failed = False

    # -- on the scanner's thread ----------------------------------------------------------------------------------------

    def duties(self) -> list[Duty]:
        return [
            Duty("write logs", self._tuning.log_every, self.write_logs),
            Duty("write progress", self._tuning.progress_every, self.write_progress),
        ]

    def write_logs(self) -> None:
        if self._records.runs:
            self._records.begin_live()
            try:
                self._write_live(Unwritten(unwritten_logs(self._records.all()), ()))
            finally:
                self._records.end_live()
            if lost := self._records.tidy():
                logger.error("what was logged by %d runs cannot be written and is lost", lost)

    def write_progress(self) -> None:
        if self._records.runs:
            self._write_live(Unwritten((), unwritten_reports(self._records.all())))

    def _write_live(self, unwritten: Unwritten) -> None:
        if not unwritten:
            return
        try:
            self._scan.call(lambda ours: self._write(ours, unwritten, limited=False))
            self._has_failed = False
        except DatabaseFailure as error:
            self._failed(error)

    # -- on the settler's thread ----------------------------------------------------------------------------------------

    def write_ended(self, verdicts: Sequence[Verdict]) -> None:
        """Write what is left of these runs, before their outcomes are written. Raises DatabaseFailure if nothing can be
        written at present: then the outcomes cannot be written either."""
        if not self._records.ended or self._clock() < self._not_before:
            return
        try:
            runs = self._records.of(verdict.job for verdict in verdicts)
            if unwritten := Unwritten(unwritten_logs(runs), unwritten_reports(runs)):
                self._settle.call(lambda ours: self._write(ours, unwritten, limited=True))
        except Exception as error:  # also a defect here must not keep outcomes from being written
            if isinstance(error, DatabaseFailure) and not _is_of_these_tables(error):
                raise
            self._not_before = self._clock() + self._tuning.log_every  # each group would wait for the lock
            self._failed(error)

    # -- on both --------------------------------------------------------------------------------------------------------

    def _write(self, connection: Connection, unwritten: Unwritten, *, limited: bool) -> None:
        if unwritten.logged:
            at = self._statements.write_log(connection, unwritten.logged, self._records.shift, limited=limited)
            self._records.met_clock(at, time.time())
            self._records.written(Unwritten(unwritten.logged, ()))
        if unwritten.reported:
            try:
                at = self._statements.write_progress(connection, unwritten.reported, limited=limited)
            except Refused:  # a database whose encoding is not UTF-8 cannot hold every note; lines are in ASCII already
                in_ascii = [one.in_ascii() for one in unwritten.reported]
                at = self._statements.write_progress(connection, in_ascii, limited=limited)
            self._records.met_clock(at, time.time())
            self._records.written(Unwritten((), unwritten.reported))

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.warning("what runs have logged cannot be written now and will be tried again: %s", error)


def _is_of_these_tables(error: DatabaseFailure) -> bool:
    """Whether the cause may lie in these two tables or in what was written, and not in the connection or the server."""
    if isinstance(error, InDoubt):
        return False
    return not isinstance(error, Transient) or isinstance(error, Unexplained) or error.sqlstate == LOCK_NOT_AVAILABLE
