"""Every SQLSTATE that PostgreSQL knows, raised by the database where steve writes, however unlikely it is there."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Sequence
from functools import partial

import psycopg

from .faults import Site, fault
from .processes import Process

NO_ERRORS = ("00", "01", "02", "03")
"""Classes of states that are no errors."""

STATES = sorted(
    {
        str(one.sqlstate)
        for one in vars(psycopg.errors).values()
        if isinstance(one, type) and issubclass(one, psycopg.Error) and (one.sqlstate or "00")[:2] not in NO_ERRORS
    }
)
CLASSES = sorted({state[:2] for state in STATES})

PLACES = {
    "create": "before insert on {schema}.job for each row",
    "claim": "before update on {schema}.job for each row when (old.status = 'pending' and new.status = 'running')",
    "settle": (
        "before update on {schema}.job for each row when (old.status = 'running' and new.crashes = old.crashes "
        "and new.status in ('completed', 'failed', 'pending'))"
    ),
    "beat": "before update on {schema}.process for each row when (new.heartbeat_at <> old.heartbeat_at)",
    "rescue": "before update on {schema}.job for each row when (new.crashes > old.crashes)",
}
"""Where steve writes: for each place the trigger that fires there."""

STRUCK_SECONDS = 15.0
"""How long steve may take to write there again. Its waits grow while it cannot."""

TOLD_SECONDS = 15.0
"""How long it may take until the log says that a manager is not healthy."""

RESCUED_SECONDS = 30.0
"""How long the jobs of a dead process may lie when nothing prevents their rescue."""

AT_ONCE = 8
"""How many processes meet a lasting state at the same time, each another state."""

WEATHER = """
create table {schema}.weather (place text, type text, state text not null, primary key (place, type));
create sequence {schema}.struck;
create sequence {schema}.passed;
create function {schema}.meet() returns trigger language plpgsql as $$
declare
  wanted text;
  its_type text := '*';
begin
  if tg_table_name = 'job' then
    its_type := new.type;
  end if;
  select state into wanted from {schema}.weather where place = tg_argv[0] and type in ('*', its_type);
  if found then
    perform nextval('{schema}.struck');
    raise exception using errcode = wanted, message = 'the weather';
  end if;
  perform nextval('{schema}.passed');
  return new;
