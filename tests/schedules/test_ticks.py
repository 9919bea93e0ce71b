"""The ticks of crontabs and intervals, also where the clocks change, and which ticks are due."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from steve._schedules.crontab import check_crontab
from steve._schedules.ticks import TICKS_MOST, CronTicks, Due, EveryTicks, due
from steve._schedules.zones import zone_name
from tests.schedules.walk import compare

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ticks(crontab: str, begin: str, count: int, timezone: str = "Europe/Berlin") -> list[str]:
    """In UTC, without the year."""
    found = CronTicks(check_crontab(crontab), timezone).after(at(begin))
    return [f"{tick:%m-%d %H:%M}" + (f":{tick:%S}" if tick.second else "") for tick in islice(found, count)]


# In Berlin the clocks jump from 02:00 to 03:00 on 2026-03-29 (01:00 UTC), and from 03:00 back to 02:00 on 2026-10-25 (01:00
# UTC).
SPRING, AUTUMN = "2026-03-29T00:00Z", "2026-10-24T23:59:59Z"


@pytest.mark.parametrize(
    ("crontab", "begin", "expected"),
    [
        ("0 3 * * *", "2026-03-28T02:00Z", ["03-29 01:00", "03-30 01:00"]),
        ("30 2 * * *", "2026-03-28T12:00Z", ["03-29 01:00", "03-30 00:30"]),
        ("0,30 1-4 * * *", SPRING, ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00", "03-29 02:30", "03-29 23:00"]),
        ("30 */2 * * *", SPRING, ["03-29 02:30", "03-29 04:30"]),
        ("*/30 * * * *", SPRING, ["03-29 00:30", "03-29 01:00", "03-29 01:30"]),
        ("*/20 2 * * *", SPRING, ["03-30 00:00", "03-30 00:20"]),
        ("30 2 * * *", AUTUMN, ["10-25 00:30", "10-26 01:30"]),
        ("0,30 1-4 * * *", AUTUMN, ["10-25 00:00", "10-25 00:30", "10-25 02:00", "10-25 02:30", "10-25 03:00"]),
        ("30 */2 * * *", AUTUMN, ["10-25 00:30", "10-25 01:30", "10-25 03:30"]),
        ("30 * * * *", AUTUMN, ["10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        ("15 30 2 * * *", AUTUMN, ["10-25 00:30:15", "10-26 01:30:15"]),
        ("*/20 30 2 * * *", SPRING, ["03-29 01:00", "03-30 00:30", "03-30 00:30:20", "03-30 00:30:40"]),
        ("*/20 30 * * * *", AUTUMN, ["10-25 00:30", "10-25 00:30:20", "10-25 00:30:40", "10-25 01:30"]),
        ("0 0 29 2 *", "2026-01-01T00:00Z", ["02-28 23:00", "02-28 23:00"]),
        ("0 9 * * MON#1", "2026-01-01T00:00Z", ["01-05 08:00", "02-02 08:00"]),
        ("0 9 L * *", "2026-02-01T00:00Z", ["02-28 08:00", "03-31 07:00"]),
    ],
)
def test_the_clocks_change_by_the_rule_of_the_crontab(crontab: str, begin: str, expected: list[str]) -> None:
    assert ticks(crontab, begin, len(expected)) == expected


def test_a_day_that_a_zone_left_out_is_one_tick_or_none() -> None:
    assert ticks("0 12 * * *", "2011-12-29T12:00Z", 3, "Pacific/Apia") == ["12-29 22:00", "12-30 10:00", "12-30 22:00"]
    assert ticks("0 */12 * * *", "2011-12-29T12:00Z", 3, "Pacific/Apia") == ["12-29 22:00", "12-30 10:00", "12-30 22:00"]


def test_the_ticks_of_all_zones_are_those_of_an_independent_walk() -> None:
    zones, places, found = compare(share=250)
    assert zones > 300
    assert places > 50
    assert found > 10_000


def test_ticks_come_after_the_moment_that_is_given_and_never_at_it() -> None:
    assert ticks("0 3 * * *", "2026-01-01T03:00Z", 1, "UTC") == ["01-02 03:00"]
    assert ticks("0 3 * * *", "2026-01-01T02:59:59.999999Z", 1, "UTC") == ["01-01 03:00"]
    assert ticks("* * * * * *", "2026-01-01T02:59:59.5Z", 2, "UTC") == ["01-01 03:00", "01-01 03:00:01"]


def test_an_interval_counts_from_1970_in_all_processes() -> None:
    def after(text: str, every: timedelta) -> list[datetime]:
        return list(islice(EveryTicks(every, "UTC").after(at(text)), 2))

    assert after("2026-01-01T00:07Z", 15 * MINUTE) == [at("2026-01-01T00:15Z"), at("2026-01-01T00:30Z")]
    assert after("2026-01-01T00:15Z", 15 * MINUTE) == [at("2026-01-01T00:30Z"), at("2026-01-01T00:45Z")]
    assert after("2026-01-01T00:15Z", 24 * HOUR) == [at("2026-01-02T00:00Z"), at("2026-01-03T00:00Z")]


def test_ticks_end_where_the_calendar_does() -> None:
    assert ticks("0 0 1 1 *", "9998-06-01T00:00Z", 5, "Asia/Tokyo") == ["12-31 15:00"]
    assert len(list(EveryTicks(timedelta(days=300), "UTC").after(at("9998-01-01T00:00Z")))) == 3


# -- what is due ----------------------------------------------------------------------------------------------------------


HOURLY = CronTicks(check_crontab("0 * * * *"), "UTC")


def hours(*numbers: int) -> list[datetime]:
    return [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in numbers]


@pytest.mark.parametrize(
    ("last", "now", "late", "latest", "expected"),
    [
        ("03:00", "03:59:59.999", MINUTE, False, Due([], *hours(4))),
        ("03:00", "04:00", MINUTE, False, Due(hours(4), *hours(5))),
        ("03:00", "04:01", MINUTE, False, Due(hours(4), *hours(5))),
        ("03:00", "04:01:00.000001", MINUTE, False, Due([], *hours(5))),
        ("04:00", "04:00:10", MINUTE, False, Due([], *hours(5))),
        ("03:30", "09:10", 6 * HOUR, False, Due(hours(4, 5, 6, 7, 8, 9), *hours(10))),
        ("00:30", "09:00", 6 * HOUR, False, Due(hours(3, 4, 5, 6, 7, 8, 9), *hours(10))),
        ("00:30", "09:10", 6 * HOUR, True, Due(hours(9), *hours(10))),
        ("03:00", "04:00:10", MINUTE, True, Due(hours(4), *hours(5))),
        ("03:00", "03:10", 6 * HOUR, True, Due([], *hours(4))),
        ("05:00", "03:10", 6 * HOUR, False, Due([], *hours(6))),  # the database's clock was set back
        ("05:00", "03:10", 6 * HOUR, True, Due([], *hours(6))),
    ],
)
def test_what_is_due(last: str, now: str, late: timedelta, latest: bool, expected: Due) -> None:
    day = "2026-01-01T"
    assert due(HOURLY, last=at(f"{day}{last}Z"), now=at(f"{day}{now}Z"), late=late, latest=latest) == expected


def test_the_last_tick_of_a_long_time_is_found_without_walking_through_all_of_it() -> None:
    yearly = CronTicks(check_crontab("0 0 1 1 *"), "UTC")
    found = due(yearly, last=at("2024-06-01T00:00Z"), now=at("2026-06-01T00:00Z"), late=timedelta(days=366), latest=True)
    assert found.ticks == [at("2026-01-01T00:00Z")]
    seconds = EveryTicks(timedelta(seconds=1), "UTC")
    now = at("2026-06-01T00:00Z")
    assert due(seconds, last=at("2026-01-01T00:00Z"), now=now, late=timedelta(days=366), latest=True).ticks == [now]


def test_many_missed_ticks_are_due_some_at_a_time_and_the_oldest_first() -> None:
    seconds = EveryTicks(timedelta(seconds=1), "UTC")
    last, now = at("2026-01-01T00:00Z"), at("2026-01-01T01:00Z")
    found = due(seconds, last=last, now=now, late=HOUR, latest=False)
    assert len(found.ticks) == TICKS_MOST
    assert (found.ticks[0], found.next) == (last + timedelta(seconds=1), now)


# -- bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crontab", "words"),
    [
        ("", "has 0"),
        ("* * * *", "has 4"),
        ("* * * * * * *", "has 7"),
        ("60 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("*/0 * * * *", "Bad minute"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("0 0 * * MON#1/2", "not valid"),
        ("a b c d e", "Bad minute"),
        ("@daily", "has 1"),
        ("* " * 200, "at most 255 characters"),
    ],
)
def test_a_crontab_that_is_wrong_is_refused(crontab: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_crontab(crontab)


@pytest.mark.parametrize("crontab", [None, 5, b"* * * * *", ["*"]])
def test_a_crontab_is_a_text(crontab: object) -> None:
    with pytest.raises(TypeError, match="cron must be a str"):
        check_crontab(crontab)


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "../../etc/passwd", "/etc/passwd", "localtime", "Europe", "x\x00", "e" * 300]
)
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="knows no time zone"):
        zone_name(name)


def test_a_zone_is_a_name() -> None:
    with pytest.raises(TypeError, match="timezone must be a name"):
        zone_name(UTC)
