"""Tasks of Django, and transactions of callers on the connections of other drivers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.contrib.django_tasks.environments import VERSIONS, environment
from tests.drivers import FEW

from .cuts import WAIT_SECONDS
from .deaths import NOTICED_SECONDS, expect_rescued
from .faults import Site, Skipped, fault
from .processes import Process
from .proxy import How, Proxy

PROJECT = "shop.process"

RUNS_SECONDS = 20.0
"""How long it may take until a process runs a task."""


@fault(
    "J1", "kill -9 of a Django worker while it runs tasks that were enqueued on Django's connection", trial="a kill",
    short=5, long=60, expects=f"each such task runs again at most {NOTICED_SECONDS:g} s later; all results are SUCCESSFUL, and "
    "what was rolled back never runs",
)  # fmt: skip
def kill_django_workers(site: Site) -> None:
    try:
        python = environment(VERSIONS[0])
    except pytest.skip.Exception as skip:
        raise Skipped(str(skip)) from None
    survivor, *_ = site.work(3, workers=4, module=PROJECT, python=python)
    while not site.cluster.ask("select now() - pg_postmaster_start_time() > interval '15 s'")[0][0]:
        site.pause(0.5, 0.5)
    site.create(2, every=0.05, ms=(50.0, 300.0), module=PROJECT, python=python)
    for _ in site.each_trial():
        site.pause(0.2, 0.8)
        worker = site.chance.choice([worker for worker in site.workers if worker is not survivor])
        site.expect(site.until(lambda worker=worker: _runs(site, worker), RUNS_SECONDS), "a worker got no task")
        site.kill(worker)
        site.respawn(worker).answer()
        site.note("healed")
    answers = site.stop_creators()
    site.expect(all(set(answer) == {"SUCCESSFUL"} for answer in answers), f"results are {answers}")
    expect_rescued(site, NOTICED_SECONDS)
    site.expect(site.notes["runs cut short"], "no task was running when its process was killed")


def _runs(site: Site, worker: Process) -> bool:
    """Whether it runs a task now."""
    mine = [event for event in site.events() if event.get("pid") == worker.pid and event["ev"] in ("run_start", "run_end")]
    return sum(1 if event["ev"] == "run_start" else -1 for event in mine) > 0


@fault(
    "J2", f"the reply to the COMMIT of a caller's transaction is lost, with {', '.join(FEW)}", trial="a cut", short=20,
    long=200,
    expects="each job whose transaction was committed is stored once, and no other",
)  # fmt: skip
def cut_commits_of_other_drivers(site: Site) -> None:
    """Each driver has a proxy of its own, and is cut in turn."""
    hows: list[How] = ["answered", "at once", "late"]
    site.work(2)
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(site.cluster.port)) for _ in FEW]
        for driver, proxy in zip(FEW, proxies, strict=True):
            site.create(threads=1, port=proxy.port, every=0.03, many=0, own=1, driver=driver)
        site.expect(site.until(lambda: len(_creating(site)) == len(FEW), WAIT_SECONDS), "a driver creates nothing")
        for number in site.each_trial():
            proxy, how = proxies[number % len(FEW)], hows[number // len(FEW) % len(hows)]
            with site.broken(f"{FEW[number % len(FEW)]}: commit {how}"):
                proxy.arm("commit", how, site.chance.uniform(0.0, 0.5))
                site.expect(site.until(proxy.cut.is_set, WAIT_SECONDS), "no COMMIT came to be cut")
        answers = site.stop_creators()
    unknown = [answer.get("enq_unknown", 0) for answer in answers]
    site.expect(sum(unknown) == site.done, f"{site.done} transactions were cut, and these ended unknown: {unknown}")
    site.notes["cut, by driver"] = unknown


def _creating(site: Site) -> set[str]:
    """The names of the creators that have created a job."""
    return {event["k"].partition("-")[0] for event in site.events() if event["ev"] == "enq_ok"}
