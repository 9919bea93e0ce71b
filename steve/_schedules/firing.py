"""Firing: looks at the table `schedule` and fires what is due. Any number of processes do this at the same time.

A look reads the database's time, and of each schedule what decides whether it is due. The ticks are computed here, from that
time. A process fires the stored schedules, and those that are in its own code: so a schedule that nobody's code has any more
stops by itself, and during a deploy the old and the new code agree. What the table has stored takes the place of a schedule in
code with the same name.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from steve._database.failures import Refused
from steve._database.statements.schedules import Fired, Found, Seen, Tick
from steve._model.uids import ticks_at, uuid7
from steve._runtime.chance import chance
from steve._runtime.log import logger
from steve._schedules.definition import Definition, definition_of
from steve._schedules.ticks import Ticks, due
from steve.errors import SteveError

MOST = 200
"""How many schedules one statement fires, at most."""


class SchedulePort(Protocol):
    """All methods raise DatabaseFailure."""

    def look(self) -> tuple[datetime, list[Seen]]:
        """The database's time, and all schedules."""

    def find(self, names: Sequence[str]) -> list[Found]: ...

    def write_down(self, definition: Definition, now: datetime) -> None:
        """Write what the code of this process says into the table, unless it has a stored schedule of that name."""

    def fire(self, ticks: Sequence[Tick]) -> list[Fired]: ...


class Turn(NamedTuple):
    """What a turn has done."""

    schedules: int
    """How many there are."""
    fired: int
    """How many jobs were created."""
    left: int
    """How many schedules are due and were left alone, because another process has fired them or is about to."""
    seconds: float | None
    """In how many seconds the next tick is due, after the time at which the turn has looked, except those that were left. None:
    there is none."""


class _Known(NamedTuple):
    """What this process can fire."""

    definition: Definition
    ticks: Ticks


