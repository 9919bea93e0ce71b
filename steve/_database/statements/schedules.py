"""Statements about schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from steve._database.failures import Connection
from steve._database.literals import text_array
from steve._database.statements.jobs import Insert
from steve._database.statements.rows import in_utc
from steve._database.statements.script import Script
from steve._database.statements.unique import arrays, times


class Said(NamedTuple):
    """What a schedule says, as the table has it."""

    cron: str | None
    every: timedelta | None
    timezone: str
    catch_up: timedelta | None
    latest: bool
    overlap: str
    jitter: float
    type: str
    payload: str
    """JSON text, as the next one."""
    terms: str


class Seen(NamedTuple):
    """What decides whether a schedule is due."""

    name: str
    version: str
    stored: bool
    last_tick: datetime
    last_job: UUID | None
    paused: bool


class Found(NamedTuple):
    """A schedule in the table."""

    name: str
    stored: bool
    version: str
    said: Said
    last_tick: datetime
    last_run_at: datetime | None
    last_job: UUID | None
    paused_at: datetime | None
    last_status: str | None
    """Of the last job; None: it was deleted, or there was none."""
    at: datetime
    """The database's time."""


class Tick(NamedTuple):
    """A tick that is due."""

    name: str
    at: datetime
    seen: Seen
    """The schedule, as this process has seen it."""
    job: Insert


class Fired(NamedTuple):
    name: str
    at: datetime
    uid: UUID | None
    """Of the job. None: the tick was skipped, because the last job has not ended."""


class ScheduleStatements:
    """The statements are never prepared: they run on connections of the callers' pool, see JobStatements. `notify`: tell the
    processes that run jobs."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def look_at_schedules(self, connection: Connection) -> tuple[datetime, list[Seen]]:
        """The database's time, and all schedules."""
        rows = self._script.rows(connection, "look_at_schedules", {}, prepare=False)
        seen = [Seen(row[1], row[2], row[3], in_utc(row[4]), row[5], row[6]) for row in rows if row[1] is not None]
        return in_utc(rows[0][0]), seen

    def find_schedules(self, connection: Connection, names: Sequence[str] | None) -> list[Found]:
        """Those with these names, or all of them."""
        parameters = {"names": None if names is None else text_array(names)}
        rows = self._script.rows(connection, "find_schedules", parameters, prepare=False)
        return [_found(*row) for row in rows]

    def put_schedule(
        self, connection: Connection, name: str, said: Said, version: str, *, stored: bool, now: datetime | None, notify: bool
    ) -> bool:
        """Returns whether anything was changed. `now`: None for the database's time."""
        parameters = {"name": name, "version": version, "stored": stored, "now": now}
        return self._change(connection, "put_schedule", parameters | said._asdict(), notify)

    def pause_schedule(self, connection: Connection, name: str, paused: bool, *, notify: bool) -> bool:
        """Returns whether there is such a schedule, as the two below."""
        return self._change(connection, "pause_schedule", {"name": name, "paused": paused}, notify)

    def remove_schedule(self, connection: Connection, name: str, *, notify: bool) -> bool:
        return self._change(connection, "remove_schedule", {"name": name}, notify)

    def note_run(self, connection: Connection, name: str, uid: UUID, at: datetime) -> bool:
        return bool(self._script.rows(connection, "note_run", {"name": name, "uid": uid, "at": at}, prepare=False))

    def fire_schedules(self, connection: Connection, ticks: Sequence[Tick], notify: bool) -> list[Fired]:
        """Returns what was fired. What is missing was locked or changed by another process."""
        more = {
            "names": text_array([tick.name for tick in ticks]),
            "ticks": times([tick.at for tick in ticks]),
            "versions": text_array([tick.seen.version for tick in ticks]),
            "last_ticks": times([tick.seen.last_tick for tick in ticks]),
            "last_jobs": text_array([None if (last := tick.seen.last_job) is None else str(last) for tick in ticks]),
        }

        def fire(notify: bool) -> list[tuple[Any, ...]]:
            parameters = arrays([tick.job for tick in ticks]) | more | {"notify": notify, "channel": self._script.channel}
            return self._script.rows(connection, "fire_schedules", parameters, prepare=False)

        rows = self._script.with_notification(connection, notify, fire)
        return [Fired(row[0], in_utc(row[1]), row[2]) for row in rows]

    def _change(self, connection: Connection, name: str, parameters: dict[str, Any], notify: bool) -> bool:
        more = {"notify": notify, "channel": self._script.channel}
        return bool(self._script.rows(connection, name, parameters | more, prepare=False))


def _found(name: str, stored: bool, version: str, *columns: Any) -> Found:
    last_tick, last_run_at, last_job, paused_at, last_status, at = columns[10:]
    said = Said(*columns[:10])
    return Found(
        name,
        stored,
        version,
        said,
        in_utc(last_tick),
        in_utc(last_run_at),
        last_job,
        in_utc(paused_at),
        last_status,
        in_utc(at),
    )
