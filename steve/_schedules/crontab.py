"""Crontab: the five or six fields that say which local times match. The package cronsim reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from steve.errors import SteveError, shown

MOST = 255
"""Characters of a crontab."""


class Crontab(NamedTuple):
    text: str

    @property
    def is_real_time(self) -> bool:
        """Whether the field of the minutes or that of the hours begins with `*`."""
        minutes, hours = self.text.split()[-5:-3]
        return minutes.startswith("*") or hours.startswith("*")

    def matches(self, at: datetime) -> Iterator[datetime]:
        """The local times, from `at` on, that match. They are naive, and `at` is a whole second."""
        try:
            yield from _cronsim().CronSim(self.text, at - timedelta(seconds=1))
        except (OverflowError, ValueError):  # after the year 9999
            return


def check_crontab(text: object) -> Crontab:
    """Raises SteveError if cronsim is not installed, TypeError and ValueError."""
    if not isinstance(text, str):
        raise TypeError(f'cron must be a str such as "0 3 * * *", not {type(text).__name__}')
    if len(text) > MOST:
        raise ValueError(f"cron must have at most {MOST} characters, not {len(text)}")
    _cronsim()  # what was checked before says nothing about this
    return _checked(str.__str__(text))


@lru_cache(maxsize=1_000)
def _checked(text: str) -> Crontab:
    fields = text.split()
    if len(fields) not in (5, 6):
        raise ValueError(
            f"cron must have five fields (minute, hour, day of the month, month, day of the week) or six, with the seconds "
            f"first, and {shown(text)} has {len(fields)}"
        )
    crontab = Crontab(" ".join(fields))
    cronsim = _cronsim()
    try:
        first = next(cronsim.CronSim(crontab.text, datetime(2000, 1, 1)), None)  # noqa: DTZ001 - crontabs are about local times
    except Exception as error:  # cronsim asserts some things, too
        why = str(error) if isinstance(error, cronsim.CronSimError) and str(error) else "it cannot be read"
        raise ValueError(f"cron {shown(text)} is not valid: {why}") from None
    if first is None:
        raise ValueError(f"cron {shown(text)} matches no time in fifty years")
    return crontab


def _cronsim() -> Any:
    try:
        import cronsim
    except ImportError:
        raise SteveError("a crontab needs the package cronsim: install steve-jobs[cron], or use every= instead") from None
    return cronsim
