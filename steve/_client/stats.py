"""Reads what `stats()` returns: pending and running jobs by their indexes, and the figures of those that ended from the table
`stat`.

The statements are one transaction, which limits their time. But at READ COMMITTED each has a snapshot of its own, so none is
held for long. `failures()` is read here, too: from the jobs themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from steve._client.calls import Calls
from steve._client.lookup import Listed, page
from steve._database.execute import atomic
from steve._database.failures import Connection, Transient
from steve._database.statements.rows import in_utc
from steve._database.statements.stats import Ask, Begun, PendingJobs, StatStatements, ended_fields
from steve._model.failures import Failed, grouped
from steve._model.names import check_name
from steve._model.spans import KEPT_LONGEST, begin_of
from steve._model.times import check_delay, check_time
from steve._model.tuning import Tuning
from steve.errors import Unavailable, shown
from steve.failures import Failures
from steve.stats import Count, LaneStats, Stats

_CANCELED = "57014"
"""The SQLSTATE of a statement that took longer than statement_timeout."""


_NONE = Count()


class StatsReader:
    def __init__(self, *, calls: Calls, statements: StatStatements, tuning: Tuning) -> None:
        self._calls = calls
        self._statements = statements
        self._tuning = tuning

    def stats(self, over: object, since: object, until: object, queue: object, type: object) -> Stats:
        ask = _checked(over, since, until, queue, type)
        return self._calls.call(lambda ours: self._read(ours, ask))

    def failures(self, since: object, type: object, queue: object, tags: object, limit: object) -> list[Failures]:
        asked = page(None, type, queue, tags, limit, None, Listed())
        at = None if since is None else check_time("since", since)

        def look(ours: Connection) -> list[Failed]:
            return self._statements.list_failures(ours, at, asked.type, asked.queue, asked.tags, asked.limit)

        return grouped(self._calls.call(look, more_seconds=None))  # it may take any time, as fetch_all() may

    def _read(self, connection: Connection, ask: Ask) -> Stats:
        try:
            with atomic(connection):
                begun = self._statements.begin_stats(connection)
                until = begun.at if ask.until is None else min(ask.until, begun.at)
                since = until - ask.over if ask.since is None else ask.since
                since = min(max(since, begun.at - KEPT_LONGEST), until)
                waiting, pending = self._read_pending(connection, ask, begun)
                running = self._statements.count_running(connection, self._tuning.stats_most)
                ended = self._statements.sum_stat(connection, ask, since, until, begun.at)
        except Transient as error:
            if error.sqlstate != _CANCELED:
                raise
            raise Unavailable(
                f"stats() took longer than {self._tuning.stats_timeout:g} s: ask for one queue, or a shorter span"
            ) from None
        lanes = _joined(waiting, _counts(running, self._tuning.stats_most), ended, ask, begun.at)
        return Stats(begun.at, begin_of(since, until, begun.at), until, lanes, pending)

    def _read_pending(self, connection: Connection, ask: Ask, begun: Begun) -> tuple[list[PendingJobs], Count]:
        """What is pending of each queue and type, and how many jobs in all."""
        most = self._tuning.stats_most
        found: list[PendingJobs] = []
        is_all = begun.pending <= most * 1.2  # by the statistics, which may be a little old
        if is_all:
            found = self._statements.count_pending(connection, ask.queue, most)
            is_all = sum(row[2] for row in found) < most
        is_cut_off = False
        if not is_all:
            found = self._statements.count_lanes(connection, ask.queue, most)
            is_cut_off = sum(row[5] for row in found) >= self._tuning.stats_lanes
        chosen = [row for row in found if ask.type in (None, row[1])]
        counted = sum(row[2] for row in chosen)
        if is_cut_off or any(row[3] for row in chosen):
            about = max(counted, begun.pending) if ask.queue is None and ask.type is None else counted
            return chosen, Count(about, True)
        return chosen, Count(counted)


def _counts(running: Sequence[tuple[str, str, int]], most: int) -> Mapping[tuple[str, str], Count]:
    is_least = sum(count for _, _, count in running) >= most
    return {(queue, type): Count(count, is_least) for queue, type, count in running}


def _joined(
    waiting: Iterable[PendingJobs],
    running: Mapping[tuple[str, str], Count],
    ended: Iterable[tuple[Any, ...]],
    ask: Ask,
    at: datetime,
) -> Sequence[LaneStats]:
    """One for each queue and type. Each is made once, since there may be thousands."""
    pending = {row[:2]: row for row in waiting}
    figures = {row[:2]: row for row in ended}
    lanes = []
    for lane in sorted({**pending, **running, **figures}):
        queue, type = lane
        if ask.queue not in (None, queue) or ask.type not in (None, type):
            continue
        count, due, latency = _NONE, None, 0.0
        if lane in pending:
            _, _, number, is_least, since, _ = pending[lane]
            count = Count(number, is_least)
            if since is not None:
                due = in_utc(since)
                latency = max((at - due).total_seconds(), 0.0)
        more = ended_fields(figures[lane]) if lane in figures else ()
        lanes.append(LaneStats(queue, type, count, running.get(lane, _NONE), due, latency, *more))
    return tuple(lanes)


def _checked(over: object, since: object, until: object, queue: object, type: object) -> Ask:
    """Raises TypeError and ValueError."""
    begin = None if since is None else check_time("since", since)
    end = None if until is None else check_time("until", until)
    if begin is not None and over is not None:
        raise TypeError("stats takes over= or since=, not both")
    if begin is not None and end is not None and begin >= end:
        raise ValueError(f"since must be before until, not {shown(begin)}")
    span = check_delay("over", 3600.0 if over is None else over)
    if not span:
        raise ValueError(f"over must be more than 0 seconds, not {shown(over)}")
    return Ask(
        begin, end, span,
        None if queue is None else check_name("queue", queue),
        None if type is None else check_name("type", type),
    )  # fmt: skip
