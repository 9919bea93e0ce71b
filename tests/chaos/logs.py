"""Runs that log: their processes are killed, taken for dead or cut off from the database while lines wait to be written."""

from __future__ import annotations

import signal
from collections import defaultdict

from steve import JobManager

from .cuts import WAIT_SECONDS
from .deaths import LIVED_SECONDS, QUICK
from .faults import Site, fault
from .ledger import Event
from .processes import Process
from .proxy import How, Proxy

PROMISED_SECONDS = 2.0
"""A line that was logged this long before a SIGKILL is there."""

CAPTURING = {"capture_logs": "INFO"}
LOGGING = {"do": "log", "many": 0.0, "raising": 0.1}


def _written(site: Site) -> dict[str, list[int]]:
    """By run: the numbers of the lines that are in the table, in their order there."""
    manager = JobManager(site.cluster.conninfo("observer"), schema=site.schema)
    found: dict[str, list[int]] = defaultdict(list)
    for (uid,) in site.cluster.ask(f"select uid from {site.schema}.job"):
        for line in manager.logs(uid):
            run, number = line.message.split()
            found[run].append(int(number))
    manager.stop()
    return found


def _logged(site: Site) -> dict[str, list[tuple[float, int]]]:
    """By run: when each line was logged, and its number."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for event in site.events():
        if event["ev"] == "logged":
            found[event["run"]].append((event["t"], event["n"]))
    return found


def _expect_complete(site: Site, deaths: dict[int, float] | None = None) -> None:
    """All lines of all runs are there, in order and once. Of the runs of a process that was killed: all that were logged two
    seconds before. `deaths`: by pid, when that was."""
    written, logged = _written(site), _logged(site)
    starts: dict[str, Event] = {event["run"]: event for event in site.events() if event["ev"] == "run_start"}
    ends = {event["run"] for event in site.events() if event["ev"] == "run_end"}
    late = short = due = 0
    promised = PROMISED_SECONDS + site.stall(0.5)
    for run, lines in logged.items():
        killed_at = (deaths or {}).get(starts[run]["pid"]) if run not in ends else None
        wanted = [number for at, number in lines if killed_at is None or at < killed_at - promised]
        found = written.get(run, [])
        site.expect(found == list(range(len(found))), f"the lines of a run are out of order or twice: {run}: {found[:20]}")
        due += len(wanted)
        if len(found) < len(wanted):
            short += 1
            late = max(late, len(wanted) - len(found))
    site.notes["lines that had to be there"] = site.notes.get("lines that had to be there", 0) + due
    site.expect(not short, f"{short} of {len(logged)} runs lack lines, up to {late} of them")
    site.expect(due, "no line had to be there")


@fault(
    "L1", "kill -9 of processes whose jobs log", trial="a kill", short=3, long=50,
    expects=f"each line that was logged {PROMISED_SECONDS:g} s before the kill is there, once and in order",
)  # fmt: skip
def kill_while_logging(site: Site) -> None:
    site.work(2, workers=6, manager=CAPTURING | site.patient(QUICK))
    site.create(threads=2, every=0.7, ms=(3_000.0, 6_000.0), **LOGGING)
    deaths: dict[int, float] = {}
    for _ in site.each_trial():
        site.pause(3.0, 5.0)
        victim: Process = site.chance.choice(site.workers)
        site.kill(victim)
        deaths[victim.pid] = max(event["t"] for event in site.events() if event["ev"] == "fault")
        site.respawn(victim).answer()
        site.note("healed")
    site.stop_creators()
    site.rest()
    _expect_complete(site, deaths)


@fault(
    "L2", "the reply to a statement that writes lines is lost, and the database is away for a while", trial="a cut", short=6,
    long=60, expects="all lines of all runs are there, once and in order",
)  # fmt: skip
def cut_while_logging(site: Site) -> None:
    hows: list[How] = ["answered", "at once", "late"]
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port, workers=6, manager=CAPTURING)
        site.create(threads=2, every=0.3, ms=(200.0, 3_000.0), **LOGGING)
        for number in site.each_trial():
            site.pause(0.3, 1.0)
            with site.broken("log"):
                proxy.arm("log", hows[number % 3], 0.3)
                site.expect(site.until(proxy.cut.is_set, WAIT_SECONDS), "no statement came to be cut")
        proxy.disarm()
        site.stop_creators()
        site.rest()
    _expect_complete(site)


@fault(
    "L3", "processes whose jobs log stand still for longer than a lease, and go on", trial="a stop", short=2, long=20,
    expects="all lines of all runs are there, those of runs that had lost their jobs, too, and none among those of another run",
)  # fmt: skip
def rescue_while_logging(site: Site) -> None:
    manager = site.patient(QUICK)
    site.work(3, workers=6, manager=CAPTURING | manager)
    site.pause(LIVED_SECONDS, LIVED_SECONDS)  # after that they judge each other
    site.create(threads=2, every=0.3, ms=(500.0, 4_000.0), **LOGGING)
    for _ in site.each_trial():
        site.pause(0.5, 2.0)
        victim: Process = site.chance.choice(site.workers)
        site.note("fault", what="SIGSTOP", pid=victim.pid)
        victim.signal(signal.SIGSTOP)
        site.pause(manager["lease"] + 2.5, manager["lease"] + 4.5)
        victim.signal(signal.SIGCONT)
        site.note("healed")
    site.pause(5.0, 5.0)
    site.stop_creators()
    site.rest()
    _expect_complete(site)
