"""Controlling jobs: how soon a handler sees a cancel from another process, and how fast the calls for many are beside a drain.

    python -m tests.benchmarks.control cancel   500 cancels on an idle manager, 500 under a full drain, 20 without notifications
    python -m tests.benchmarks.control bulk     cancel_all, retry_all and delete_all of 100,000 jobs among 2,000,000

It prints figures, and has no bars of its own: control.md and docs/performance.md name them.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from steve import Changed, Job, JobManager, current_run, embedded

from .cluster import SETTINGS

SCHEMA = "steve"
WORKERS = 10
CANCELS = 500
MANY = 100_000
ALL = 2_000_000
DRAINED = 400_000
BASE_SECONDS = 3.0


def main() -> int:
    figures = {"cancel": _cancels, "bulk": _bulk}
    with embedded.server(**SETTINGS) as server:
        manager = JobManager(server.conninfo, schema=SCHEMA)
        manager.migrate()
        for name in sys.argv[1:] or list(figures):
            figures[name](server.conninfo, manager)
        manager.stop()
    return 0


def _say(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


# -- the worker ---------------------------------------------------------------------------------------------------------


def _work(conninfo: str, options: dict[str, Any], done: Any, seen: Any, stop: Any) -> None:
    """A process that works. `done`: how many no-ops it has run. `seen`: gets the times at which each handler began and saw the
    cancel."""
    manager = JobManager(conninfo, schema=SCHEMA, **options)

    def wait(job: Job) -> None:
        seen.put((str(job.uid), "begun", time.monotonic()))
        while not current_run().cancelled:
            current_run().wait(60)
        seen.put((str(job.uid), "seen", time.monotonic()))

    def noop(job: Job) -> None:
        done.value += 1  # not exact, since threads share it: the drain's own count is in the database

    manager.set_handler("wait", wait)
    manager.set_handler("noop", noop)
    manager.start(workers=options.pop("workers", WORKERS))
    stop.wait()
    manager.stop()


class Process:
    def __init__(self, conninfo: str, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.done = context.Value("q", 0, lock=False)
        self.seen = context.Queue()
        self._stop = context.Event()
        self._process = context.Process(target=_work, args=(conninfo, options, self.done, self.seen, self._stop))
        self._process.start()

    def end(self) -> None:
        self._stop.set()
        self._process.join()


@contextmanager
def working(conninfo: str, **options: Any) -> Iterator[Process]:
    process = Process(conninfo, **options)
    try:
        yield process
    finally:
        process.end()


# -- cancels ------------------------------------------------------------------------------------------------------------


def _cancels(conninfo: str, manager: JobManager) -> None:
    with working(conninfo) as process:
        _latency("idle", _cancel_in_turn(manager, process, CANCELS))
    _fill_noops(conninfo, 1_500_000)
    with working(conninfo) as process:
        _await_drain(process)
        waits = _cancel_in_turn(manager, process, CANCELS)
        assert manager.fetch_all("pending", type="noop", limit=1), "the drain was over too soon"
        _latency("full drain", waits)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f"delete from {SCHEMA}.job where status = 'pending'")
    with working(conninfo, notify=False) as process:
        _latency("no notifications, heartbeat 5 s", _cancel_at_once(manager, process))


def _latency(what: str, waits: list[float]) -> None:
    waits = sorted(1e3 * wait for wait in waits)
    at = lambda share: round(waits[min(len(waits) - 1, int(share * len(waits)))], 1)  # noqa: E731
    _say(figure="cancel seen, ms", what=what, n=len(waits), p50=at(0.5), p99=at(0.99), most=at(1.0))


def _cancel_in_turn(manager: JobManager, process: Process, times: int) -> list[float]:
    waits = []
    for _ in range(times):
        job = manager.create("wait", priority=100)
        assert process.seen.get(timeout=60)[:2] == (str(job.uid), "begun")
        time.sleep(random.uniform(0.0, 0.01))
        asked = time.monotonic()
        manager.cancel(job)
        uid, what, at = process.seen.get(timeout=60)
        assert (uid, what) == (str(job.uid), "seen")
        waits.append(at - asked)
    return waits


def _cancel_at_once(manager: JobManager, process: Process) -> list[float]:
    """As many as run at once: each may wait for seconds."""
    waits: list[float] = []
    for _ in range(2):
        jobs = manager.create_many([("wait", None)] * WORKERS)
        for _ in jobs:
            process.seen.get(timeout=60)
        asked = {}
        for job in jobs:
            time.sleep(random.uniform(0.0, 0.8))
            asked[str(job.uid)] = time.monotonic()
            manager.cancel(job)
        for _ in jobs:
            uid, _, at = process.seen.get(timeout=60)
            waits.append(at - asked[uid])
    return waits


# -- many jobs ----------------------------------------------------------------------------------------------------------

FILL = """
insert into {schema}.job (type, status, attempts, lease_no, claimed_at, started_at, completed_at, process, run_at, error)
select
  case when n % 16 = 0 then 'target' when n % 16 = 1 then 'again' when n % 16 = 2 then 'gone' else 'history' end,
  case when n % 16 = 0 then 'pending' when n % 16 in (1, 2) then 'failed' else 'completed' end,
  (n % 16 > 0)::integer, (n % 16 > 0)::integer,
  case when n % 16 > 0 then now() end, case when n % 16 > 0 then now() end, case when n % 16 > 0 then now() end,
  case when n % 16 > 2 then 'host:1' end,
  case when n % 16 = 0 then now() + interval '1 day' else now() end,
  case when n % 16 in (1, 2) then 'ValueError: no' end
