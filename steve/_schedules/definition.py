"""Definition: what a schedule says. Checked when it is made, in code or for the table."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import NamedTuple

from steve._database.statements.jobs import Insert, Options, Terms
from steve._database.statements.schedules import Found, Said
from steve._model import json as _json
from steve._model.names import check_name
from steve._schedules.crontab import check_crontab
from steve._schedules.ticks import CronTicks, EveryTicks, NoTicks, Ticks
from steve._schedules.zones import zone_name
from steve.errors import InvalidJob, SteveError, shown
from steve.job import NewJob, Status
from steve.schedule import Schedule

LATE = timedelta(seconds=60)
"""How late a tick may be fired without `catch_up`."""
EVERY_LEAST = timedelta(seconds=1)
EVERY_MOST = CATCH_UP_MOST = timedelta(days=366)
JITTER_MOST = 86_400.0

SCHEDULE, SCHEDULED_FOR = "_schedule", "_scheduled_for"
"""What the metadata of a job says of its schedule: the name, and the tick as an ISO text in the schedule's zone."""

_INSTEAD = {
    "unique": 'overlap="skip" keeps a second job from running',
    "unique_for": 'overlap="skip" keeps a second job from running',
    "run_at": "the tick says when the job is due",
    "delay": "the tick says when the job is due, and jitter= puts it off a little",
    "expires_at": "expires_in= counts from the creation of each job on",
}
"""Options that a task's jobs may have, and a schedule's not."""


class Timing(NamedTuple):
    """When a schedule creates jobs."""

    cron: str | None
    every: timedelta | None
    timezone: str
    catch_up: timedelta | None
    latest: bool
    overlap: str
    jitter: float

    def ticks(self) -> Ticks:
        """Raises ValueError and SteveError if this machine does not know the zone, or lacks cronsim."""
        if self.every is not None:
            return EveryTicks(self.every, zone_name(self.timezone))
        return CronTicks(check_crontab(self.cron), zone_name(self.timezone))

    @property
    def late(self) -> timedelta:
        """How late a tick may be fired."""
        return LATE if self.catch_up is None else self.catch_up

    @property
    def fires_latest(self) -> bool:
        """Whether of several ticks that are due only the last one is fired. Of ticks that skip one another no more could be."""
        return self.latest or self.overlap == "skip"


class Definition(NamedTuple):
    name: str
    timing: Timing
    payload: str
    """JSON text, of each of its jobs."""
    terms: Terms

    def said(self) -> Said:
        """What the table says of it."""
        options = self.terms.options or Options()
        terms = self.terms._asdict() | {"tags": options.tags, "metadata": options.metadata}
        terms |= {"timeout": options.timeout, "expires_in": options.expires_in}
        for name in ("type", "run_at", "options"):
            del terms[name]
        return Said(*self.timing, self.terms.type, self.payload, json.dumps(terms, sort_keys=True))

    def version(self) -> str:
        """A digest of all but the name."""
        return hashlib.sha256(json.dumps(self.said(), default=str).encode()).hexdigest()[:32]

    def job(self, ticks: Ticks, tick: datetime, uid: int, jitter: float) -> Insert:
        """The job of a tick. `jitter`: a random number from 0 to 1."""
        options = self.terms.options or Options()
        metadata = {} if options.metadata is None else _json.decode(options.metadata)
        metadata |= {SCHEDULE: self.name, SCHEDULED_FOR: ticks.local(tick).isoformat()}
        late = self.timing.jitter * jitter
        due = tick + timedelta(seconds=late)
        options = options._replace(metadata=_json.encode(metadata, "metadata"))
        if options.expires_in is not None:  # it counts from the moment at which the job is stored, before it is due
            options = options._replace(expires_in=options.expires_in + late)
        return Insert(uid, self.payload, self.terms._replace(run_at=due, options=options))


