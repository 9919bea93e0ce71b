"""Pools are scaled, and managers made quiet, while processes are killed and connections cut."""

from __future__ import annotations

from typing import Any

from .faults import Site, fault
from .proxy import How, Proxy

QUICK: dict[str, Any] = {"lease": 3.0, "heartbeat": 0.5}
SIZES = ("a:2;*:2", "4", "a:20;b:1;*:1", "50", "-a:3", "b,a:2", "a:1;-c:4")
SCALES_BETWEEN_KILLS = 10


def _order(site: Site) -> None:
    for worker in site.workers:
        worker.tell("quiet" if site.chance.random() < 0.15 else f"scale {site.chance.choice(SIZES)}")


def _end(site: Site) -> None:
    """With a pool for all queues, so that all is run in the end."""
    for worker in site.workers:
        worker.tell("scale a:2;*:2")


@fault(
    "P1", "processes change their pools at random, become quiet, and are killed", trial="a change", short=100, long=1000,
    expects="no job is lost or runs twice without a crash; no thread and no connection is left",
)  # fmt: skip
def scale_and_kill(site: Site) -> None:
    site.work(3, workers="a:2;*:2", manager=site.patient(QUICK))
    site.create(threads=2, queues=("a", "b", "c"))
    for number in site.each_trial():
        _order(site)
        site.pause(0.0, 0.1)
        if number % SCALES_BETWEEN_KILLS == SCALES_BETWEEN_KILLS // 2:
            worker = site.chance.choice(site.workers)
            site.kill(worker)
            site.respawn(worker).answer()
    _end(site)
    site.rest()


@fault(
    "P2", "the replies to claims are lost while pools are scaled", trial="a cut", short=20, long=200,
    expects="the jobs that the claims took are run once, by whatever pool",
)  # fmt: skip
def scale_and_cut(site: Site) -> None:
    hows: list[How] = ["answered", "at once"]
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port, workers="a:2;*:2")
        site.create(threads=3, queues=("a", "b", "c"))
        for number in site.each_trial():
            proxy.arm("claim", hows[number % 2])
            site.pause(0.02, 0.1)
            _order(site)
            site.pause(0.02, 0.1)
        proxy.disarm()
        _end(site)
        site.rest()
