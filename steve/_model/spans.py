"""Which rows of the table `stat` make up a span of time: few long ones, instead of many short ones.

Each figure is there once for each length: in the row of its minute, of its ten minutes, of its hour and of its day. Rows of the
length 0 are what processes have counted and nobody has merged yet; they are in no other row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

LENGTHS = (1, 10, 60, 1440)
"""In minutes."""

KEPT = {1: timedelta(hours=3), 10: timedelta(hours=3), 60: timedelta(days=30), 1440: timedelta(days=30)}
"""For how long the rows of each length are kept after their end."""

KEPT_LONGEST = KEPT[60]

_FINE_ENOUGH = 6
"""The beginning of a span is moved back by at most a sixth of its length."""

_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


class Piece(NamedTuple):
    minutes: int
    since: datetime
    until: datetime


def pieces(since: datetime, until: datetime, now: datetime) -> list[Piece]:
    """The pieces from `since`, or a little before, to `until`, or a little after if that lies in the past. `now`: by the
    database's clock, which is also when the last figures were written."""
    length = _length_for(since, until, now)
    at, end = _floor(since, length), _ceiling(until, length)
    is_open = until >= now  # then a row that is not over yet is complete so far
    found: list[Piece] = [Piece(0, at, end)]
    while at < end:
        best = length
        for longer in LENGTHS[LENGTHS.index(length) + 1 :]:
            if _floor(at, longer) == at and (is_open or at + timedelta(minutes=longer) <= end):
                best = longer
        to = at + timedelta(minutes=best)
        if found[-1].minutes == best:
            found[-1] = found[-1]._replace(until=to)
        else:
            found.append(Piece(best, at, to))
        at = to
    return found


def begin_of(since: datetime, until: datetime, now: datetime) -> datetime:
    """Where the first of these pieces begins."""
    return _floor(since, _length_for(since, until, now))


def _length_for(since: datetime, until: datetime, now: datetime) -> int:
    """Of the shortest rows that the span may begin with. Those that begin with a day could begin a day too early."""
    wanted = (until - since) / _FINE_ENOUGH
    fitting = max((length for length in LENGTHS[:-1] if timedelta(minutes=length) <= wanted), default=LENGTHS[0])
    kept = next((length for length in LENGTHS if since >= now - KEPT[length]), LENGTHS[-2])  # the shorter ones are gone
    return max(fitting, kept)


def _floor(at: datetime, minutes: int) -> datetime:
    length = timedelta(minutes=minutes)
    return _ORIGIN + (at - _ORIGIN) // length * length


def _ceiling(at: datetime, minutes: int) -> datetime:
    return -(-(at - _ORIGIN) // timedelta(minutes=minutes)) * timedelta(minutes=minutes) + _ORIGIN
