"""Processes that fork while they work."""

from __future__ import annotations

from .faults import Site, fault


@fault(
    "F18", "handlers that fork; the child comes back out of the handler", trial="ten forks", short=3, long=50,
    expects="each job whose handler forks is run and settled once, by the parent, which loses no connection",
)  # fmt: skip
def forks(site: Site) -> None:
    for worker in site.work(2):
        site.note("fault", what="forks", pid=worker.pid)
    site.create(threads=2, every=0.05)
    for _ in site.each_trial():
        site.create(most=10, many=0, own=0, raising=0, do="fork")
        site.pause(0.5, 1.0)
    site.note("healed")
    site.stop_creators()
    site.drain()
    site.expect(
        site.cluster.ask(f"select distinct status, attempts from {site.schema}.job where payload ? 'do'") == [("completed", 1)],
        "a job whose handler forked was not completed at once",
    )
    site.rest()
    site.expect(not site.met.total(), f"connections of the parents were lost: {dict(site.met)}")
