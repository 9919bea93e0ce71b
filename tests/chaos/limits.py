"""What the server refuses for a while: connections, space, time, locks, snapshots."""

from __future__ import annotations

import subprocess
import threading
import time

import psycopg

from .cluster import opened, temporary_directory
from .faults import Site, Skipped, fault

KEPT = 0.6
"""The share of the throughput that must remain while a snapshot is held."""


@fault(
    "F11", "user code takes all connections of the pool while handlers run", trial="a time without connections",
    short=0, long=10, expects="all jobs have ended at most 5 s after the connections are back",
)  # fmt: skip
def pool_exhausted(site: Site) -> None:
    site.work(2, pool=5)
    site.create(threads=3)
    for _ in site.each_trial():
        site.pause(0.2, 0.5)
        with site.broken("pool"):
            for worker in site.workers:
                worker.tell("hog 2")
            time.sleep(2)
    site.stop_creators()
    site.expect(site.drain(5.0), "not drained within 5 s")


@fault(
    "F11b", "idle sessions of others fill max_connections (53300)", trial="a time without connections", short=0, long=6,
    open=lambda warden: opened(warden, max_connections="20", superuser_reserved_connections="3"),
)  # fmt: skip
def no_connections(site: Site) -> None:
    """The workers' sessions are terminated first, because a process that keeps its sessions notices nothing. The workers have a
    role of their own, since superusers may use the connections that are reserved for them, as the observer does."""
    site.cluster.ask("create role worker login")
    site.cluster.ask(f"grant usage on schema {site.schema} to worker")
    site.cluster.ask(f"grant all on all tables in schema {site.schema} to worker")
    site.user = "worker"
    try:
        site.work(2)
        site.create(threads=2)
        for _ in site.each_trial():
            site.pause(0.5, 1.0)
            with site.broken("max_connections"):
                idle = _fill(site)
                time.sleep(2)
                for connection in idle:
                    connection.close()
        site.rest()
    finally:
        site.user = "postgres"
        site.cluster.ask("drop owned by worker; drop role worker")


def _fill(site: Site) -> list[psycopg.Connection]:
    idle: list[psycopg.Connection] = []
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        site.cluster.terminate(site.application)
        try:
            while True:
                idle.append(psycopg.connect(site.conninfo(), application_name="others"))
        except psycopg.OperationalError:
            time.sleep(0.05)
    return idle


@fault(
    "F12", "the disk of the tables is full (53100) for some seconds", trial="a full disk", short=0, long=3,
    expects="all rows are intact",
)  # fmt: skip
def disk_full(site: Site) -> None:
    """The tables are in a tablespace on a small memory disk. The server's WAL is on another disk, because a server without
    space for it stops."""
    directory = temporary_directory()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=777", "tmpfs", str(directory)], capture_output=True)
    if mounted.returncode:
        directory.rmdir()
        raise Skipped("no disk can be mounted here: that takes root")
    try:
        (directory / "tables").mkdir()
        site.cluster.own(directory / "tables")
        site.cluster.ask(f"create tablespace small location '{directory / 'tables'}'")
        for table in ("job", "attempt", "process"):
            site.cluster.ask(f"alter table {site.schema}.{table} set tablespace small")
        site.work(2)
        site.create(threads=4, every=0.002, many=0.3)
        for _ in site.each_trial():
            site.pause(0.5, 1.0)
            with site.broken("disk full"):
                with (directory / "filler").open("wb", buffering=0) as filler:
                    try:
                        while True:
                            filler.write(bytes(1 << 12))
                    except OSError:
                        pass
                site.pause(2.0, 3.0)
                (directory / "filler").unlink()
        site.rest()
        site.collect()
        site.cluster.ask(f"drop schema {site.schema} cascade")
        site.cluster.ask("drop tablespace small")
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False)
        directory.rmdir()


@fault(
    "F13", "lock_timeout, statement_timeout, idle_in_transaction_session_timeout, serializable as default", trial="a setting",
    short=4, long=16, expects="the settings cost no job an attempt",
)  # fmt: skip
def timeouts(site: Site) -> None:
    site.work(2)
    site.create(threads=3)
    for number in site.each_trial():
        site.pause(0.2, 0.5)
        how = number % 4
        if how == 0:
            with site.broken("lock_timeout"), site.cluster.setting(lock_timeout="50ms"), site.cluster.connection() as other:
                for _ in range(3):
                    with other.transaction():
                        other.execute(f"lock table {site.schema}.job in access exclusive mode".encode())
                        site.pause(0.2, 0.6)
                    site.pause(0.1, 0.3)
        else:
            setting = [
                {"statement_timeout": "1ms"},
                {"idle_in_transaction_session_timeout": "50ms"},
                {"default_transaction_isolation": "serializable"},
            ][how - 1]
            with site.broken(str(setting)), site.cluster.setting(**setting):
                site.pause(1.5, 2.0)


@fault(
    "F13b", "other sessions lock the running jobs in another order than steve: deadlocks (40P01)", trial="a second of that",
    short=0, long=20,
)  # fmt: skip
def deadlocks(site: Site) -> None:
    before = _deadlocks(site)
    over = threading.Event()
    with site.cluster.setting(deadlock_timeout="10ms"):
        site.work(2, workers=8)
        site.create(threads=3, every=0.003)
        others = [threading.Thread(target=_lock_backwards, args=(site, over)) for _ in range(2)]
        for other in others:
            other.start()
        try:
            with site.broken("deadlocks"):
                for _ in site.each_trial():
                    time.sleep(1)
        finally:
            over.set()
            for other in others:
                other.join()
    site.notes["deadlocks"] = _deadlocks(site) - before
    site.expect(site.notes["deadlocks"], "there was no deadlock")


def _lock_backwards(site: Site, over: threading.Event) -> None:
    table = f"{site.schema}.job"
    with site.cluster.connection("others") as connection:
        while not over.is_set():
            running = connection.execute(f"select uid from {table} where status = 'running' order by uid desc limit 8".encode())
            try:
                with connection.transaction():
                    for (uid,) in running.fetchall():
                        connection.execute(f"select 1 from {table} where uid = %s for update".encode(), [uid])
                        time.sleep(0.002)
            except psycopg.errors.DeadlockDetected:
                pass


def _deadlocks(site: Site) -> int:
    return int(site.cluster.ask("select deadlocks from pg_stat_database where datname = current_database()")[0][0])


@fault(
    "F17", "a snapshot is held open: no dead row can be removed", trial="20 s of that", short=0, long=3,
    expects=f"while the snapshot is held, the rate of runs is at least {KEPT:.0%} of that in the 10 s before",
)  # fmt: skip
def snapshot_held(site: Site) -> None:
    site.work(2)
    site.create(threads=3, every=0.01, many=0.2, ms=(0.0, 2.0))
    site.pause(2.0, 2.0)
    for _ in site.each_trial():
        before = _runs_a_second(site, 10)
        with site.broken("snapshot"), site.cluster.connection("others") as other, other.transaction():
            other.execute("set transaction isolation level repeatable read")
            other.execute("select 1 from pg_class limit 1")
            time.sleep(10)
            held = _runs_a_second(site, 10)
        site.notes["runs a second before, and held"] = f"{before:.0f}, {held:.0f}"
        site.expect(held >= KEPT * before, f"{held:.0f} runs a second, {before:.0f} before")


def _runs_a_second(site: Site, seconds: float) -> float:
    began = time.monotonic()
    time.sleep(seconds)
    runs = [event for event in site.events() if event["ev"] == "run_start" and event["t"] > began]
    return len(runs) / (time.monotonic() - began)
