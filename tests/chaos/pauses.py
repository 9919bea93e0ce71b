"""Jobs are paused and resumed while the processes that run them are killed and their connections cut: a pause holds in all
processes, and no job is lost.
"""

from __future__ import annotations

import time

from steve import JobManager

from .faults import Site, fault
from .proxy import Proxy

IN_FORCE_SECONDS = 3.0
"""After this a pause must be in force in each process that was not harmed: even if the notification is lost, its looks are at
most 2.5 seconds apart."""
PAUSED_SECONDS = 1.0
"""For so long it is watched then."""


def _begun(site: Site, since: float) -> int:
    """How many jobs have begun since then, by time.monotonic()."""
    return sum(event["ev"] == "run_start" and event["t"] > since for event in site.events())


def _pauses(site: Site, manager: JobManager, number: int) -> dict[str, str]:
    """Another kind of pause for each trial; all of them cover every job that the creators make."""
    kinds: list[dict[str, str]] = [{}, {"queue": "default"}]
    paused = kinds[number % 2]
    manager.pause(**paused, reason="chaos")
    return paused


def _expect_held(site: Site, number: int) -> None:
    """Nothing begins once the pause is in force, and jobs begin again after it."""
    time.sleep(IN_FORCE_SECONDS * site.patience)
    since = time.monotonic()
    time.sleep(PAUSED_SECONDS)
    begun = _begun(site, since)
    site.expect(not begun, f"trial {number}: {begun} jobs began although they were paused")
    site.notes["jobs that began while paused"] = site.notes.get("jobs that began while paused", 0) + begun


@fault(
    "Q1", "jobs are paused while workers are killed and new ones start", trial="a pause and a kill", short=3, long=40,
    expects="nothing begins in a pause, new processes included; nothing is lost",
)  # fmt: skip
def pause_and_kill(site: Site) -> None:
    site.work(3, manager=site.patient({"lease": 3.0, "heartbeat": 0.5}))
    site.create(threads=2)
    manager = JobManager(site.conninfo(), schema=site.schema)
    try:
        for number in site.each_trial():
            site.pause(0.3, 1.0)
            paused = _pauses(site, manager, number)
            site.pause(0.0, 0.2)
            worker = site.chance.choice(site.workers)
            site.kill(worker)
            site.respawn(worker).answer()
            _expect_held(site, number)
            manager.resume(**paused)
            site.expect(site.runs_again(10.0), f"trial {number}: nothing runs after the pause")
        site.stop_creators()
        site.drain()
    finally:
        manager.stop()
    site.note("healed")


@fault(
    "Q2", "jobs are paused while the sessions of their processes are terminated or cut at a claim", trial="a pause and a cut",
    short=4, long=60, expects="as Q1, whether the notification arrives or not",
)  # fmt: skip
def pause_and_cut(site: Site) -> None:
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port)
        site.create(threads=2)
        manager = JobManager(site.cluster.conninfo("pauses"), schema=site.schema)
        try:
            for number in site.each_trial():
                site.pause(0.3, 1.0)
                what = ["listen", "all", "claim", "settle"][number % 4]
                with site.broken(what):
                    if what == "listen":
                        site.cluster.terminate(site.application, query="%listen steve%")
                        paused = _pauses(site, manager, number)
                    elif what == "all":
                        paused = _pauses(site, manager, number)
                        site.cluster.terminate(site.application)
                    else:
                        proxy.arm(what, "answered")
                        site.pause(0.0, 0.1)
                        paused = _pauses(site, manager, number)
                        proxy.cut.wait(0.5)
                        proxy.disarm()
                _expect_held(site, number)
                manager.resume(**paused)
                site.expect(site.runs_again(10.0), f"trial {number}: nothing runs after the pause")
        finally:
            manager.stop()
        site.rest()
