"""A new version is rolled out: processes are asked to stop, one after the other, and others take their place."""

from __future__ import annotations

import signal

from .faults import Site, fault
from .stopping import STARTED_SECONDS


@fault(
    "F22", "SIGTERM to one process after the other, and another in its place", trial="a restart", short=6, long=100,
    expects="each process ends with exit code 0 and a complete report; no attempt crashes, and no job is run twice",
)  # fmt: skip
def rolling_restart(site: Site) -> None:
    site.work(2)
    site.create(threads=2, every=0.2, ms=(50.0, 800.0), raising=0)
    slowest = 0.0
    for number in site.each_trial():
        site.pause(1.0, 1.6)
        worker = site.workers[number % len(site.workers)]
        # A process that has not started yet would end by the signal.
        site.until(lambda worker=worker: worker.pid in site.registered(), STARTED_SECONDS)
        with site.broken("SIGTERM"):
            worker.signal(signal.SIGTERM)
            new = site.respawn(worker)
            slowest = max(slowest, site.wind_down(worker)["seconds"])
            new.answer()
    site.notes["slowest stop, s"] = round(slowest, 2)
    crashed = sum(attempt.status == "crashed" for attempt in site.cluster.attempts(site.schema))
    site.expect(not crashed, f"{crashed} attempts crashed")
