"""Processes that die or are taken for dead. Their jobs are rescued, and what they still write is refused."""

from __future__ import annotations

import signal
import time
from typing import Any

from .faults import Site, fault

QUICK: dict[str, Any] = {"lease": 1.5, "heartbeat": 0.3}
"""Settings of managers whose death or silence should be noticed soon."""

QUICKER: dict[str, Any] = {"lease": 0.9, "heartbeat": 0.2}
"""Settings of managers that are held up for about three seconds: three leases, as for those that are stopped by a signal."""

NOTICED_SECONDS = 10.0
"""How long a job of a dead process may wait for its next run while another process lives that may rescue it."""

LIVED_SECONDS = 16.0
"""After this time a process and the server have been up for long enough that the process judges others."""

ALONE_SECONDS = 20.0
"""The same as NOTICED_SECONDS where all were killed: a new process must run for a while before it judges others."""


@fault(
    "F1", "kill -9 of worker processes; one survives and rescues", trial="a kill", short=20, long=200,
    expects=f"each job that was running runs again at most {NOTICED_SECONDS:g} s later",
)  # fmt: skip
def kill_some(site: Site) -> None:
    survivor, *_ = site.work(4, workers=8)
    # No process rescues right after the server or the process itself has started.
    while not site.cluster.ask("select now() - pg_postmaster_start_time() > interval '15 s'")[0][0]:
        site.pause(0.5, 0.5)
    site.create(threads=2, every=0.02, ms=(20.0, 200.0))
    for _ in site.each_trial():
        site.pause(0.2, 0.8)
        worker = site.chance.choice([worker for worker in site.workers if worker is not survivor])
        site.kill(worker)
        site.respawn(worker).answer()
        site.note("healed")
    expect_rescued(site, NOTICED_SECONDS)


@fault(
    "F1b", "kill -9 of all worker processes; no process survives that could rescue", trial="a kill of all", short=0, long=6,
    expects=f"each job that was running runs again at most {ALONE_SECONDS:g} s later",
)  # fmt: skip
def kill_all(site: Site) -> None:
    site.work(2, workers=8)
    site.create(threads=2, every=0.02, ms=(20.0, 200.0))
    for _ in site.each_trial():
        site.pause(14.0, 16.0)  # the new processes must run for a while before they rescue jobs
        workers = list(site.workers)
        for worker in workers:
            site.kill(worker)
        site.pause(0.5, 2.0)
        for worker in workers:
            site.respawn(worker).answer()
        site.note("healed")
    expect_rescued(site, ALONE_SECONDS)


def expect_rescued(site: Site, seconds: float) -> None:
    """Measure how long after each run that was cut short the next run of its job began."""
    site.stop_creators()
    site.drain()
    events = site.events()
    ended = {event["run"] for event in events if event["ev"] == "run_end"}
    died = {event["pid"]: event["t"] for event in events if event["ev"] == "death"}
    waits = []
    for cut in [event for event in events if event["ev"] == "run_start" and event["run"] not in ended and event["pid"] in died]:
        again = [
            event["t"] for event in events if event["ev"] == "run_start" and event["k"] == cut["k"] and event["t"] > cut["t"]
        ]
        waits += [min(again) - died[cut["pid"]]] if again else []
    site.notes["runs cut short"] = len(waits)
    if waits:
        site.notes["longest wait for the next, s"] = round(max(waits), 1)
        site.expect_at_most(seconds, max(waits), f"a job ran again {max(waits):.1f} s after its process had died")


@fault(
    "F2", "poison: handlers that end their process, one in 20 jobs", trial="a poisoned job", short=5, long=20,
    expects="each poisoned job ends failed, after max_crashes deaths; all others end as they should",
)  # fmt: skip
def poison(site: Site) -> None:
    deadly = ("exit", "SIGKILL", "SIGSEGV")
    for number in site.each_trial():
        site.create(most=19)
        site.create(most=1, many=0, own=0, raising=0, do=deadly[number % len(deadly)])
        site.stop_creators()
    site.work(2)
    _expect_failed(site, _supervise(site, 60 * site.trials))


NOOPS = 400
"""The number of jobs around one poisoned job, in the buffer of the process that it ends."""


