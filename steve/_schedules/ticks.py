"""The ticks of a schedule: the moments at which it is due. All functions are pure.

When the clocks change, a crontab follows one of two rules. If its minutes or hours begin with `*`, it goes by real time: each
moment whose local time matches is a tick. So a local time that comes twice is a tick twice, and one that does not come is none.
Otherwise the tick of a local time is the first moment at which the clock shows that time or a later one. So a time that comes
twice is a tick once, the first time; and one that does not come is a tick at the moment of the jump. (cronsim has other rules,
so it is only asked which local times match.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import NamedTuple, Protocol

from steve._schedules.crontab import Crontab
from steve._schedules.zones import DAY, SECOND, find_zone, spans

TICKS_MOST = 1_000
"""How many ticks are due at a time, at most: the oldest. The others are due soon after."""
SPANS = (timedelta(hours=1), DAY, 32 * DAY)
"""How far back the last tick is looked for, step by step."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ticks(Protocol):
    def after(self, at: datetime) -> Iterator[datetime]:
        """All ticks after this moment, in their order, aware, in UTC. It ends only where the calendar does."""

    def local(self, at: datetime) -> datetime:
        """The same moment in the schedule's zone."""


class CronTicks(NamedTuple):
    crontab: Crontab
    timezone: str

    def after(self, at: datetime) -> Iterator[datetime]:
        zone = find_zone(self.timezone)
        second = at.astimezone(UTC).replace(tzinfo=None, microsecond=0) + SECOND
        find = _in_real_time if self.crontab.is_real_time else _in_local_time
        try:
            for tick in find(self.crontab, zone, second):
                yield tick.replace(tzinfo=UTC)
        except OverflowError:  # the calendar ends
            return

    def local(self, at: datetime) -> datetime:
        return at.astimezone(find_zone(self.timezone))


class EveryTicks(NamedTuple):
    """The multiples of an interval since 1970, in UTC. So all processes agree on them."""

    every: timedelta
    timezone: str

    def after(self, at: datetime) -> Iterator[datetime]:
        tick = EPOCH + (at - EPOCH) // self.every * self.every
        try:
            while True:
                tick += self.every
                yield tick
        except OverflowError:
            return

    def local(self, at: datetime) -> datetime:
        return at.astimezone(find_zone(self.timezone))


class NoTicks(NamedTuple):
    """Those of a schedule whose crontab or zone this machine cannot read."""

    def after(self, at: datetime) -> Iterator[datetime]:
        return iter(())

    def local(self, at: datetime) -> datetime:
        return at


class Due(NamedTuple):
    ticks: list[datetime]
    """Those to fire now, oldest first."""
    next: datetime | None
    """When to look again: the first tick after these. None: there is none."""


def due(ticks: Ticks, *, last: datetime, now: datetime, late: timedelta, latest: bool) -> Due:
    """What of a schedule is to be fired.

    `last`: the last tick that was fired, or when the schedule was made. `late`: how late a tick may still be fired. `latest`:
    fire only the last of those that are due.
    """
    after = max(last, now - late - SECOND / 1_000_000)  # a tick that is late by exactly `late` is fired
    if latest and now - after > SPANS[0]:
        tick = _last_tick(ticks, after, now)
        return Due([] if tick is None else [tick], next(ticks.after(max(after, now)), None))
    found: list[datetime] = []
    for tick in ticks.after(after):
        if tick > now:
            return Due(found[-1:] if latest else found, tick)
        if len(found) == TICKS_MOST and not latest:
            return Due(found, now)
        found.append(tick)
    return Due(found[-1:] if latest else found, None)


def _last_tick(ticks: Ticks, after: datetime, now: datetime) -> datetime | None:
    """The last tick that comes after `after` and not after `now`."""
    for span in (*SPANS, now - after):
        begin = max(after, now - span)
        found = deque(takewhile(lambda tick: tick <= now, ticks.after(begin)), maxlen=1)
        if found or begin == after:
            return found[0] if found else None
    return None


def _in_real_time(crontab: Crontab, zone: tzinfo, begin: datetime) -> Iterator[datetime]:
    """The ticks from `begin` on, a whole second."""
    while True:
        end = begin + 2 * DAY
        for span in spans(zone, begin, end):
            for local in crontab.matches(span.begin + span.offset):
                if local - span.offset >= span.end:
                    break
                yield local - span.offset
        # Pass over the time in which nothing matches. Local time differs from UTC by less than a day.
        following = next(crontab.matches(end - DAY), None)
        if following is None:
            return
        begin = max(end, following - DAY)


def _in_local_time(crontab: Crontab, zone: tzinfo, begin: datetime) -> Iterator[datetime]:
    """As `_in_real_time`, for the other rule."""
    last = begin - SECOND
    (span,) = spans(zone, last, begin)
    for local in crontab.matches(last + span.offset):
        tick = _first_moment(zone, local)
        if tick > last:  # not yet past, and not the one before: all times that a jump leaves out have the same tick
            yield tick
            last = tick


def _first_moment(zone: tzinfo, local: datetime) -> datetime:
    """The first moment at which the clock shows this time or a later one."""
    for span in spans(zone, local - DAY, local + DAY):
        if span.begin + span.offset >= local:
            return span.begin
        if local - span.offset < span.end:
            return local - span.offset
    raise AssertionError("a zone is a day or more from UTC")
