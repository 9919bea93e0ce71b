"""An independent walk: the ticks of a crontab, found by looking at every quarter of an hour of the local calendar.

It is written from the sentence in the documentation and shares nothing with steve: where minute or hour begins with `*`, it is
real time (times that come twice run twice, times that do not come do not run). Else a time that does not come runs at the
moment of the jump, and one that comes twice runs once, the first time.
"""

import hashlib
import io
import struct
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

QUARTER = timedelta(minutes=15)
SECOND = timedelta(seconds=1)

CRONTABS = {
    "0 3 * * *": (False, lambda at: (at.hour, at.minute) == (3, 0)),
    "30 1 * * *": (False, lambda at: (at.hour, at.minute) == (1, 30)),
    "0 * * * *": (True, lambda at: at.minute == 0),
    "*/15 * * * *": (True, lambda at: True),
    "30 */2 * * *": (True, lambda at: at.hour % 2 == 0 and at.minute == 30),
    "0,30 1-4 * * *": (False, lambda at: 1 <= at.hour <= 4 and at.minute in (0, 30)),
}
"""Each: whether it is real time, and whether a local quarter of an hour matches."""


def walk(crontab: str, zone: zoneinfo.ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """The ticks after `begin` and not after `end`, both in UTC."""
    is_real, matches = CRONTABS[crontab]
    found = set()
    # Somewhat more of the calendar than is asked for: local time differs from UTC by less than a day, and jumps by one at most.
    local = (begin - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    while local <= end.replace(tzinfo=None) + timedelta(days=2):
        if matches(local):
            moments = [at for at in both(local, zone) if at.astimezone(zone).replace(tzinfo=None, fold=0) == local]
            if is_real:
                found.update(moments)
            else:
                found.add(min(moments) if moments else jump(local, zone))
        local += QUARTER
    return sorted(at for at in found if begin < at <= end)


def both(local: datetime, zone: zoneinfo.ZoneInfo) -> list[datetime]:
    return [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def jump(local: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """The first second at which the clock shows more than this time, which it never shows."""
    low, high = sorted(both(local, zone))
    low, high = low - timedelta(days=1), high + timedelta(days=1)
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle -= timedelta(microseconds=middle.microsecond)
        if middle.astimezone(zone).replace(tzinfo=None) > local:
            high = middle
        else:
            low = middle
    return high


def zone_files() -> Iterator[tuple[str, list[datetime]]]:
    """Each zone of this machine that differs from those before it, and when its clocks change."""
    seen = set()
    for name in sorted(zoneinfo.available_timezones()):
        data = _data(name)
        if data is None or (digest := hashlib.sha256(data).digest()) in seen:
            continue
        seen.add(digest)
        yield name, changes(data)


def _data(name: str) -> bytes | None:
    for folder in zoneinfo.TZPATH:
        if (file := Path(folder) / name).is_file():
            return file.read_bytes()
    return None


def changes(data: bytes) -> list[datetime]:
    """When the offset changes, by the table in a file of RFC 8536."""
    file = io.BytesIO(data)

    def header() -> tuple[int, ...]:
        head = file.read(44)
        return struct.unpack(">6l", head[20:44])

    is_utc, is_standard, leaps, times, types, letters = header()
    file.read(times * 5 + types * 6 + letters + leaps * 8 + is_standard + is_utc)
    *_, times, types, letters = header()
    moments = struct.unpack(f">{times}q", file.read(times * 8))
    kinds = file.read(times)
    offsets = [struct.unpack(">lBB", file.read(6))[0] for _ in range(types)]
    found, offset = [], offsets[0]
    for moment, kind in zip(moments, kinds, strict=True):
        if offsets[kind] != offset and moment > -(2**36):
            found.append(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment))
        offset = offsets[kind]
    return found


def compare(share: int, part: int = 0) -> tuple[int, int, int]:
    """Compare steve with the walk around every `share`-th change of every zone, and around random times. Returns how many
    zones, times and ticks there were. Raises AssertionError."""
    import random

    from steve._schedules.crontab import check_crontab
    from steve._schedules.ticks import CronTicks

    chance = random.Random(share * 1000 + part)
    zones = places = ticks = 0
    for number, (name, moments) in enumerate(zone_files()):
        zone = zoneinfo.ZoneInfo(name)
        some = [at for place, at in enumerate(moments) if (place + number) % share == part]
        others = [datetime(1900, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(6_500_000_000)) for _ in range(20)]
        others = [at for place, at in enumerate(others) if (place + number) % share == part]
        zones += 1
        for at in [*some, *others]:
            begin, end = at - timedelta(hours=36), at + timedelta(hours=36)
            places += 1
            for crontab in CRONTABS:
                expected = walk(crontab, zone, begin, end)
                got = []
                for tick in CronTicks(check_crontab(crontab), name).after(begin):
                    if tick > end:
                        break
                    got.append(tick)
                assert got == expected, (name, crontab, begin, set(got) ^ set(expected))
                ticks += len(got)
    return zones, places, ticks


if __name__ == "__main__":
    print(compare(*map(int, sys.argv[1:])))
