"""Reads what `stats()` returns: pending and running jobs by their indexes, and the figures of those that ended from the table
`stat`.

The statements are one transaction, which limits their time. But at READ COMMITTED each has a snapshot of its own, so none is
held for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from steve._client.calls import Calls
from steve._database.execute import atomic
from steve._database.failures import Connection, Transient
from steve._database.statements.stats import Ask, Begun, StatStatements
from steve._model.names import check_name
from steve._model.spans import KEPT_LONGEST, begin_of
from steve._model.times import check_delay, check_time
from steve._model.tuning import Tuning
from steve.errors import Unavailable, shown
from steve.stats import Count, LaneStats, Stats, counts_of

_CANCELED = "57014"
"""The SQLSTATE of a statement that took longer than statement_timeout."""


class StatsReader:
    def __init__(self, *, calls: Calls, statements: StatStatements, tuning: Tuning) -> None:
        self._calls = calls
        self._statements = statements
        self._tuning = tuning

    def stats(self, over: object, since: object, until: object, queue: object, type: object) -> Stats:
        ask = _checked(over, since, until, queue, type)
        return self._calls.call(lambda ours: self._read(ours, ask))

    def _read(self, connection: Connection, ask: Ask) -> Stats:
        try:
            with atomic(connection):
                begun = self._statements.begin_stats(connection)
                until = begun.at if ask.until is None else min(ask.until, begun.at)
                since = until - ask.over if ask.since is None else ask.since
                since = min(max(since, begun.at - KEPT_LONGEST), until)
                open_lanes, pending = self._read_open(connection, ask, begun)
                ended = self._statements.sum_stat(connection, ask, since, until, begun.at)
        except Transient as error:
            if error.sqlstate != _CANCELED:
                raise
            raise Unavailable(
                f"stats() took longer than {self._tuning.stats_timeout:g} s: ask for one queue, or a shorter span"
            ) from None
        lanes = _joined([*open_lanes, *ended], ask, begun.at)
        return Stats(begun.at, begin_of(since, until, begun.at), until, lanes, pending, counts_of(lanes))

    def _read_open(self, connection: Connection, ask: Ask, begun: Begun) -> tuple[list[LaneStats], Count]:
        """The lanes that have pending or running jobs, and how many jobs are pending."""
        most = self._tuning.stats_most
        lanes: list[LaneStats] = []
        is_all = begun.pending <= most * 1.2  # by the statistics, which may be a little old
        if is_all:
            lanes = self._statements.count_pending(connection, ask.queue, most)
            is_all = sum(lane.pending for lane in lanes) < most
        if not is_all:
            lanes = self._statements.count_lanes(connection, ask.queue, most)
        chosen = [lane for lane in lanes if ask.type in (None, lane.type)]
        counted = sum(lane.pending for lane in chosen)
        if any(lane.pending.is_least for lane in chosen):
            about = max(counted, begun.pending) if ask.queue is None and ask.type is None else counted
            pending = Count(about, True)
        else:
            pending = Count(counted)
        return [*chosen, *self._statements.count_running(connection, most)], pending


def _joined(lanes: Iterable[LaneStats], ask: Ask, at: datetime) -> Sequence[LaneStats]:
    """One for each queue and type."""
    found: dict[tuple[str | None, str | None], LaneStats] = {}
    for lane in lanes:
        if ask.queue in (None, lane.queue) and ask.type in (None, lane.type):
            key = lane.queue, lane.type
            found[key] = found[key].plus(lane) if key in found else lane
    return tuple(
        lane if lane.oldest_due is None else replace(lane, latency=max((at - lane.oldest_due).total_seconds(), 0.0))
        for _, lane in sorted(found.items())
    )


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