@fault(
    "F2b", f"a job buffer of {NOOPS} no-op jobs around one poisoned job", trial="a full buffer", short=0, long=4,
    expects="the poisoned job ends failed, after max_crashes deaths; all others complete",
)  # fmt: skip
def poisoned_hand(site: Site) -> None:
    deaths = 0
    for _ in site.each_trial():
        # Created before a worker is there that would take them one by one.
        for do, most in ((None, NOOPS // 2), ("SIGKILL", 1), (None, NOOPS // 2)):
            site.create(most=most, every=0, many=0, own=0, raising=0, ms=(0, 0), do=do)
            site.stop_creators()
        site.work(1)
        deaths += _supervise(site, 120)
        (worker,) = site.workers
        worker.tell("stop")
        site.wind_down(worker)
        site.workers.clear()
    _expect_failed(site, deaths)


def _supervise(site: Site, seconds: float) -> int:
    """Replace workers that have ended, as a supervisor does, until all jobs are final. Returns how many ended."""
    deaths = 0
    until = time.monotonic() + seconds * site.patience
    while not site.is_drained() and time.monotonic() < until:
        for worker in [one for one in site.workers if one.ended() is not None]:
            deaths += 1
            site.note("death", pid=worker.pid)
            worker.end()
            site.respawn(worker).answer()
        time.sleep(0.1)
    return deaths


def _expect_failed(site: Site, deaths: int) -> None:
    poisoned = site.cluster.ask(f"select status, crashes from {site.schema}.job where payload ? 'do'")
    site.expect(set(poisoned) == {("failed", 3)}, f"poisoned jobs ended as {sorted(set(poisoned))}")
    site.notes["deaths"] = deaths
    site.expect(deaths <= 3 * site.trials, f"{deaths} deaths of {site.trials} poisoned jobs")


@fault(
    "F7", "SIGSTOP for longer than the lease: the process wakes as a zombie, and other processes have its jobs by then",
    trial="a stop", short=5, long=50, expects="the outcomes of the stopped process are refused, and no listener hears of them",
)  # fmt: skip
def zombies(site: Site) -> None:
    """Handlers take a second, so that some run when the process is stopped. Spare workers are idle, so that the next run of
    the same job begins before the zombie wakes."""
    manager = site.patient(QUICK)
    site.work(3, workers=6, manager=manager)
    site.create(threads=2, every=0.3, ms=(800.0, 1200.0), raising=0, many=0)
    time.sleep(manager["lease"] + 1.5)  # a process rescues only after it has sent heartbeats for a lease
    for _ in site.each_trial():
        site.pause(1.0, 2.0)
        worker = site.chance.choice(site.workers)
        site.note("fault", what="SIGSTOP", pid=worker.pid)
        worker.signal(signal.SIGSTOP)
        site.pause(manager["lease"] + 3.0, manager["lease"] + 4.5)
        worker.signal(signal.SIGCONT)
        site.note("healed")
    _note_zombies(site)


@fault(
    "G1", "handlers that hold the interpreter for longer than the lease: zombies without any signal", trial="a job",
    short=0, long=20, expects="as F7",
)  # fmt: skip
def interpreter_held(site: Site) -> None:
    workers = site.work(3, manager=QUICKER)
    for worker in workers:  # any of them may be taken for dead
        site.note("fault", what="holds its interpreter", pid=worker.pid)
    site.create(threads=1, every=0.05, ms=(0.0, 50.0), raising=0)
    time.sleep(2 * QUICKER["lease"])
    for _ in site.each_trial():
        site.create(most=1, many=0, own=0, raising=0, do="hold the interpreter")
        site.pause(1.0, 3.0)
    _note_zombies(site)


@fault(
    "G2", "a handler that holds the interpreter for 20 s, within the lease of 60 s", trial="a job", short=0, long=3,
    expects="no process is taken for dead, and the job is run once",
)  # fmt: skip
def interpreter_held_within_the_lease(site: Site) -> None:
    site.work(2)
    time.sleep(LIVED_SECONDS)
    for _ in site.each_trial():
        site.note("fault", what="a held interpreter")
        site.create(most=1, many=0, own=0, raising=0, do="hold it for long")
        site.stop_creators()
        site.drain(90)
        site.note("healed")
    runs = site.cluster.ask(f"select status, attempts, crashes from {site.schema}.job")
    site.expect(set(runs) == {("completed", 1, 0)}, f"jobs ended as {sorted(set(runs))}")


def _note_zombies(site: Site) -> None:
    site.stop_creators()
    site.drain(90)
    crashed = sum(attempt.status == "crashed" for attempt in site.cluster.attempts(site.schema))
    site.notes["attempts taken from the living"] = crashed
    site.expect(crashed, "no process was taken for dead: nothing was tried")
