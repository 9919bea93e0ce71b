"""Processes whose clocks are wrong and jump. The database's clock, which all share, decides what is due or late."""

from __future__ import annotations

import subprocess
import time
from datetime import timedelta
from pathlib import Path

from steve import JobManager

from .cluster import ended
from .faults import Site, Skipped, fault

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/*.so.1")

SLEEP = """
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""
"""Python imports this first in such a process: libfaketime refuses the system call with which time.sleep() waits for a time."""

DAY = 86_400

RUN_AT_SECONDS = 1.0
"""How late a job may begin, by the clock of the database."""


@fault(
    "F16", "the clocks of two of three worker processes are a day fast or slow, or jump by an hour", trial="a jump", short=0,
    long=20, expects=f"jobs begin at most {RUN_AT_SECONDS:g} s after run_at and never before; no process is taken for dead",
)  # fmt: skip
def clocks(site: Site) -> None:
    library = next((str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])), None)
    if library is None:
        raise Skipped("libfaketime is not installed here")
    files = [site.directory / f"clock-{number}" for number in range(2)]
    (site.directory / "sitecustomize.py").write_text(SLEEP)
    site.work(1)
    for file, wrong in zip(files, ("+1d", "-1d"), strict=True):
        file.write_text(wrong)
        told = {
            "LD_PRELOAD": library,
            "PYTHONPATH": str(site.directory),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until libfaketime reads the file again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # in no kernel does that clock jump, and the ledger uses it
            "DONT_FAKE_MONOTONIC": "1",
        }
        within = ["env", *(f"{name}={value}" for name, value in told.items())]
        there = int(subprocess.run([*within, "date", "+%s"], capture_output=True, text=True, check=True).stdout)
        site.expect(abs(there - time.time()) > DAY / 2, f"the clock is not wrong: {there}")
        site.work(1, within=within)
    site.create(threads=2, every=0.02)
    manager = JobManager(site.conninfo(), schema=site.schema)
    try:
        for number in site.each_trial():
            with site.broken("clock"):
                for file in files if number else []:
                    file.write_text(site.chance.choice(["+1d", "-1d", "+1h", "-1h", "+0"]))
                _create_some(site, manager, number)
                site.pause(2.5, 3.0)
    finally:
        manager.stop()
    site.stop_creators()
    site.drain()
    (times,) = site.cluster.ask(
        f"select min(started_at - run_at), max(started_at - run_at), count(*) from {ended(site.schema)} where k like 'due-%'"
    )
    earliest, latest, count = times
    site.notes["due jobs"] = count
    site.notes["begun after run_at, s"] = f"{earliest.total_seconds():.3f} to {latest.total_seconds():.3f}"
    site.expect(earliest >= timedelta(0), f"a job began {-earliest.total_seconds():.3f} s before its run_at")
    site.expect_at_most(RUN_AT_SECONDS, latest.total_seconds(), f"a job began {latest.total_seconds():.3f} s after its run_at")
    crashed = sum(attempt.status == "crashed" for attempt in site.cluster.attempts(site.schema))
    site.expect(not crashed, f"{crashed} jobs were rescued")
    workers = site.cluster.ask(f"select distinct process from {ended(site.schema)}")
    site.expect(len(workers) == 3, f"{len(workers)} of 3 processes had something to do")


def _create_some(site: Site, manager: JobManager, number: int) -> None:
    ((now,),) = site.cluster.ask("select clock_timestamp()")
    for one in range(20):
        k = f"due-{number}-{one}"
        run_at = now + timedelta(seconds=site.chance.uniform(1.0, 2.0))
        manager.create("a", {"k": k, "ms": 0, "raises": 0}, run_at=run_at)
        site.note("enq_ok", k=k)