from generate_series({first}, {last}) as n
"""


def _fill_noops(conninfo: str, count: int) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            f"insert into {SCHEMA}.job (type, payload) select 'noop', '{{}}' from generate_series(1, {count})".encode()
        )
        connection.execute(f"vacuum analyze {SCHEMA}.job")


def _await_drain(process: Process) -> None:
    while process.done.value < 20_000:
        time.sleep(0.05)


def _bulk(conninfo: str, manager: JobManager) -> None:
    for name in ("cancel_all", "retry_all", "delete_all"):
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f"drop schema {SCHEMA} cascade")
            manager.migrate()
            connection.execute(FILL.format(schema=SCHEMA, first=1, last=ALL - DRAINED).encode())
            _fill_noops(conninfo, DRAINED)
            connection.execute("checkpoint")
        _measure(conninfo, manager, name)


def _measure(conninfo: str, manager: JobManager, name: str) -> None:
    later: list[Job] = []
    marked: dict[str, dict[str, Any]] = {
        "cancel_all": {"type": "target"},
        "retry_all": {"type": "again", "status": "failed"},
        "delete_all": {"type": "gone"},
    }

    def progress(done: int) -> None:
        if name == "cancel_all" and len(later) < 20:
            later.append(manager.create("target", run_at=datetime.now(UTC) + timedelta(days=1)))

    answers: list[Changed] = []
    with working(conninfo) as process:
        _await_drain(process)
        before = _rate(process, lambda: time.sleep(BASE_SECONDS))
        started = time.monotonic()
        during = _rate(process, lambda: answers.append(getattr(manager, name)(**marked[name], progress=progress)))
        seconds = time.monotonic() - started
        after = _rate(process, lambda: time.sleep(BASE_SECONDS))
        assert manager.fetch_all("pending", type="noop", limit=1), "the drain was over too soon"
    (changed,) = answers
    untouched = [job for job in later if manager.find(job) == job]
    _say(
        figure=name, done=changed.done, skipped=changed.skipped, seconds=round(seconds, 2),
        per_second=round(changed.done / seconds), drain=[round(before), round(during), round(after)],
        drain_keeps=round(during / ((before + after) / 2), 2), created_meanwhile=len(later), untouched=len(untouched),
    )  # fmt: skip


def _rate(process: Process, act: Callable[[], object]) -> float:
    done, began = process.done.value, time.monotonic()
    act()
    rate: float = (process.done.value - done) / (time.monotonic() - began)
    return rate


if __name__ == "__main__":
    sys.exit(main())
