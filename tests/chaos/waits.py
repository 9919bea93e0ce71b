"""Futures, while everything that they depend on is broken: each must end, and say what is so."""

from __future__ import annotations

from .cluster import Twins, twins
from .faults import Site, fault

LOOKS = "%select%asked%"
"""The last statement of a session that waits, as a rule."""


def _begin(site: Site, **creator: object) -> None:
    site.work(2)
    site.create(2, threads=3, every=0.02, many=0.2, waits=True, **creator)


@fault(
    "W1", "the sessions that wait for jobs are terminated", trial="a cut", short=10, long=100,
    expects="no future hangs or says what is not so",
)  # fmt: skip
def cut_waiters(site: Site) -> None:
    _begin(site)
    cut = 0
    for _ in site.each_trial():
        site.pause(0.1, 0.5)
        with site.broken("waiters"):
            cut += site.cluster.terminate(site.application, query=LOOKS)
    site.notes["sessions ended"] = cut
    site.expect(cut, "no session was terminated: nothing was tried")


@fault(
    "W2", "the server restarts while a thousand futures wait", trial="a restart", short=2, long=20, expects="as W1"
)  # fmt: skip
def restarts(site: Site) -> None:
    site.work(2, workers=2)
    for number in site.each_trial():
        site.create(2, most=500, threads=2, every=0, many=1, own=0, ms=(5.0, 15.0), waits=True)
        site.pause(0.5, 1.0)
        with site.broken("restart"):
            site.cluster.restart("immediate" if number % 2 else "fast")
        site.stop_creators()


@fault("W3", "the processes that run the jobs are killed", trial="a kill", short=5, long=60, expects="as W1")
def kills(site: Site) -> None:
    site.work(2, manager=site.patient({"lease": 3.0, "heartbeat": 0.5}))
    site.create(2, threads=3, every=0.02, many=0.2, waits=True)
    for _ in site.each_trial():
        site.pause(0.5, 1.0)
        worker = site.chance.choice(site.workers)
        site.kill(worker)
        site.respawn(worker).answer()
    site.note("healed")


@fault(
    "W4", "notifications are lost: listening sessions are terminated, and rows of the table waiter deleted", trial="a loss",
    short=10, long=100, expects="as W1",
)  # fmt: skip
def losses(site: Site) -> None:
    _begin(site)
    for _ in site.each_trial():
        site.pause(0.1, 0.4)
        with site.broken("notifications"):
            site.cluster.terminate(site.application, query="%listen steve%")
            site.cluster.ask(f"delete from {site.schema}.waiter")


@fault("W5", "the process that waits forks", trial="some forks", short=3, long=20, expects="as W1; the child waits for itself")
def forks(site: Site) -> None:
    _begin(site, forks=True)
    for _ in site.each_trial():
        site.pause(1.0, 2.0)


@fault(
    "W6", "the primary crashes and its synchronous standby is promoted", trial="a failover", short=0, long=8, expects="as W1",
    open=lambda warden: twins(warden, True),
)  # fmt: skip
def failovers(site: Site) -> None:
    cluster = site.cluster
    assert isinstance(cluster, Twins)
    _begin(site)
    for number in site.each_trial():
        site.pause(2.0, 3.0)
        with site.broken("failover"):
            cluster.fail_over()
        site.pause(1.0, 2.0)
        cluster.rejoin(rewind=number % 2 == 0)