class Firing:
    """One thread uses it."""

    def __init__(
        self,
        *,
        database: SchedulePort,
        in_code: Callable[[], Mapping[str, Definition]],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`in_code()`: the schedules in the code of this process. `clock()`: nanoseconds since 1970, for uids."""
        self._database = database
        self._in_code = in_code
        self._clock = clock
        self._written: dict[str, Definition] = {}  # of those in code: what this process has written into the table
        self._stored: dict[str, tuple[str, _Known | None]] = {}  # the stored ones, by name: the version, and what it says
        self._from_code: dict[str, tuple[Definition, _Known | None]] = {}
        # By name: what is expected to be seen of it at the next look, and when it is due then. What is seen otherwise is new.
        self._next: dict[str, tuple[Seen, datetime | None]] = {}
        self._left: set[str] = set()  # those that have ticks which this turn has left to other processes
        self._code: Mapping[str, Definition] | None = None  # what in_code() said last
        self._logged: set[tuple[str, str]] = set()

    def turn(self, now: datetime | None = None, is_wanted: Callable[[], bool] = lambda: True) -> Turn:
        """Look, and fire what is due. `now`: None for the database's time. `is_wanted()`: whether anything is still to be
        fired. Raises DatabaseFailure."""
        read_at, seen = self._database.look()
        now = read_at if now is None else now
        if self._write_down(seen, now):
            _, seen = self._database.look()
        self._read_stored(seen)
        self._forget({one.name for one in seen})
        if self._code is not self._in_code():
            self._code = self._in_code()
            self._next.clear()
        ready = [one for one in seen if not one.paused and self._is_due(one, now)]
        fired = 0
        self._left.clear()
        # From a place at random: so processes that fire at the same moment share the work, and do not only meet locked rows.
        start = chance.randrange(len(ready)) if ready else 0
        ready = ready[start:] + ready[:start]
        while ready and is_wanted():
            some, ready = ready[:MOST], ready[MOST:]
            fired += self._fire(some, now)
        return Turn(len(seen), fired, len(self._left), self._seconds(seen, now))

    def has_code(self) -> bool:
        """Whether the code of this process has schedules."""
        return bool(self._in_code())

    # -- what there is --------------------------------------------------------------------------------------------------

    def _write_down(self, seen: Sequence[Seen], now: datetime) -> bool:
        """Write into the table what the code of this process says and the table does not. Returns whether anything was written.

        What is in the table already is written over once: during a deploy, the old and the new code would otherwise do so in
        turn, for as long as both run.
        """
        by_name = {one.name: one for one in seen}
        is_changed = False
        for name, definition in self._in_code().items():
            there = by_name.get(name)
            if there is not None and (there.stored or self._written.get(name) == definition):
                continue
            if there is None or there.version != definition.version():
                self._database.write_down(definition, now)
                is_changed = True
            self._written[name] = definition
        return is_changed

    def _read_stored(self, seen: Sequence[Seen]) -> None:
        new = [one.name for one in seen if one.stored and self._stored.get(one.name, ("",))[0] != one.version]
        for found in self._database.find(new) if new else ():
            if found.stored:
                self._stored[found.name] = found.version, self._known(found.name, found.version, lambda: definition_of(found))  # noqa: B023

    def _find(self, seen: Seen) -> _Known | None:
        """None: this process cannot fire it."""
        if seen.stored:
            version, known = self._stored.get(seen.name, ("", None))
            return known if version == seen.version else None
        definition = self._in_code().get(seen.name)
        if definition is None:
            return None
        kept = self._from_code.get(seen.name)
        if kept is None or kept[0] != definition:
            kept = definition, self._known(seen.name, "code", lambda: definition)
            self._from_code[seen.name] = kept
        return kept[1]

    def _known(self, name: str, version: str, make: Callable[[], Definition]) -> _Known | None:
        try:
            definition = make()
            return _Known(definition, definition.timing.ticks())
        except (SteveError, ValueError, TypeError, LookupError) as error:
            self._log_once(name, version, "this process cannot fire the schedule %r: %s", error)
            return None

    def _forget(self, names: set[str]) -> None:
        for kept in (self._stored, self._from_code, self._next, self._written):
            for name in kept.keys() - names:
                del kept[name]

    # -- what is due ----------------------------------------------------------------------------------------------------

    def _is_due(self, seen: Seen, now: datetime) -> bool:
        kept = self._next.get(seen.name)
        return kept is None or kept[0] != seen or (kept[1] is not None and kept[1] <= now)

    def _fire(self, some: Sequence[Seen], now: datetime) -> int:
        """Returns how many jobs were created."""
        ticks: list[Tick] = []
        nexts: dict[str, datetime | None] = {}
        uid_ticks = ticks_at(self._clock())
        for seen in some:
            known = self._find(seen)
            if known is None:
                self._next[seen.name] = seen, None
                continue
            timing = known.definition.timing
            found = due(known.ticks, last=seen.last_tick, now=now, late=timing.late, latest=timing.fires_latest)
            nexts[seen.name] = found.next
            self._next[seen.name] = seen, now if found.ticks else found.next
            if found.ticks:
                self._left.add(seen.name)
            for tick in found.ticks:
                number = uuid7(uid_ticks + len(ticks), int.from_bytes(os.urandom(8), "big"))
                ticks.append(Tick(seen.name, tick, seen, known.definition.job(known.ticks, tick, number, chance.random())))
        if not ticks:
            return 0
        fired = self._send(ticks)
        by_name = {one.name: one for one in some}
        for name, at, uid in sorted(fired, key=lambda one: one.at):
            seen, _ = self._next[name]
            last_job = by_name[name].last_job if uid is None else uid
            self._next[name] = seen._replace(last_tick=at, last_job=last_job), nexts[name]
            self._left.discard(name)
            if uid is None:
                logger.info("the schedule %r skips its tick of %s: its last job has not ended", name, at.isoformat())
        return sum(one.uid is not None for one in fired)

    def _send(self, ticks: Sequence[Tick]) -> list[Fired]:
        try:
            return self._database.fire(ticks)
        except Refused as error:  # PostgreSQL cannot store one of the jobs: find out which
            names = list(dict.fromkeys(tick.name for tick in ticks))
            if len(names) == 1:
                self._log_once(names[0], ticks[0].seen.version, "PostgreSQL refuses the job of the schedule %r: %s", error)
                self._next[names[0]] = ticks[0].seen, None
                self._left.discard(names[0])
                return []
            return [one for name in names for one in self._send([tick for tick in ticks if tick.name == name])]

    def _seconds(self, seen: Sequence[Seen], now: datetime) -> float | None:
        """In how many seconds one of these is due next."""
        ours = (one.name for one in seen if not one.paused and one.name not in self._left)
        nexts = [at for name in ours if (at := self._next.get(name, (None, None))[1]) is not None]
        return max(0.0, (min(nexts) - now) / timedelta(seconds=1)) if nexts else None

    def _log_once(self, name: str, version: str, text: str, error: Exception) -> None:
        if (name, version) not in self._logged:
            self._logged.add((name, version))
            logger.log(logging.ERROR, text, name, error)
