"""What others do to the tables and the server: rows edited by hand, locks, a full queue, no more ids, a clock that is set."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg

from steve import JobManager
from steve._model.tuning import Tuning
from tests.pair import home_of, run, user_of

from .clocks import LIBRARIES
from .cluster import Cluster, opened, temporary_directory
from .faults import Site, Skipped, fault
from .processes import Warden

LEASE = 5.0
QUICK = {"lease": LEASE, "heartbeat": 1.0}
"""Keywords of the managers in these faults."""


def _seen_seconds(lease: float) -> float:
    """How long the server must be up, and the processes must have seen each other, before one could be taken for dead."""
    return max(lease, Tuning().server_age) + 2.0


FREED_SECONDS = LEASE + 5.0
"""How long it may take until a job is freed by a process that does not run it, and has run again."""


@fault(
    "T1", "rows that are `running` by the tables in a live process that does not run them, as after a restore",
    trial="such a row", short=10, long=100,
    expects=f"each job is final again within {FREED_SECONDS:g} s, and no other job is taken from its process",
)  # fmt: skip
def aliens(site: Site) -> None:
    """Half of these jobs have never run. The others have completed, and then every trace of that is removed."""
    workers = site.work(2, manager=site.patient(QUICK))
    registered = f"select count(*) from {site.schema}.process"
    site.expect(site.until(lambda: site.cluster.ask(registered) == [(2,)], 10), "both processes are in the table")
    site.create(threads=2, every=0.02, raising=0)
    manager = JobManager(site.conninfo(), schema=site.schema)
    placed: dict[str, float] = {}
    try:
        for number in site.each_trial():
            k = f"alien-{number}"
            later = timedelta(hours=1 if number % 2 else 0)
            ((now,),) = site.cluster.ask("select clock_timestamp()")
            job = manager.create("a", {"k": k, "ms": 1, "raises": 0}, run_at=now + later)
            site.note("enq_ok", k=k)
            if number % 2 == 0:
                done = f"uid = '{job.uid}' and status = 'completed'"
                site.expect(site.until(lambda done=done: _count(site, done), 10), f"{k} was not done at first")
                site.undone.add(k)
            worker = site.chance.choice(workers)
            site.note("fault", what="alien row", pid=worker.pid)
            ((at,),) = site.cluster.ask(
                f"update {site.schema}.job "
                "set status = 'running', lease_no = lease_no + 1, attempts = attempts + 1, claimed_at = now(), run_at = now(), "
                f"process_id = (select id from {site.schema}.process where name like %s), "
                "result = null, completed_at = null, started_at = null, process = null "
                "where uid = %s returning extract(epoch from clock_timestamp())::double precision",
                [f"%:{worker.pid}", job.uid],
            )
            placed[k] = at
            site.pause(0.0, 0.5)
    finally:
        manager.stop()
    final = f"select count(*) from {site.schema}.job where payload->>'k' like 'alien-%' and completed_at is null"
    site.until(lambda: site.cluster.ask(final) == [(0,)], FREED_SECONDS)
    site.stop_creators()
    rows = site.cluster.ask(
        f"select payload->>'k', extract(epoch from completed_at)::double precision from {site.schema}.job "
        "where payload->>'k' like 'alien-%'"
    )
    took = {k: at - placed[k] for k, at in rows if at is not None}
    site.notes["final again after, s"] = f"at most {max(took.values(), default=0):.1f}"
    for k in placed:
        site.expect(k in took, f"{k} is not final")
        site.expect_at_most(FREED_SECONDS, took.get(k, 0.0), f"{k} was final again after {took.get(k, 0.0):.1f} s")
    _expect_nobody_robbed(site, but="alien-")


def _expect_nobody_robbed(site: Site, but: str = "-") -> None:
    robbed = [one.k for one in site.cluster.attempts(site.schema) if one.status == "crashed" and not one.k.startswith(but)]
    site.expect(not robbed, f"{len(robbed)} jobs were taken from processes that lived: {robbed[:3]}")


# -- the queue of notifications -----------------------------------------------------------------------------------------

FULL_SECONDS = 5.0

LATE_SECONDS = 3.0
"""How long a create may take while the queue is full."""


@fault(
    "T2", "the queue of notifications is full (54000): a session that listens does not read",
    trial=f"{FULL_SECONDS:g} s of that", short=1, long=10, expects="no job fails; creates and outcomes go on meanwhile",
    open=lambda warden: opened(warden, max_notify_queue_pages="64"),
)  # fmt: skip
def queue_full(site: Site) -> None:
    ((version,),) = site.cluster.ask("select current_setting('server_version_num')::integer")
    assert version >= 170000, "an older server has a queue of 8 GB"
    site.work(2, manager={"poll_interval": 0.5})
    site.create(threads=3, raising=0.2)
    least = None
    for _ in site.each_trial():
        site.pause(0.3, 0.6)
        with site.broken("queue full"):
            stuck = _fill_queue(site)
            try:
                before = _count(site, "status = 'completed'"), _count(site, "true")
                site.pause(FULL_SECONDS, FULL_SECONDS)
                done, made = _count(site, "status = 'completed'") - before[0], _count(site, "true") - before[1]
            finally:
                stuck.close()
        site.expect(done and made, f"{made} jobs were created and {done} done meanwhile")
        least = min(done, made, least or done)
    site.notes["done meanwhile, at least"] = least
    (answer,) = site.stop_creators()
    site.expect(set(answer) <= {"p99", "slowest", "enq_ok"}, f"creates failed: {answer}")
    site.expect_at_most(LATE_SECONDS, answer["slowest"], f"a create took {answer['slowest']:.1f} s")
    site.drain()
    innocent = _count(site, "status = 'failed' and (payload->>'raises')::integer < max_attempts")
    site.expect(not innocent, f"{innocent} jobs failed that were to be tried again")


def _fill_queue(site: Site) -> psycopg.Connection:
    """Fill the queue. Returns the connection that keeps it full."""
    stuck = psycopg.connect(site.cluster.conninfo("stuck"))
    stuck.execute("listen elsewhere")
    stuck.commit()
    stuck.execute("select 1")  # a session with an open transaction takes no notifications from the queue
    with site.cluster.connection() as connection:
        for size in (7000, 0):
            try:
                while True:
                    connection.execute("select pg_notify('elsewhere', repeat('x', %s) || random()::text)", [size])
            except psycopg.errors.ProgramLimitExceeded:
                pass
    return stuck


def _count(site: Site, condition: str) -> int:
    ((count,),) = site.cluster.ask(f"select count(*) from {site.schema}.job where {condition}")
    return int(count)


# -- transaction ids ----------------------------------------------------------------------------------------------------

LEFT = 3_000
"""How many transaction ids the server gives out when it is back, until it refuses to give out more."""

REFUSED_BEFORE_THE_END = 3_000_000
"""So many ids before the wraparound the server begins to refuse."""

USED_UP_SECONDS = 3.0


@fault(
    "T3", "transaction ids run out (54000), until the tables are vacuumed", trial="a time without ids", short=0, long=2,
    expects="outcomes from that time are written afterwards, and no job fails",
    open=lambda warden: opened(warden, max_prepared_transactions="5", autovacuum_naptime="1"),
)  # fmt: skip
def wraparound(site: Site) -> None:
    site.cluster.ask("create table forgotten (i integer)")
    for _ in site.each_trial():
        with site.cluster.connection() as connection:  # a prepared transaction keeps the server from cleaning up by itself
            connection.execute("begin")
            connection.execute("insert into forgotten values (1)")
            connection.execute("prepare transaction 'forgotten'")
        with site.broken("a jump of the ids"):
            site.cluster.stop("fast")
            _jump(site.cluster)
            site.cluster.start()
        if not site.workers:
            site.work(2)
            site.create(threads=2, raising=0)
        with site.broken("no more ids"):
            site.expect(site.until(lambda: _is_used_up(site), 60), "the server did not run out of ids")
            site.pause(USED_UP_SECONDS, USED_UP_SECONDS)
            before = _count(site, "true")
            site.pause(0.5, 0.5)
            site.expect(_count(site, "true") == before, "there were ids left")
            site.cluster.ask("rollback prepared 'forgotten'")
            for database in ("postgres", "template1"):
                with site.cluster.connection(dbname=database) as connection:
                    connection.execute("vacuum (freeze)")
            site.expect(site.until(lambda: not _is_used_up(site), 90), "no ids after the vacuum")
        site.expect(site.runs_again(10), "nothing ran within 10 s after")
    site.stop_creators()
    site.expect(site.drain(), "not drained")
    site.expect(not _count(site, "status = 'failed'"), "jobs failed")
    _expect_nobody_robbed(site)


def _jump(cluster: Cluster) -> None:
    """Set the next transaction id of a server that is down: one shortly before it refuses to give out more."""
    server = cluster.server
    data = home_of(server) / "data"
    said = subprocess.run([server.bin / "pg_controldata", "-D", data], capture_output=True, text=True, check=True).stdout
    found = re.search(r"oldestXID:\s+(\d+)", said)
    assert found is not None
    next_number = (int(found[1]) + 0x7FFF_FFFF - REFUSED_BEFORE_THE_END - LEFT) % (1 << 32)
    run(server, "pg_resetwal", "-f", "-x", str(next_number))
    segment = data / "pg_xact" / f"{next_number // 1_048_576:04X}"
    if not segment.exists():
        segment.write_bytes(bytes(262_144))
        if user := user_of(server):
            shutil.chown(segment, user, pwd.getpwnam(user).pw_gid)


def _is_used_up(site: Site) -> bool:
    """Whether the server gives out no more ids. Asking uses up some of them."""
    with site.cluster.connection() as connection:
        try:
            for _ in range(200):
                connection.execute("select pg_current_xact_id()")
        except psycopg.errors.ProgramLimitExceeded:
            return True
    return False


# -- the server's clock -------------------------------------------------------------------------------------------------

STEP = 90
"""Seconds, longer than many leases."""


class WrongClock(Cluster):
    """A server whose clock is off by what a file says."""

    clock: Path

    def step(self, offset: int) -> None:
        """From now on the server's clock is off by so many seconds."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{offset:+d}\n")
        new.chmod(0o644)
        new.replace(self.clock)


