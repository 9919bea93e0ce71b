"""Time zones: finds one by its name, and tells when its clocks change.

Times in this file and in ticks.py are naive. Unless they are called local, they are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from steve.errors import shown

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


class Span(NamedTuple):
    """A time in which the clocks do not change."""

    begin: datetime
    end: datetime
    """The first moment after it."""
    offset: timedelta
    """What to add for the local time."""


def zone_name(timezone: object) -> str:
    """The name of a zone, given as such or as a ZoneInfo. Raises TypeError and ValueError."""
    name = timezone.key if isinstance(timezone, ZoneInfo) else timezone
    if not isinstance(name, str):
        raise TypeError(f'timezone must be a name such as "Europe/Berlin" or a ZoneInfo, not {type(timezone).__name__}')
    name = str.__str__(name)
    find_zone(name)
    return name


def find_zone(name: str) -> tzinfo:
    """Raises ValueError if this machine knows no zone of that name."""
    if name == "UTC":
        return UTC  # a system without zones has this one
    try:
        if name in ("localtime", "posixrules", ""):  # files that some systems have beside the zones: each has its own
            raise ZoneInfoNotFoundError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"timezone: this machine knows no time zone {shown(name)}. Names are those of the IANA database, such as "
            '"Europe/Berlin"; where the system has none, install steve-jobs[cron], which brings them along'
        ) from None


def spans(zone: tzinfo, begin: datetime, end: datetime) -> Iterator[Span]:
    """The time from `begin` to `end` in spans, in their order."""
    if zone is UTC:
        yield Span(begin, end, timedelta())
        return
    start, offset = begin, _offset(zone, begin)
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    while day < end:
        change = _change_on(zone, day)
        if change is not None and start < change.at < end:
            yield Span(start, change.at, offset)
            start, offset = change
        day += DAY
    yield Span(start, end, offset)


class _Change(NamedTuple):
    at: datetime
    offset: timedelta
    """From then on."""


@lru_cache(maxsize=10_000)
def _change_on(zone: tzinfo, day: datetime) -> _Change | None:
    """The change of the zone's clocks within the 24 hours from `day` on. In no zone are there two: the shortest time between
    two changes is four days."""
    low, high = day, day + DAY
    before, after = _offset(zone, day - SECOND), _offset(zone, high - SECOND)
    if before == after:
        return None
    low -= SECOND
    high -= SECOND
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return _Change(high, after)


def _offset(zone: tzinfo, at: datetime) -> timedelta:
    offset = at.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset
