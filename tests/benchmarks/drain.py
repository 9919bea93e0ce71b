"""Draining: jobs are there, workers start, and the clock runs from just before `manager.start()` until no job is pending or
running. The benchmark asks the database only after the last handler has begun, until all jobs are settled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tests.child import ProcessFailed

from . import ledger
from .board import Board
from .cluster import Cluster
from .figures import Bench, Measure, Reading, at_least, figure
from .limits import BATCH, BATCH_1, CLASSIC, CLASSIC_1
from .options import WorkerOptions
from .processes import Workers

TEN = ("drain.10", "jobs/s")
RATIOS = (BATCH, BATCH_1, CLASSIC)
FASTEST_PEERS = (("peer.graphile-worker", "jobs/s"), ("peer.pg-boss", "jobs/s"))


def drain(
    bench: Bench,
    jobs: int,
    *,
    schema: str | None = None,
    processes: int = 1,
    types: Sequence[str] = ("noop",),
    queues: Sequence[str] = ("default",),
    priorities: Sequence[int] = (0,),
    run_at: str = "clock_timestamp()",
    **options: Any,
) -> Reading:
    """Fill in so many jobs, let workers run them, and check the ledger. `options`: those of WorkerOptions."""
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = schema or stack.enter_context(cluster.schema())
        after = cluster.fill(schema, jobs, types=types, queues=queues, priorities=priorities, run_at=run_at)
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(jobs))
        settings = WorkerOptions(cluster.conninfo, schema, str(board.path), jobs, tuple(types), **options)
        workers = stack.enter_context(Workers(settings, processes))
        cpu = sum(process.cpu() for process in workers.processes)
        wal = cluster.wal()
        seconds = wait_until_done(cluster, schema, board, workers, jobs, types, queues, priorities)
        details = {
            "jobs": jobs,
            "seconds": round(seconds, 3),
            "wal_a_job": round((cluster.wal() - wal) / jobs),
            "worker_cpu": round(sum(process.cpu() for process in workers.processes) - cpu, 2),
            "worker_mb": [round(process.memory(), 1) for process in workers.processes],
        }
        workers.stop()
        ledger.check(cluster, schema, board, jobs, after=after, retried=settings.failing > 0, told=settings.listen)
    return Reading({"jobs/s": jobs / seconds}, details)


def wait_until_done(
    cluster: Cluster,
    schema: str,
    board: Board,
    workers: Workers,
    jobs: int,
    types: Sequence[str] = ("noop",),
    queues: Sequence[str] = ("default",),
    priorities: Sequence[int] = (0,),
) -> float:
    """Start the workers. Returns the seconds from then until all jobs with numbers below `jobs` were settled."""
    patience = 60 + jobs / 300
    begun = workers.start()
    workers.wait(board, jobs, patience)
    return settled(cluster, schema, workers, types, patience, queues, priorities) - begun


def settled(
    cluster: Cluster,
    schema: str,
    workers: Workers,
    types: Sequence[str],
    seconds: float = 60.0,
    queues: Sequence[str] = ("default",),
    priorities: Sequence[int] = (0,),
) -> float:
    """Wait until no job is unfinished. Returns when that was, by time.monotonic()."""
    deadline = time.monotonic() + seconds
    while True:
        now = time.monotonic()  # taken before the query, whose snapshot comes right after
        if not cluster.has_unfinished(schema, types, queues, priorities):
            return now
        for process in workers.processes:
            process.check()
        if now > deadline:
            raise ProcessFailed(f"all handlers have run, but {seconds:g} s later not all jobs are settled")
        time.sleep(0.003)


class Course(NamedTuple):
    """The course of a drain over time, by the times at which the database completed the jobs."""

    last_tenth: float
    """The throughput of the last tenth, divided by that of the first."""
    pace: list[tuple[float, int]]
    """Seconds since the first completion, and jobs/s then. A step has some 5,000 jobs, because a commit has some hundreds."""


def course(cluster: Cluster, schema: str, jobs: int) -> Course:
    """The course of a drain of all jobs in the schema, which must be over."""
    moment = "extract(epoch from completed_at)::float8"
    first, tenth, ninth, last = cluster.one(
        f"select percentile_disc(array[0, 0.1, 0.9, 1]) within group (order by {moment}) from {{schema}}.job", schema
    )
    steps = max(1, min(50, jobs // 5_000))
    rows = cluster.execute(
        f"select width_bucket({moment}, %(first)s, %(last)s, %(steps)s), count(*) from {{schema}}.job group by 1 order by 1",
        schema,
        {"first": first, "last": last + 0.001, "steps": steps},
    ).fetchall()
    width = (last + 0.001 - first) / steps
    pace = [(round((step - 0.5) * width, 3), round(count / width)) for step, count in rows]
    return Course((tenth - first) / (last - ninth), pace)


def _drain_with(workers: int) -> None:
    bars = [at_least(15_000)] if workers == 1 else [at_least(30_000), at_least(0.7, of=BATCH)]
    many = "1 worker" if workers == 1 else f"{workers} workers"
    ratios = (BATCH, BATCH_1, CLASSIC_1) if workers == 1 else RATIOS
    ahead_of = () if workers == 1 else FASTEST_PEERS

    @figure(
        f"drain.{workers}",
        f"drain 100,000 jobs, {many}",
        {"jobs/s": Measure(bars, any_bar=True, ratios=ratios, ahead_of=ahead_of)},
    )
    def take(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(100_000), workers=workers)


for _workers in (1, 2, 10, 50):
    _drain_with(_workers)


@figure(
    "drain.processes",
    "drain 100,000 jobs, two processes of 10 workers",
    {"jobs/s": Measure([at_least(0.9, of=TEN)], ratios=[BATCH])},
)
def two_processes(bench: Bench) -> Reading:
    return drain(bench, bench.jobs(100_000), processes=2)


@figure(
    "drain.types", "drain 100,000 jobs of 50 types, 10 workers", {"jobs/s": Measure([at_least(0.8, of=TEN)], ratios=[BATCH])}
)
def fifty_types(bench: Bench) -> Reading:
    return drain(bench, bench.jobs(100_000), types=[f"noop {number}" for number in range(50)])


@figure(
    "drain.sleeping",
    "handlers that sleep 5 ms, 50 workers, against the ideal 10,000/s",
    {"share of the ideal": Measure([at_least(0.9)]), "jobs/s": Measure()},
)
def sleeping(bench: Bench) -> Reading:
    reading = drain(bench, max(bench.jobs(50_000), 10_000), workers=50, sleep=0.005)
    return Reading({"share of the ideal": reading.measures["jobs/s"] / (50 / 0.005), **reading.measures}, reading.details)


@figure("drain.listened", "drain 100,000 jobs, 10 workers, a listener told of each", {"jobs/s": Measure(ratios=[TEN, BATCH])})
def listened(bench: Bench) -> Reading:
    return drain(bench, bench.jobs(100_000), listen=True)


@figure(
    "drain.failing", "drain 100,000 jobs, 10 workers, a tenth of all attempts raise", {"jobs/s": Measure(ratios=[TEN, BATCH])}
)
def failing(bench: Bench) -> Reading:
    return drain(bench, bench.jobs(100_000), failing=0.1, listen=True)


def _short_drain_with(workers: int) -> None:
    @figure(
        f"drain.short.{workers}",
        f"drain 50,000 jobs, {workers} workers",
        {"jobs/s": Measure([at_least(20_000), at_least(0.45, of=BATCH)], any_bar=True, ratios=RATIOS)},
    )
    def take(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(50_000), workers=workers)


for _workers in (2, 10):
    _short_drain_with(_workers)
