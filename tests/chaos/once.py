"""Jobs that are done exactly once: their handlers write a row and complete their job in one transaction. Processes are killed,
replies are lost and jobs are taken from living processes at each step. In the end there is one row for each completed job.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from steve import JobManager

from .effects import ONCE, STEPS, TABLE
from .faults import Site, fault
from .ledger import Event
from .processes import Process
from .proxy import How, Proxy

QUICK: dict[str, Any] = {"lease": 1.5, "heartbeat": 0.3}

REACHED_SECONDS = 60.0
"""How long it may take until a handler has reached its step: its job may have been claimed by a process that was killed."""

TAKEN_SECONDS = 15.0
"""How long it may take until the job of a stopped process is taken from it."""

DRAIN_SECONDS = 120.0

LOAD: dict[str, Any] = {
    "do": ONCE,
    "threads": 2,
    "every": 0.03,
    "raising": 0.1,
    "max_attempts": 20,
    "own": 0,
    "ms": (0.0, 20.0),
}
"""Jobs that meet the faults at any moment."""


class Steps:
    """Creates jobs that stop at a step, and waits until their handlers are there."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._manager = JobManager(site.conninfo(), schema=site.schema)
        self._count = 0

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.stop()

    def reach(self, step: str) -> Event | None:
        """What the handler has noted that is at this step now."""
        self._count += 1
        k = f"{step}-{self._count}"
        payload = {"k": k, "ms": 1.0, "raises": 0, "do": ONCE, "at": step}
        self._manager.create("a", payload, max_attempts=20, backoff_strategy="none", priority=9)
        self._site.note("enq_ok", k=k)
        found: list[Event] = []

        def is_there() -> bool:
            pids = {worker.pid for worker in self._site.workers}
            found[:] = [one for one in self._site.events() if one["ev"] == "reached" and one["k"] == k and one["pid"] in pids]
            return bool(found)

        is_reached = self._site.until(is_there, REACHED_SECONDS)
        self._site.expect(is_reached, f"no handler came to the step {step}")
        return found[-1] if is_reached else None

    def go_on(self, at: Event) -> None:
        (self._site.directory / f"go-{at['k']}").touch()


def _begin(site: Site) -> None:
    site.cluster.ask(TABLE.replace("{schema}", site.schema))


def _worker(site: Site, at: Event) -> Process:
    return next(worker for worker in site.workers if worker.pid == at["pid"])


def _expect_once(site: Site) -> None:
    """Each job has completed with one effect, which is that of the run that its result names. Only a job whose handler raises
    on every attempt has failed, without an effect."""
    site.stop_creators()
    site.drain(DRAIN_SECONDS)
    rows = site.cluster.ask(
        "select payload->>'k', status, (payload->>'raises')::integer >= max_attempts, result->>'by', "
        f"array_agg(run) filter (where run is not null) from {site.schema}.job left join {site.schema}.effect on job = uid "
        f"where payload->>'do' = '{ONCE}' group by uid"
    )
    wrong = [
        k
        for k, status, is_hopeless, by, runs in rows
        if (status, runs) != (("failed", None) if is_hopeless else ("completed", [by]))
    ]
    site.expect(not wrong, f"{len(wrong)} jobs were not done exactly once: {wrong[:3]}")
    completed = sum(status == "completed" for _, status, *_ in rows)
    ((effects, jobs),) = site.cluster.ask(f"select count(*), count(distinct job) from {site.schema}.effect")
    site.expect(effects == jobs == completed, f"{effects} effects of {jobs} jobs, and {completed} completed jobs")
    site.notes["jobs that completed"] = site.notes.get("jobs that completed", 0) + completed
    site.notes["effects"] = site.notes.get("effects", 0) + effects


@fault(
    "O1", "kill -9 before, between and after the statements of jobs that are done exactly once, and during their COMMIT",
    trial="a kill at a step", short=5, long=200,
    expects="as many effects as completed jobs, each of the run that completed its job",
)  # fmt: skip
def kill_at_each_step(site: Site) -> None:
    _begin(site)
    site.work(3, workers=6, manager=site.patient(QUICK))
    site.create(**LOAD)
    with Steps(site) as steps:
        for number in site.each_trial():
            at = steps.reach(STEPS[number % len(STEPS)])
            if at is not None:
                worker = _worker(site, at)
                site.kill(worker)
                site.respawn(worker).answer()
                site.note("healed")
        _expect_once(site)


@fault(
    "O2", "the replies to complete() and to the handler's COMMIT are lost, or arrive late", trial="a cut", short=8, long=200,
    expects="as O1; a handler whose COMMIT was carried out has completed its job, though it raised",
)  # fmt: skip
def cut_at_each_step(site: Site) -> None:
    hows: list[How] = ["answered", "at once", "late"]
    _begin(site)
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port, workers=6)
        site.create(**LOAD)
        for number in site.each_trial():
            what, how = ("commit", "complete")[number % 2], hows[number // 2 % 3]
            site.pause(0.02, 0.1)
            with site.broken(f"{what} {how}"):
                proxy.arm(what, how, site.chance.uniform(0.0, 0.5))
                site.expect(site.until(proxy.cut.is_set, 10), f"no {what} came to be cut")
        proxy.disarm()
        _expect_once(site)
        ((raised,),) = site.cluster.ask(f"select count(*) from {site.schema}.attempt where status = 'error'")
        site.notes["attempts that failed"] = raised
        site.rest()


@fault(
    "O3", "SIGSTOP at each step for longer than the lease, of jobs that are done exactly once", trial="a stop at a step",
    short=4, long=40,
    expects="as O1: a job that was taken meanwhile cannot be completed by the process that wakes",
)  # fmt: skip
def stop_at_each_step(site: Site) -> None:
    """A completion that is not committed yet holds the lock of its row, so that no rescue takes that job."""
    _begin(site)
    manager = site.patient(QUICK)
    site.work(3, workers=6, manager=manager)
    site.create(**LOAD | {"every": 0.2})
    time.sleep(manager["lease"] + 1.5)
    taken = 0
    with Steps(site) as steps:
        for number in site.each_trial():
            at = steps.reach(STEPS[number % 3])
            if at is None:
                continue
            worker = _worker(site, at)
            site.note("fault", what="SIGSTOP", pid=worker.pid)
            worker.signal(signal.SIGSTOP)
            query = f"select crashes > 0 from {site.schema}.job where payload->>'k' = %s"
            if at["step"] == "completed":
                site.pause(manager["lease"] + 3.0, manager["lease"] + 4.5)
            else:
                is_taken = site.until(lambda: site.cluster.ask(query, [at["k"]]) == [(True,)], TAKEN_SECONDS)  # noqa: B023
                site.expect(is_taken, f"the job at {at['step']} was not taken")
            taken += site.cluster.ask(query, [at["k"]]) == [(True,)]
            steps.go_on(at)
            worker.signal(signal.SIGCONT)
            site.note("healed")
        _expect_once(site)
    site.notes["jobs taken from the living"] = taken
