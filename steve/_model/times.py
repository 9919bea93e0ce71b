"""Checks points in time and delays that callers give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from steve.errors import shown

_FIRST_DAY = datetime(1, 1, 3, tzinfo=UTC)
_LAST_DAY = datetime(9999, 1, 1, tzinfo=UTC)
DELAY_MOST = timedelta(days=36_500)
TIMEOUT_LEAST = 0.001


def check_time(what: str, at: object) -> datetime:
    """Returns the time in UTC; a time of the first days of the year 1 becomes the third. Raises TypeError and ValueError."""
    if not isinstance(at, datetime):
        raise TypeError(f"{what} must be an aware datetime, not {at.__class__.__name__}")
    try:
        aware = at.utcoffset() is not None
        in_utc = at.astimezone(UTC) if aware else at
    except OverflowError:
        if at.year == 1:
            return _FIRST_DAY
        raise ValueError(f"{what} must lie before the year 9999, not {at.isoformat()}") from None
    except Exception as error:  # the time zone is a class of the caller's
        raise ValueError(f"{what} has a time zone that cannot say its offset: {type(error).__name__[:60]}") from error
    if not aware:
        raise ValueError(f"{what} must say its time zone: {at.isoformat()} has none (datetime.now(UTC) + timedelta(...) has)")
    if in_utc >= _LAST_DAY:
        raise ValueError(f"{what} must lie before the year 9999, not {at.isoformat()}")
    if type(in_utc) is datetime:
        return max(in_utc, _FIRST_DAY)
    # A subclass, such as pandas' Timestamp, whose nanoseconds are not stored.
    plain = datetime(
        in_utc.year, in_utc.month, in_utc.day, in_utc.hour, in_utc.minute, in_utc.second, in_utc.microsecond, tzinfo=UTC
    )
    return max(plain, _FIRST_DAY)


def check_delay(what: str, delay: object) -> timedelta:
    """Returns the delay, given in seconds or as a timedelta. Raises TypeError and ValueError."""
    if isinstance(delay, bool) or not isinstance(delay, int | float | timedelta):
        raise TypeError(f"{what} must be seconds or a datetime.timedelta, not {delay.__class__.__name__}")
    most = DELAY_MOST.total_seconds()
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not 0 <= seconds <= most:
        raise ValueError(f"{what} must be between 0 and {most:.0f} seconds (100 years), not {shown(delay)}")
    return timedelta(seconds=seconds)


def check_timeout(what: str, timeout: object) -> float:
    """Returns the timeout of an attempt in seconds; it is given as such or as a timedelta. Raises TypeError and ValueError."""
    seconds = check_delay(what, timeout).total_seconds()
    if seconds < TIMEOUT_LEAST:
        raise ValueError(f"{what} must be at least {TIMEOUT_LEAST:g} s, not {shown(timeout)}")
    return seconds