@contextmanager
def _with_a_clock_of_its_own(warden: Warden) -> Iterator[Cluster]:
    library = next((str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])), None)
    if library is None:
        raise Skipped("libfaketime is not installed here")
    directory = temporary_directory()
    directory.chmod(0o755)
    clock = directory / "clock"
    clock.write_text("+0\n")
    clock.chmod(0o644)
    told = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    os.environ.update(told)  # for the server alone: it is started here, and other processes only later
    try:
        with opened(warden) as cluster:
            for name in told:
                del os.environ[name]
            cluster.__class__ = WrongClock
            assert isinstance(cluster, WrongClock)
            cluster.clock = clock
            yield cluster
    finally:
        for name in told:
            os.environ.pop(name, None)
        shutil.rmtree(directory)


@fault(
    "T4", f"the server's clock is set {STEP} s forward or back, many leases", trial="a step", short=2, long=20,
    expects="jobs run on, and no living process loses a job", open=_with_a_clock_of_its_own,
)  # fmt: skip
def server_clock(site: Site) -> None:
    cluster = site.cluster
    assert isinstance(cluster, WrongClock)
    manager = site.patient(QUICK)
    lease = manager["lease"]
    site.work(3, manager=manager)
    site.create(threads=2, every=0.05, raising=0, ms=(0.0, 20.0))
    site.create(threads=1, every=0.5, raising=0, many=0, ms=(4_000.0, 8_000.0))
    offset = farthest = 0
    site.pause(_seen_seconds(lease), _seen_seconds(lease))
    for number in site.each_trial():
        offset += STEP if number % 2 == 0 else -STEP
        if number % 4 == 3:
            offset -= STEP
        farthest = max(farthest, offset)
        ((before,),) = cluster.ask("select extract(epoch from clock_timestamp())::double precision")
        with site.broken(f"{offset:+d} s"):
            cluster.step(offset)
        ((after,),) = cluster.ask("select extract(epoch from clock_timestamp())::double precision")
        site.expect(abs(after - before) > STEP / 2, f"the clock went on: {after - before:.1f} s")
        site.expect(site.runs_again(5), f"nothing ran within 5 s after a step to {offset:+d} s")
        site.pause(lease + 2, lease + 4)
    site.stop_creators()
    cluster.step(farthest)  # what was created before a step back is due by then
    site.drain()
    _expect_nobody_robbed(site)


# -- locks --------------------------------------------------------------------------------------------------------------

LOCKS = ("for update", "for no key update", "for share")


@fault(
    "T5", "another session locks the row of a live process for longer than its lease", trial="such a lock", short=1, long=10,
    expects="no living process loses a job",
)  # fmt: skip
def process_locked(site: Site) -> None:
    """Its heartbeat cannot be written, so that it looks silent to all other processes."""
    manager = site.patient(QUICK)
    lease = manager["lease"]
    site.work(3, manager=manager)
    site.create(threads=2, every=0.02, raising=0)
    site.create(threads=1, every=0.5, raising=0, many=0, ms=(4_000.0, 8_000.0))
    site.pause(_seen_seconds(lease), _seen_seconds(lease))
    for _ in site.each_trial():
        worker, lock = site.chance.choice(site.workers), site.chance.choice(LOCKS)
        with site.broken(f"{lock} of {worker.pid}"), site.cluster.connection("others") as other, other.transaction():
            query = f"select 1 from {site.schema}.process where name like %s {lock}"
            site.expect(other.execute(query.encode(), [f"%:{worker.pid}"]).rowcount == 1, "there was no such row")
            site.pause(lease + 2.5, lease + 7.5)
        site.pause(lease, lease + 1)
    site.stop_creators()
    site.drain()
    _expect_nobody_robbed(site)