end
$$;
"""
"""Where `weather` has a row, a statement fails with its state. Sequences count, because no rollback undoes that."""


@fault(
    "E1", "every SQLSTATE of PostgreSQL's table, raised by the database where steve writes", trial="a state at a place",
    short=20, long=len(STATES) * len(PLACES),
    expects="no job fails, no living process loses a job, and creates that are refused raise",
)  # fmt: skip
def states(site: Site) -> None:
    _prepare(site)
    manager = {"lease": 15.0, "heartbeat": 0.3, "create_timeout": 5.0}
    site.work(2, manager=site.patient(manager))
    site.create(threads=2, every=0.03, raising=0)
    # The same number at each place. The rescue comes last: all its states are met with one dead process.
    share = min(math.ceil(site.trials / len(PLACES)), len(STATES))
    pairs = [(place, state) for place in PLACES for state in site.chance.sample(STATES, share)]
    endless = itertools.cycle(pairs)
    victim: Process | None = None
    for _ in site.each_trial():
        place, state = next(endless)
        if place == "rescue" and victim is None:
            victim = _kill_one(site, state)
        with site.broken(f"{state} at {place}"):
            _set(site, place, state)
            met = site.until(lambda place=place: _count(site, "struck") > 0, STRUCK_SECONDS)
            site.expect(met, f"no statement met {state} at {place} within {STRUCK_SECONDS:g} s")
            site.pause(0.0, 0.1)
            if place != "rescue":
                _clear(site)
        if place != "rescue":
            # The waits are short again after the first statement that passes.
            site.until(lambda: _count(site, "passed") > 0, STRUCK_SECONDS)
        failed = site.cluster.ask(f"select payload->>'k', error from {site.schema}.job where status = 'failed' limit 3")
        site.expect(not failed, f"failed after {state} at {place}: {failed}")
    _clear(site)
    if victim is not None:
        held = f"select count(*) from {site.schema}.job where status = 'running' and process_id = {_registered(site, victim)}"
        freed = site.until(lambda: site.cluster.ask(held) == [(0,)], RESCUED_SECONDS)
        site.expect(freed, "the jobs of the dead process were not taken")
    _rest(site)
    stored = {k for (k,) in site.cluster.ask(f"select payload->>'k' from {site.schema}.job")}
    refused = {event["k"] for event in site.events() if event["ev"] == "enq_fail"}
    site.notes["creates refused"] = len(refused)
    site.expect(not stored & refused, f"stored, though the create raised: {sorted(stored & refused)[:3]}")


@fault(
    "E1b", "a state of each class that lasts, where jobs are claimed and where outcomes are written",
    trial="a class at a place", short=0, long=len(CLASSES) * 2,
    expects=f"health() reports it within {TOLD_SECONDS:g} s, and all jobs are done afterwards",
)  # fmt: skip
def lasting_states(site: Site) -> None:
    """Each process serves a type of its own and meets another state."""
    _prepare(site)
    types = [f"t{number}" for number in range(AT_ONCE)]
    for one in types:
        site.work(1, workers=2, types=(one,))
    site.create(threads=2, every=0.02, raising=0, many=0, types=tuple(types), ms=(0.0, 2.0))
    chosen = [(place, site.chance.choice(_of_class(name))) for name in CLASSES for place in ("claim", "settle")]
    site.chance.shuffle(chosen)
    endless = itertools.cycle(chosen)
    group: list[tuple[str, str]] = []
    for number in site.each_trial():
        group.append(next(endless))
        if len(group) == AT_ONCE or number == site.trials - 1:
            _last(site, dict(zip(types, group, strict=False)))
            group = []
    _rest(site)


def _last(site: Site, met: dict[str, tuple[str, str]]) -> None:
    """`met`: for each type, the place and the state that its process meets there."""
    workers = dict(zip(met, site.workers, strict=False))
    began = {type: len(log_of(worker)) for type, worker in workers.items()}
    with site.broken(" ".join(f"{type}: {state} at {place}" for type, (place, state) in met.items())):
        for type, (place, state) in met.items():
            _set(site, place, state, type)
        since = time.monotonic()
        waiting = set(met)
        while waiting and time.monotonic() - since < TOLD_SECONDS * site.patience:
            time.sleep(0.1)
            waiting -= {type for type in waiting if _said(workers[type], began[type], "not healthy")}
        for type in waiting:
            place, state = met[type]
            site.expect(False, f"{state} at {place}: healthy after {TOLD_SECONDS:g} s")
        _clear(site)
    for type in met.keys() - waiting:
        place, state = met[type]
        site.expect(
            site.until(partial(_said, workers[type], began[type], "healthy again"), TOLD_SECONDS),
            f"{state} at {place}: not healthy after it was over",
        )
    failed = site.cluster.ask(f"select type, error from {site.schema}.job where status = 'failed' limit 3")
    site.expect(not failed, f"failed after {met}: {failed}")


# -- the weather --------------------------------------------------------------------------------------------------------


def _prepare(site: Site) -> None:
    site.cluster.ask(WEATHER.replace("{schema}", site.schema))
    for place, when in PLACES.items():
        before = when.replace("{schema}", site.schema)
        before, _, condition = before.partition(" when ")
        condition = f"when {condition}" if condition else ""
        site.cluster.ask(f"create trigger meet_{place} {before} {condition} execute function {site.schema}.meet('{place}')")


def _set(site: Site, place: str, state: str, type: str = "*") -> None:
    """From now on a statement at that place fails with the state. The count begins again."""
    schema = site.schema
    site.cluster.ask(f"select setval('{schema}.struck', 1, false)")
    site.cluster.ask(
        f"insert into {schema}.weather values (%s, %s, %s) on conflict (place, type) do update set state = excluded.state",
        [place, type, state],
    )


def _clear(site: Site) -> None:
    site.cluster.ask(f"delete from {site.schema}.weather")
    site.cluster.ask(f"select setval('{site.schema}.passed', 1, false)")


def _count(site: Site, sequence: str) -> int:
    ((count,),) = site.cluster.ask(f"select case when is_called then last_value else 0 end from {site.schema}.{sequence}")
    return int(count)


def _of_class(name: str) -> Sequence[str]:
    return [state for state in STATES if state[:2] == name]


def _kill_one(site: Site, state: str) -> Process:
    """Kill a process that holds jobs, so that others meet the state when they rescue these."""
    _set(site, "rescue", state)
    victim = site.chance.choice(site.workers)
    site.create(1, threads=4, every=0.0, most=40, many=0, own=0, raising=0, ms=(2_000.0, 2_000.0))
    holds = f"select count(*) > 0 from {site.schema}.job where status = 'running' and (payload->>'ms')::float = 2000 "
    site.until(lambda: site.cluster.ask(f"{holds} and process_id = {_registered(site, victim)}") == [(True,)], 10)
    site.kill(victim)
    site.respawn(victim).answer()
    return victim


def _rest(site: Site) -> None:
    """Let all come to rest. Of the many kinds of errors in the workers' logs, only their number goes into the report."""
    site.rest()
    names = [name for name in site.met if name.isidentifier()]
    for name in names:
        del site.met[name]
    site.notes["kinds of errors in the workers' logs"] = len(names)


def _registered(site: Site, process: Process) -> int:
    """The id of the process's row; 0: it has none any more."""
    name = f"%:{process.pid}"
    rows = site.cluster.ask(f"select id from {site.schema}.process where name like %s", [name])
    return int(rows[0][0]) if rows else 0


def _said(process: Process, began: int, what: str) -> bool:
    return what in log_of(process)[began:]


def log_of(process: Process) -> str:
    """The log as it is now. `wrote()` would move the position at which the process goes on writing."""
    file = process.errors.fileno()
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
