"""The API used as it should not be, and from many threads at once: the cases that the test suite does not try.

The test suite tries the others. Listeners that raise, block, call the manager, come and go (C1 to C4), and stop() in a listener
or a handler (C5): tests/behaviour/test_listeners.py, test_start_stop.py. start() and stop() in any order and number (C6):
test_start_stop.py. One signal, and ends of the program (C7, C8): test_run.py, test_exit.py. What handlers raise (C9):
test_outcomes.py, and bad.py here. Threads that are broken off (C10): test_health.py, tests/engine/upkeep/test_threads.py. The
caller's transaction (C12), and pools that are closed (C14): test_connections.py. C16 is tried here only on a Python that
has its interpreter lock.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle

from psycopg_pool import ConnectionPool

from steve import Job, JobManager

from .faults import Site, fault
from .ledger import Ledger
from .worker import run

RESTLESS = "import sys; sys.setswitchinterval(1e-6)\n"
"""Python imports this first in a process whose threads should take turns as often as they can."""

CREATORS = 64
EACH = 50
POOL = 4
CHANGES = 10_000
DONE_SECONDS = 20.0


class Hands:
    """Managers in the driver's own process. Their handlers and listeners write into the ledger as those of worker.py do."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._ledger = Ledger(site.directory / "hands.jsonl")
        self._named = 0

    def manager(self, schema: str | None = None) -> JobManager:
        manager = JobManager(self.site.conninfo(), schema=schema or self.site.schema)
        manager.on_done(None, lambda job: self._ledger.note("listener", k=job.payload["k"], status=str(job.status), pid=0))
        return manager

    def work(self, job: Job) -> object:
        return run(self._ledger, None, job)

    def create(self, manager: JobManager, type: str) -> None:
        self._named += 1
        k = f"misuse-{self._named}"
        manager.create(type, {"k": k, "ms": 0, "raises": 0})
        self.site.note("enq_ok", k=k)

    def close(self) -> None:
        self._ledger.close()


Case = Callable[[Hands], Iterator[str]]
"""Yields a text for each thing that is wrong."""


def _signals(hands: Hands) -> Iterator[str]:
    site = hands.site
    for _ in range(12):
        (worker,) = site.work(1)
        site.workers.remove(worker)
        site.note("fault", what="signals", pid=worker.pid)
        site.pause(0.0, 0.5)  # while it starts, and after that
        for _ in range(site.chance.choice([1, 2, 3])):
            worker.signal(site.chance.choice([signal.SIGTERM, signal.SIGINT]))
            site.pause(0.0, 0.02)
        code = worker.wait()
        if code == 0:
            site.wind_down(worker)
            continue
        site.note("death", pid=worker.pid)
        if code not in (-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT):
            yield f"it ended with {code}: {worker.wrote()[-500:]}"
        worker.end()
    site.note("healed")


