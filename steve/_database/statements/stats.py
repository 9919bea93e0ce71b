"""Statements about figures: writing what a process has counted, merging and deleting it, and reading it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from steve._database.failures import Connection, translated
from steve._database.literals import array, text_array
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script
from steve._model.failures import ERROR_MOST, Failed
from steve._model.figures import Lane, LaneFigures
from steve._model.histogram import as_number
from steve._model.spans import KEPT, LENGTHS, pieces
from steve.stats import LaneStats, Times


class Ask(NamedTuple):
    """What to read."""

    since: datetime | None
    """None: `over` before the end."""
    until: datetime | None
    """None: now."""
    over: timedelta
    queue: str | None
    type: str | None


PendingJobs = tuple[str, str, int, bool, datetime | None, int]
"""Queue, type, how many jobs are pending, whether there may be more, since when the oldest that is due has been due, and how
many lanes there are of this queue and type."""


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

    def count_pending(self, connection: Connection, queue: str | None, most: int) -> list[PendingJobs]:
        """Of the first `most` jobs. If these were not all, the sum of the counts is `most`."""
        rows = self._script.rows(connection, "count_pending", {"queue": queue, "most": most}, prepare=False)
        return [(queue, type, count, False, oldest, 0) for queue, type, count, oldest in rows]

    def count_lanes(self, connection: Connection, queue: str | None, most: int) -> list[PendingJobs]:
        """Up to the same number in each lane: about `most` jobs in all, less what it costs to look at the lanes."""
        tuning = self._script.tuning
        return self._script.rows(connection, "count_lanes", {
            "queue": queue,
            "most": most,
            "lanes": tuning.stats_lanes,
            "least": tuning.stats_least,
            "lane_cost": tuning.stats_lane_cost,
        }, prepare=False)  # fmt: skip

    def count_running(self, connection: Connection, most: int) -> list[tuple[str, str, int]]:
        """By queue and type. If these were not all, the sum of the counts is `most`."""
        return self._script.rows(connection, "count_running", {"most": most}, prepare=False)

    def sum_stat(
        self, connection: Connection, ask: Ask, since: datetime, until: datetime, now: datetime
    ) -> list[tuple[Any, ...]]:
        """A row for each queue and type: see `ended_fields`."""
        spans = pieces(since, until, now)
        return self._script.rows(connection, "sum_stat", {
            "minutes": array(piece.minutes for piece in spans),
            "sinces": text_array(piece.since.isoformat() for piece in spans),
            "untils": text_array(piece.until.isoformat() for piece in spans),
            "queue": ask.queue,
            "type": ask.type,
        }, prepare=False)  # fmt: skip

    def find_oldest(self, connection: Connection) -> list[tuple[datetime, str, str]]:
        """The job that has been due for longest: since when, its queue and its type. An empty list: none is due."""
        rows = self._script.rows(connection, "find_oldest", {}, prepare=False)
        return [(since, queue, type) for queue, type, since in rows]

    def list_failures(
        self,
        connection: Connection,
        since: datetime | None,
        type: str | None,
        queue: str | None,
        tags: str | None,
        limit: int,
    ) -> list[Failed]:
        """Newest first. `tags`: JSON text."""
        asked = {"since": since, "type": type, "queue": queue, "tags": tags, "limit": limit, "error_most": ERROR_MOST}
        rows = self._script.rows(connection, "list_failures", asked, prepare=False)
        return [(uid, type, error, in_utc(at)) for uid, type, error, at in rows]

    def oldest_due(
        self, connection: Connection, queues: Iterable[str | None]
    ) -> dict[str | None, tuple[LaneStats | None, datetime]]:
        """For each of these queues (None: all together) the lane of the job that has been due for longest, and the time."""
        with translated(connection), connection.transaction():
            at = self.begin_stats(connection).at
            found: dict[str | None, tuple[LaneStats | None, datetime]] = {}
            for queue in queues:
                if queue is None:
                    due = self.find_oldest(connection)
                else:
                    lanes = self.count_lanes(connection, queue, 0)
                    due = [(since, queue, type) for queue, type, _, _, since, _ in lanes if since is not None]
                oldest = min(due, default=None)
                lane = None if oldest is None else LaneStats(oldest[1], oldest[2], oldest_due=in_utc(oldest[0]))
                found[queue] = lane, at
            return found


def ended_fields(row: Sequence[Any]) -> tuple[int, int, int, int, int, Times, Times]:
    """What a row of `sum_stat` says: the last fields of LaneStats."""
    _, _, completed, failed, cancelled, retried, crashed, run_us, wait_us, run_hist, wait_hist = row
    return completed, failed, cancelled, retried, crashed, _times(run_us, run_hist), _times(wait_us, wait_hist)


def _times(microseconds: int, histogram: str) -> Times:
    return Times() if histogram == "0" else Times(microseconds / 1e6, histogram)
