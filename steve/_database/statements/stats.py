"""Statements about figures: writing what a process has counted, merging and deleting it, and reading it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from steve._database.failures import Connection, translated
from steve._database.literals import array, text_array
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script
from steve._model.figures import Lane, LaneFigures
from steve._model.histogram import as_number, from_number
from steve._model.spans import KEPT, LENGTHS, pieces
from steve.stats import Count, LaneStats, Times

LANES_MOST = 5_000
"""How many lanes are looked at one by one, at most."""


class Ask(NamedTuple):
    """What to read."""

    since: datetime | None
    """None: `over` before the end."""
    until: datetime | None
    """None: now."""
    over: timedelta
    queue: str | None
    type: str | None


class Begun(NamedTuple):
    at: datetime
    pending: int
    """About how many jobs are pending. -1: not known."""


class StatStatements:
    def __init__(self, script: Script) -> None:
        self._script = script

    # -- for the duties -------------------------------------------------------------------------------------------------

    def write_stat(self, connection: Connection, process_id: int, counted: Mapping[Lane, LaneFigures]) -> None:
        """In a transaction."""
        patience = f"{self._script.tuning.lock_patience * 1000:.0f}ms"
        self._script.rows(connection, "limit_locks", {"patience": patience})
        lanes = sorted(counted)  # in one order, so that two statements cannot wait for each other in a circle
        figures = [counted[lane] for lane in lanes]
        self._script.rows(connection, "write_stat", {
            "process_id": process_id,
            "queues": text_array([queue for queue, _ in lanes]),
            "types": text_array([type for _, type in lanes]),
            "completed": array([one.completed for one in figures]),
            "failed": array([one.failed for one in figures]),
            "cancelled": array([one.cancelled for one in figures]),
            "retried": array([one.retried for one in figures]),
            "crashed": array([one.crashed for one in figures]),
            "run_us": array([int(one.run_seconds * 1e6) for one in figures]),
            "wait_us": array([int(one.wait_seconds * 1e6) for one in figures]),
            "run_hist": array([as_number(one.run) for one in figures]),
            "wait_hist": array([as_number(one.wait) for one in figures]),
        }, prepare=True)  # fmt: skip

    def merge_stat(self, connection: Connection, most: int) -> int:
        """Returns how many rows were merged."""
        rows = self._script.rows(connection, "merge_stat", {"n": most, "lengths": array(LENGTHS)}, prepare=True)
        return int(rows[0][0])

    def prune_stat(self, connection: Connection, most: int) -> int:
        """Returns how many rows were deleted."""
        kept = array(f"{length.total_seconds():.0f}s" for length in KEPT.values())
        parameters = {"n": most, "lengths": array(KEPT), "kept": kept}
        return int(self._script.rows(connection, "prune_stat", parameters, prepare=True)[0][0])

    # -- for stats() ----------------------------------------------------------------------------------------------------

    def begin_stats(self, connection: Connection) -> Begun:
        """At the beginning of a transaction."""
        timeout = f"{self._script.tuning.stats_timeout * 1000:.0f}ms"
        parameters = {"pending": self._script.table("job_ready"), "timeout": timeout}
        row = self._script.rows(connection, "begin_stats", parameters, prepare=False)[0]
        return Begun(in_utc(row[0]), row[1])

    def count_pending(self, connection: Connection, queue: str | None, most: int) -> list[LaneStats]:
        """Of the first `most` jobs. If these were not all, the sum of the counts is `most`."""
        parameters = {"queue": queue, "most": most}
        rows = self._script.rows(connection, "count_pending", parameters, prepare=False)
        return [_pending(*row) for row in rows]

    def count_lanes(self, connection: Connection, queue: str | None, most: int) -> list[LaneStats]:
        """Of about `most` jobs, an equal share for each lane. A queue and type may have several of these."""
        parameters = {"queue": queue, "most": most, "lanes": LANES_MOST}
        rows = self._script.rows(connection, "count_lanes", parameters, prepare=False)
        return [_pending(queue, type, count, oldest, is_least) for queue, type, count, is_least, oldest in rows]

    def count_running(self, connection: Connection, most: int) -> list[LaneStats]:
        rows = self._script.rows(connection, "count_running", {"most": most}, prepare=False)
        is_least = sum(row[2] for row in rows) >= most
        return [LaneStats(queue, type, running=Count(count, is_least)) for queue, type, count in rows]

    def sum_stat(self, connection: Connection, ask: Ask, since: datetime, until: datetime, now: datetime) -> list[LaneStats]:
        spans = pieces(since, until, now)
        rows = self._script.rows(connection, "sum_stat", {
            "minutes": array(piece.minutes for piece in spans),
            "sinces": text_array(piece.since.isoformat() for piece in spans),
            "untils": text_array(piece.until.isoformat() for piece in spans),
            "queue": ask.queue,
            "type": ask.type,
        }, prepare=False)  # fmt: skip
        return [_ended(*row) for row in rows]

    def oldest_due(
        self, connection: Connection, queues: Iterable[str | None]
    ) -> dict[str | None, tuple[LaneStats | None, datetime]]:
        """For each of these queues (None: all together) the lane of the job that has been due for longest, and the time."""
        with translated(connection), connection.transaction():
            at = self.begin_stats(connection).at
            found = {}
            for queue in queues:
                due = [lane for lane in self.count_lanes(connection, queue, 0) if lane.oldest_due is not None]
                found[queue] = (min(due, key=lambda lane: str(lane.oldest_due), default=None), at)
            return found


def _pending(queue: str, type: str, count: int, oldest: datetime | None, is_least: bool = False) -> LaneStats:
    return LaneStats(queue, type, pending=Count(count, is_least), oldest_due=None if oldest is None else in_utc(oldest))


def _ended(
    queue: str, type: str, completed: int, failed: int, cancelled: int, retried: int, crashed: int, run_us: int, wait_us: int,
    run_hist: str, wait_hist: str,
) -> LaneStats:  # fmt: skip
    return LaneStats(
        queue, type,
        completed=completed, failed=failed, cancelled=cancelled, retried=retried, crashed=crashed,
        run=Times(run_us / 1e6, from_number(run_hist)),
        wait=Times(wait_us / 1e6, from_number(wait_hist)),
    )  # fmt: skip