def _creators(hands: Hands) -> Iterator[str]:
    times: list[float] = []
    failed: list[BaseException] = []

    def create(thread: int) -> None:
        for number in range(EACH):
            k = f"crowd-{thread}-{number}"
            began = time.monotonic()
            try:
                manager.create("a", {"k": k, "ms": 0, "raises": 0})
            except BaseException as error:
                failed.append(error)
            else:
                hands.site.note("enq_ok", k=k)
                times.append(time.monotonic() - began)

    with ConnectionPool(hands.site.conninfo(), min_size=POOL, max_size=POOL, open=True) as pool:
        manager = JobManager(pool, schema=hands.site.schema)
        threads = [threading.Thread(target=create, args=(number,)) for number in range(CREATORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        manager.stop()
    if failed:
        yield f"{len(failed)} of {CREATORS * EACH} creates failed: {failed[0]!r}"
    hands.site.notes[f"create from {CREATORS} threads on {POOL} connections, p99 ms"] = round(
        sorted(times)[int(len(times) * 0.99) - 1] * 1000
    )


def _two_managers(hands: Hands) -> Iterator[str]:
    """Two managers of this schema and one of another."""
    site, other = hands.site, f"{hands.site.schema}_other"
    there: list[str] = []
    both = [hands.manager(), hands.manager()]
    apart = JobManager(site.conninfo(), handlers={"shared": lambda job: there.append(job.payload["of"])}, schema=other)
    try:
        for manager in both:
            manager.set_handler("shared", hands.work)
        for manager in (*both, apart):
            manager.start(4)
        for _ in range(200):
            for manager in both:
                hands.create(manager, "shared")
            apart.create("shared", {"of": other})
        if not site.drain(DONE_SECONDS) or not site.until(lambda: len(apart.fetch_all("completed", limit=1000)) == 200, 10):
            yield "not all were done"
    finally:
        for manager in (*both, apart):
            manager.stop()
        site.cluster.ask(f"drop schema if exists {other} cascade")
    if there != [other] * 200:
        yield f"the other schema's manager ran {len(there)} jobs of {set(there)}"


def _changing_handlers(hands: Hands) -> Iterator[str]:
    site, manager = hands.site, hands.manager()
    types = [f"type {number}" for number in range(20)]
    count = f"select count(*) from {site.schema}.job where type = any(%s) and status in ('pending', 'running')"
    try:
        manager.start(4)
        for number in range(CHANGES):
            type = site.chance.choice(types[:10])
            manager.set_handler(type, hands.work if site.chance.random() < 0.5 else None)
            if number % 20 == 0:
                hands.create(manager, site.chance.choice(types))
        touched = site.cluster.ask(
            f"select count(*) from {site.schema}.job where type = any(%s) and (status <> 'pending' or attempts > 0)",
            [types[10:]],
        )
        if touched != [(0,)]:
            yield f"{touched[0][0]} jobs of types that never had a handler were claimed"
        for type in types:
            manager.set_handler(type, hands.work)
        if not site.until(lambda: site.cluster.ask(count, [types]) == [(0,)], DONE_SECONDS):
            yield "not all were done in the end"
    finally:
        manager.stop()


def _restless(hands: Hands) -> Iterator[str]:
    site = hands.site
    (site.directory / "sitecustomize.py").write_text(RESTLESS)
    within = ["env", f"PYTHONPATH={site.directory}"]
    workers = site.work(2, within=within, workers=8)
    site.create(within=within, threads=8, every=0.01, most=1000)
    for _ in range(5):
        site.pause(0.2, 0.5)
        with site.broken("terminate"):
            site.cluster.terminate(site.application, 0.7)
    site.stop_creators()
    if not site.drain(DONE_SECONDS):
        yield "not all were done"
    # If a process died before it holds the lock of its row again, others would notice only when its lease is over.
    if not site.until(
        lambda: site.cluster.ask(f"select bool_and(locked) from {site.schema}.process") == [(True,)], DONE_SECONDS
    ):
        yield "not every process holds its lock again"
    for worker in workers:
        site.workers.remove(worker)
        worker.tell("stop")
        site.wind_down(worker)


CASES: dict[str, Case] = {
    "C7: signals at any moment, once and again": _signals,
    f"C11: creates from {CREATORS} threads on a pool of {POOL}": _creators,
    "C13: two managers of a schema, and one of another, in one process": _two_managers,
    f"C15: {CHANGES:,} changes of handlers": _changing_handlers,
    "C16: threads that take turns every microsecond, and their sessions terminated": _restless,
}


@fault(
    "C", "misuse of the API: signals, many threads, many managers, handlers that come and go", trial="a case",
    short=0, long=len(CASES), expects="every job is done once; a process ends with exit code 0 or by its signal",
)  # fmt: skip
def misuse(site: Site) -> None:
    site.work(1)
    hands = Hands(site)
    try:
        for _, name in zip(site.each_trial(), cycle(CASES), strict=False):
            for flaw in CASES[name](hands):
                site.expect(False, f"{name}: {flaw}")
        site.rest()
    finally:
        hands.close()
