"""Handlers that outlast their timeout, together with what else can go wrong at that moment."""

from __future__ import annotations

from typing import Any

from .faults import Site, fault
from .processes import Process
from .proxy import How, Proxy
from .states import log_of

GO_ON_SECONDS = 3.0
"""How long the other jobs of a process whose workers are all stuck may wait: more than its timeout and `stuck_after`."""

SOON: dict[str, Any] = {"timeout": 0.3, "stuck_after": 0.3, "lease": 5.0, "heartbeat": 1.0}

HUNG = 6
"""So many handlers hang before a process is killed: more than its workers."""


def _stuck(worker: Process) -> int:
    return log_of(worker).count("is stuck: its handler has not returned")


@fault(
    "D1", "handlers hang past their deadline until their process is killed", trial="a kill", short=2, long=30,
    expects=f"the others go on within {GO_ON_SECONDS:g} s, no process takes a stuck job while its own lives, and after the "
    "kill each of them runs again",
)  # fmt: skip
def hang_and_kill(site: Site) -> None:
    site.work(2, workers=4, manager=site.patient(SOON))
    site.create(threads=1, every=0.02, raising=0)
    for _ in site.each_trial():
        victim: Process = site.chance.choice(site.workers)
        before = sum(_stuck(worker) for worker in site.workers)
        site.create(threads=1, every=0.02, raising=0, own=0, many=0, do="hang", most=HUNG)
        stuck = site.until(lambda before=before: sum(_stuck(worker) for worker in site.workers) >= before + HUNG, 20)
        site.expect(stuck, f"not all of {HUNG} hung handlers were reported as stuck")
        site.expect(site.runs_again(GO_ON_SECONDS), "no other job began while handlers were stuck")
        held = f"select coalesce(sum(crashes), 0) from {site.schema}.job where status = 'running' and payload->>'do' = 'hang'"
        ((crashes,),) = site.cluster.ask(held)
        site.expect(not crashes, "a stuck job was taken from a process that lives")
        site.pause(0.0, 0.5)
        for worker in [victim, *(one for one in site.workers if one is not victim and _stuck(one))]:
            site.kill(worker)
            site.respawn(worker).answer()
        site.note("healed")
    site.stop_creators()
    site.drain()
    ((unhurt,),) = site.cluster.ask(
        f"select count(*) from {site.schema}.job where payload->>'do' = 'hang' and (status <> 'completed' or crashes = 0)"
    )
    site.expect(not unhurt, f"{unhurt} jobs that hung did not run again after the death of their process")


@fault(
    "D2", "TimeLimit comes at the moment when a handler returns, and the reply to a settlement is lost", trial="a cut", short=6,
    long=100, expects="each attempt has one outcome, and nothing is interrupted but handlers",
)  # fmt: skip
def interrupt_and_cut(site: Site) -> None:
    hows: list[How] = ["answered", "at once"]
    with Proxy(site.cluster.port) as proxy:
        site.work(2, workers=8, port=proxy.port, interrupt=True, manager={"timeout": 0.2})
        site.create(threads=2, every=0.02, raising=0, own=0, many=0, do="overrun")
        for number in site.each_trial():
            site.pause(0.1, 0.3)
            with site.broken("settle"):
                proxy.arm("settle", hows[number % 2])
                site.expect(site.until(proxy.cut.is_set, 10), "no settle came to be cut")
        proxy.disarm()
        workers = list(site.workers)
        site.stop_creators()
        site.drain()
        logs = "".join(log_of(worker) for worker in workers)
        site.rest()
    for sign in ("broke off", "was broken off", "turn failed", "could not be kept"):
        site.expect(sign not in logs, f"the log says {sign!r}")
    ends: dict[str, int] = dict(
        site.cluster.ask(
            f"select coalesce(error_type, 'none'), count(*) from {site.schema}.job left join {site.schema}.attempt "
            "on job_uid = uid where payload->>'do' = 'overrun' group by 1"
        )
    )
    site.notes["attempts that timed out"] = ends.get("steve.TimedOut", 0)
    site.expect(set(ends) <= {"none", "steve.TimedOut"}, f"other errors: {ends}")
