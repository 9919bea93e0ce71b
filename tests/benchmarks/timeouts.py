"""Timeouts: how soon a statement ends at its deadline and by a cancel, and what a timeout costs a job.

    python -m tests.benchmarks.timeouts statements   200 times pg_sleep(30) with a timeout of 1 s, and 200 that are cancelled
    python -m tests.benchmarks.timeouts cost         drains of no-ops without a timeout and with one, in turns

It prints figures, and has no bars of its own: control.md names them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

import psycopg

from steve import Job, JobManager, current_run, embedded

from .cluster import SETTINGS

SCHEMA = "steve"
TIMES = 200
WORKERS = 10
TIMEOUT = 1.0
DRAINED = 20_000
ROUNDS = 3


def main() -> int:
    figures: dict[str, Callable[[str], None]] = {"statements": _statements, "cost": _cost}
    with embedded.server(**SETTINGS) as server:
        for name in sys.argv[1:] or list(figures):
            figures[name](server.conninfo)
    return 0


def _say(what: str, seconds: list[float], **more: object) -> None:
    ordered = sorted(seconds)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99) - 1]
    print(json.dumps({"what": what, "n": len(ordered), "p50": p50, "p99": p99, "most": ordered[-1], **more}), flush=True)


def _statements(conninfo: str) -> None:
    manager = JobManager(conninfo, schema=SCHEMA)
    took: list[float] = []
    usable: list[bool] = []
    asked: dict[str, float] = {}
    begun: dict[str, threading.Event] = {}

    def sleep(job: Job) -> None:
        began = time.monotonic()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            try:
                with current_run().interrupting(connection):
                    if (event := begun.get(str(job.uid))) is not None:
                        event.set()
                    connection.execute("select pg_sleep(30)")
            finally:
                took.append(time.monotonic() - asked.get(str(job.uid), began))
                usable.append(connection.closed or connection.execute("select 1").fetchone() == (1,))

    manager.handler("timeout", timeout=TIMEOUT)(sleep)
    manager.handler("cancel")(sleep)
    manager.start(WORKERS)
    ended = threading.Semaphore(0)
    manager.on_done(None, lambda job: ended.release())
    manager.create_many([("timeout", None)] * TIMES, max_attempts=1)
    for _ in range(TIMES):
        ended.acquire()
    _say(f"from the begin to QueryCanceled, timeout {TIMEOUT:g} s", took, usable_or_closed=all(usable))
    took.clear()
    for _ in range(TIMES):
        job = manager.create("cancel", delay=0.05)
        event = begun[str(job.uid)] = threading.Event()
        event.wait()
        time.sleep(0.005)
        asked[str(job.uid)] = time.monotonic()
        manager.cancel(job)
        ended.acquire()
    _say("from cancel() to QueryCanceled", took, usable_or_closed=all(usable))
    manager.stop()


def _cost(conninfo: str) -> None:
    for _ in range(ROUNDS):
        for what, timeout in (("no timeout", None), ("a timeout", 60.0)):
            manager = JobManager(conninfo, schema=SCHEMA)
            ended = threading.Event()
            left = [DRAINED]

            def work(job: Job, left: list[int] = left, ended: threading.Event = ended) -> None:
                left[0] -= 1
                if left[0] <= 0:
                    ended.set()

            manager.migrate()
            manager.handler("no-op", timeout=timeout)(work)
            manager.create_many([("no-op", None)] * DRAINED)
            began = time.monotonic()
            manager.start(WORKERS)
            ended.wait()
            manager.stop()
            print(json.dumps({"what": f"drain, {what}", "jobs a second": round(DRAINED / (time.monotonic() - began))}))


if __name__ == "__main__":
    sys.exit(main())