def check_timing(
    cron: object, every: object, timezone: object, catch_up: object, latest: object, overlap: object, jitter: object
) -> Timing:
    """Raises TypeError, ValueError and, for want of cronsim, SteveError."""
    if (cron is None) == (every is None):
        raise TypeError("a schedule takes a crontab or every=, one of the two")
    crontab = None if cron is None else check_crontab(cron).text
    interval = None if every is None else _duration("every", every, EVERY_LEAST, EVERY_MOST)
    zone = zone_name(timezone)
    late = None if catch_up is None else _duration("catch_up", catch_up, EVERY_LEAST, CATCH_UP_MOST)
    if not isinstance(latest, bool):
        raise TypeError(f"catch_up_latest must be True or False, not {type(latest).__name__}")
    if latest and late is None:
        raise ValueError("catch_up_latest needs catch_up: how late a missed tick may still run")
    catches_all = late is not None and not latest
    if overlap is None:
        overlap = "allow" if catches_all else "skip"
    if not isinstance(overlap, str) or overlap not in ("skip", "allow"):
        raise ValueError(f'overlap must be "skip" or "allow", not {shown(overlap)}')
    if overlap == "skip" and catches_all:
        raise ValueError(
            'overlap="skip" does not go with catch_up of all ticks, since the first would keep the others from running: '
            'use overlap="allow", or catch_up_latest=True'
        )
    if isinstance(jitter, timedelta):
        jitter = jitter.total_seconds()
    if isinstance(jitter, bool) or not isinstance(jitter, int | float):
        raise TypeError(f"jitter must be seconds or a timedelta, not {type(jitter).__name__}")
    if not 0 <= jitter <= JITTER_MOST:
        raise ValueError(f"jitter must be between 0 and {JITTER_MOST:.0f} seconds (a day), not {shown(jitter)}")
    return Timing(crontab, interval, zone, late, latest, str.__str__(overlap), float(jitter))


def check_schedule_name(name: object) -> str:
    """Raises TypeError and ValueError."""
    return check_name("a schedule's name", name)


def check_new(new: NewJob) -> None:
    """Raises InvalidJob for what a schedule does not take: it may come from the options of a task."""
    for name, instead in _INSTEAD.items():
        if getattr(new, name) is not None:
            raise InvalidJob(f"a schedule takes no {name}: {instead}")
    if isinstance(new.metadata, dict) and (taken := {SCHEDULE, SCHEDULED_FOR} & new.metadata.keys()):
        raise InvalidJob(f"metadata must not have {min(taken)!r}, which the schedule sets")


def definition_of(found: Found) -> Definition:
    """What the table says. Raises TypeError, ValueError and LookupError for what no version of steve would have written."""
    said = found.said
    terms = json.loads(said.terms)
    options = Options(tags=terms["tags"], metadata=terms["metadata"], timeout=terms["timeout"], expires_in=terms["expires_in"])
    job = Terms(
        queue=terms["queue"],
        type=said.type,
        priority=terms["priority"],
        max_attempts=terms["max_attempts"],
        backoff_strategy=terms["backoff_strategy"],
        backoff_base=terms["backoff_base"],
        backoff_max=terms["backoff_max"],
        backoff_jitter=terms["backoff_jitter"],
        run_at=None,
        options=options,
    )
    return Definition(found.name, Timing(*said[:7]), said.payload, job)


def schedule_of(found: Found) -> Schedule:
    """What users see of it. If this machine lacks the zone or cronsim, the value has no next run."""
    definition = definition_of(found)
    timing = definition.timing
    try:
        ticks = timing.ticks()
    except (ValueError, SteveError):
        ticks = NoTicks()

    def local(at: datetime | None) -> datetime | None:
        return None if at is None else ticks.local(at)

    after = max(found.at, found.last_tick)
    next_run = None if found.paused_at is not None else next(ticks.after(after), None)
    status = found.last_status
    return Schedule(
        found.name,
        timing.cron,
        timing.every,
        timing.timezone,
        definition.terms.type,
        _json.decode(found.said.payload),
        timing.catch_up,
        timing.latest,
        timing.overlap,  # type: ignore[arg-type]  # the table checks it
        timing.jitter,
        found.stored,
        local(found.paused_at),
        local(found.last_run_at),
        local(next_run),
        found.last_job,
        None if status is None else Status._value2member_map_.get(status, status),  # type: ignore[arg-type]
        after,
        ticks,
    )


def _duration(what: str, value: object, least: timedelta, most: timedelta) -> timedelta:
    if not isinstance(value, timedelta):
        raise TypeError(f"{what} must be a datetime.timedelta, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{what} must be between {least} and {most}, not {value}")
    return value
