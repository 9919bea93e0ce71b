"""What makes a manager unhealthy: the conditions that the chaos makes, each until its block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from steve import Job, JobManager, NewJob, Status
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.chaos.states import PLACES
from tests.conftest import until

WORKERS = 2


class Site(NamedTuple):
    """A manager that has been started with `WORKERS` workers, and what is around it."""

    manager: JobManager
    proxy: Proxy
    """Between the manager and its database."""
    conn: psycopg.Connection
    """An administrator's."""
    schema: str
    gate: threading.Event
    """The handler of `waits` returns when it is set, and so do slow listeners."""
    tuning: Tuning
    """The manager's."""

    def ask(self, statement: str, *parameters: object) -> Any:
        """Run a statement in which {schema} stands for the schema. Returns its first value, if it has any."""
        cursor = self.conn.execute(statement.replace("{schema}", self.schema).encode(), parameters or None)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def waiting(self) -> Job:
        """A job whose handler has begun to wait for the gate."""
        job = self.manager.create("waits")
        until(lambda: self.ask("select status from {schema}.job where uid = %s", job.uid) == Status.RUNNING)
        return job


@dataclass(frozen=True)
class Condition:
    make: Callable[[Site], AbstractContextManager[None]]
    says: str
    """What is in the problems, as a regular expression."""
    handlers: bool = True
    """Whether the manager has handlers."""
    tuning: dict[str, Any] = field(default_factory=dict)


CONDITIONS: dict[str, Condition] = {}


def condition(says: str, *, handlers: bool = True, **tuning: Any) -> Callable[[Callable[[Site], Iterator[None]]], object]:
    def enter(make: Callable[[Site], Iterator[None]]) -> object:
        CONDITIONS[make.__name__] = Condition(contextmanager(make), says, handlers, tuning)
        return make

    return enter


def handlers(gate: threading.Event) -> dict[str, Callable[[Job], object]]:
    return {"quick": lambda job: None, "waits": lambda job: gate.wait(100) and None}


@condition("cannot use the database")
def server_away(site: Site) -> Iterator[None]:
    site.proxy.refuse()
    yield
    site.proxy.accept()


@condition("no claim has had an answer|the last heartbeat was|cannot use the database", answer_within=1.0)
def network_silent(site: Site) -> Iterator[None]:
    site.proxy.swallow()
    yield
    site.proxy.accept()


@condition("the last heartbeat was|cannot use the database", answer_within=1.0)
def network_silent_while_all_workers_are_busy(site: Site) -> Iterator[None]:
    for _ in range(WORKERS):
        site.waiting()
    site.proxy.swallow()
    yield
    site.proxy.accept()


@condition("claiming")
def server_read_only(site: Site) -> Iterator[None]:
    name = site.conn.info.dbname
    site.ask(f'alter database "{name}" set default_transaction_read_only = on')
    try:
        site.proxy.cut()  # sessions read the setting when they begin
        site.manager.create("quick", connection=site.conn)
        yield
    finally:
        site.ask(f'alter database "{name}" reset default_transaction_read_only')
    site.proxy.cut()


@condition("claiming.* cannot use the database")
def claims_refused(site: Site) -> Iterator[None]:
    with _refused(site, "claim"):
        site.manager.create("quick")
        yield


@condition("settling cannot use the database|outcomes have waited to be written")
def outcomes_refused(site: Site) -> Iterator[None]:
    with _refused(site, "settle"):
        site.manager.create("quick")
        yield


@condition("the heartbeat cannot use the database|the last heartbeat was")
def heartbeats_refused(site: Site) -> Iterator[None]:
    with _refused(site, "beat"):
        yield


@condition("the rescue.* cannot use the database", server_age=0.0, observer_age=0.1, suspicion=0.1)
def rescues_refused(site: Site) -> Iterator[None]:
    job = site.manager.create("quick", run_at=datetime.now(UTC) + timedelta(days=1))
    with _refused(site, "rescue"):
        site.ask("insert into {schema}.process (id, name, version, locked) values (1, 'gone:1', '0', true)")
        site.ask(
            "update {schema}.job set status = 'running', attempts = 1, lease_no = 1, claimed_at = now(), process_id = 1 "
            "where uid = %s",
            job.uid,
        )
        yield


@condition("the last heartbeat was")
def process_row_locked(site: Site) -> Iterator[None]:
    with site.conn.transaction():
        site.ask("select 1 from {schema}.process for update")
        yield


@condition("outcomes have waited to be written .*: the rows of their jobs are locked by")
def running_row_locked(site: Site) -> Iterator[None]:
    job = site.waiting()
    with site.conn.transaction():
        site.ask("select 1 from {schema}.job where uid = %s for update", job.uid)
        site.gate.set()
        yield


@condition("no claim has had an answer")
def job_table_locked(site: Site) -> Iterator[None]:
    with site.conn.transaction():
        site.ask("lock table {schema}.job in access exclusive mode")
        yield


@condition("claiming.* cannot use the database")
def job_table_away(site: Site) -> Iterator[None]:
    site.ask("alter table {schema}.job rename to away")
    yield
    site.ask("alter table {schema}.away rename to job")


@condition("claiming.* cannot use the database", handlers=False)
def job_table_away_without_handlers(site: Site) -> Iterator[None]:
    return job_table_away(site)


@condition("slow listeners", events_most=2)
def listeners_slow(site: Site) -> Iterator[None]:
    site.manager.on_done(None, lambda job: site.gate.wait(100) and None)
    site.manager.create_many([("quick", None)] * (3 * site.tuning.events_most))
    yield
    site.gate.set()


@condition("a job on its last chance must run alone")
def last_chance_held_up(site: Site) -> Iterator[None]:
    site.waiting()
    last = site.manager.create("quick", run_at=datetime.now(UTC) + timedelta(days=1))
    site.ask("update {schema}.job set attempts = 2, crashes = 2, run_at = now() where uid = %s", last.uid)
    yield
    site.gate.set()


@condition("handlers are stuck")
def handlers_stuck(site: Site) -> Iterator[None]:
    site.manager.create_many([NewJob("waits", timeout=0.1)] * (2 * WORKERS + 1))
    yield
    site.gate.set()


@contextmanager
def _refused(site: Site, place: str) -> Iterator[None]:
    """At this place PostgreSQL raises an error that may pass: there is no space on the disk."""
    fails = "begin raise exception using errcode = '53100', message = 'no space'; end"
    site.ask(f"create function {{schema}}.refuse() returns trigger language plpgsql as $${fails}$$")
    before, _, condition = PLACES[place].partition(" when ")
    condition = f"when {condition}" if condition else ""
    site.ask(f"create trigger refuse {before} {condition} execute function {{schema}}.refuse()")
    try:
        yield
    finally:
        site.ask("drop function {schema}.refuse() cascade")
