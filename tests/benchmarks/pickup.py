"""Pick-up: how long after the return of `create` a handler begins in another process. Both clocks are CLOCK_MONOTONIC."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import NamedTuple

import psycopg

from steve import JobManager
from tests.child import ProcessFailed

from . import ledger
from .board import Board
from .drain import settled
from .figures import Bench, Measure, Reading, at_most, figure
from .options import CreatorOptions, WorkerOptions
from .processes import Workers, create, creating

EVERY = 0.015
"""Seconds between two jobs where the manager is to be idle in between."""

P50, P99 = "ms, p50", "ms, p99"


class Delays(NamedTuple):
    """In milliseconds. Where a handler began before `create` had returned, the delay is 0."""

    p50: float
    p99: float
    most: float

    def reading(self) -> Reading:
        return Reading({P50: self.p50, P99: self.p99}, {"max_ms": round(self.most, 2)})


def delays(board: Board, numbers: Iterable[int]) -> Delays:
    found = sorted(max(board.begun[i] - board.made[i], 0) / 1e6 for i in numbers)
    return Delays(found[len(found) // 2], found[min(len(found) * 99 // 100, len(found) - 1)], found[-1])


def pick_up(
    bench: Bench,
    samples: int,
    *,
    processes: int = 1,
    threads: int = 1,
    every: float = EVERY,
    waking: float = 2,
    fill: Callable[[str], object] = lambda schema: None,
) -> Reading:
    """Start managers, leave them idle for a while, create jobs in another process, and measure when they begin.

    `waking`: seconds between the start of the managers and the first job. `fill`: what fills further rows into the schema
    first.
    """
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        fill(schema)
        after = cluster.last(schema)
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(samples))
        workers = stack.enter_context(
            Workers(WorkerOptions(cluster.conninfo, schema, str(board.path), samples, ("probe",)), processes)
        )
        workers.start()
        time.sleep(waking)
        create(
            CreatorOptions(
                cluster.conninfo, schema, "create", samples, type="probe", threads=threads, every=every,
                board=str(board.path), jobs=samples,
            )
        )  # fmt: skip
        workers.wait(board, samples, 60)
        settled(cluster, schema, workers, ["probe"])
        workers.stop()
        ledger.check(cluster, schema, board, samples, after=after)
        return delays(board, range(samples)).reading()


@figure("pickup.idle", "pick-up on an idle manager", {P50: Measure([at_most(1.5)]), P99: Measure([at_most(5)])})
def idle(bench: Bench) -> Reading:
    return pick_up(bench, bench.samples(1_000))


def _pick_up_beside(threads: int, bars: dict[str, Measure]) -> None:
    @figure(f"pickup.creators.{threads}", f"pick-up while {threads} threads create as fast as they can", bars)
    def take(bench: Bench) -> Reading:
        return pick_up(bench, bench.samples(500 * threads), threads=threads, every=0)


_pick_up_beside(8, {P50: Measure([at_most(3)]), P99: Measure([at_most(15)])})
_pick_up_beside(16, {P50: Measure(), P99: Measure([at_most(20)])})


@figure(
    "pickup.processes",
    "pick-up with 10 processes of 10 workers on one database",
    {P50: Measure([at_most(1.5)]), P99: Measure([at_most(5)])},
)
def ten_processes(bench: Bench) -> Reading:
    return pick_up(bench, bench.samples(1_000), processes=10)


@figure(
    "pickup.behind",
    "pick-up while 100,000 due jobs of a type without a handler wait in front",
    {P50: Measure(), P99: Measure([at_most(20)])},
)
def behind_others(bench: Bench) -> Reading:
    jobs = bench.jobs(100_000)
    return pick_up(bench, bench.samples(1_000), fill=lambda schema: bench.cluster.fill(schema, jobs, types=["other"]))


@figure(
    "pickup.scheduled",
    "pick-up while 1,000,000 jobs of a higher priority are due in ten days",
    {P50: Measure(), P99: Measure([at_most(20)])},
)
def behind_scheduled(bench: Bench) -> Reading:
    def fill(schema: str) -> None:
        later = "clock_timestamp() + interval '10 days' + i * interval '1 ms'"
        bench.cluster.fill(schema, bench.jobs(1_000_000), types=["probe"], priorities=[100], run_at=later)

    return pick_up(bench, bench.samples(1_000), fill=fill)


@figure(
    "pickup.late",
    "a job that is committed 30 s after its INSERT, beside 20 jobs/s: from the commit to the start of its handler",
    {"seconds": Measure([at_most(1.5)])},
)
def late_commit(bench: Bench) -> Reading:
    wait = bench.seconds(30)
    others = int(20 * (wait + 2))
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(others + 1))
        options = WorkerOptions(cluster.conninfo, schema, str(board.path), board.jobs)
        workers = stack.enter_context(Workers(options))
        workers.start()
        creator = stack.enter_context(
            creating(
                CreatorOptions(cluster.conninfo, schema, "create", others, every=0.05, board=str(board.path), jobs=board.jobs)
            )
        )
        workers.wait(board, 1, 60)  # the workers are at work
        connection = stack.enter_context(psycopg.connect(cluster.conninfo))
        JobManager("", schema=schema).create("noop", {"i": others}, connection=connection)
        time.sleep(wait)
        connection.commit()
        board.made[others] = time.monotonic_ns()
        creator.answer(60)
        workers.wait(board, board.jobs, 60)
        settled(cluster, schema, workers, ["noop"])
        workers.stop()
        ledger.check(cluster, schema, board, board.jobs)
        return Reading({"seconds": delays(board, [others]).most / 1000})


@figure(
    "pickup.given_back",
    "two processes, 10,000 jobs of 10 ms, one process stops: until the jobs that it gave back have begun in the other",
    {"seconds": Measure([at_most(1.5)])},
)
def given_back(bench: Bench) -> Reading:
    jobs = max(bench.jobs(10_000), 4_000)
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.fill(schema, jobs)
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(jobs))
        options = WorkerOptions(cluster.conninfo, schema, str(board.path), jobs, sleep=0.01)
        stopping, staying = (stack.enter_context(Workers(options)) for _ in range(2))
        for workers in (staying, stopping):
            workers.start()
        staying.wait(board, jobs // 4, 60)
        stopped = time.monotonic_ns()
        (report,) = stopping.stop()
        staying.wait(board, jobs, 60 + jobs / 300)
        settled(cluster, schema, staying, ["noop"])
        staying.stop()
        ledger.check(cluster, schema, board, jobs)
        # A job that was given back has a lease_no above its attempts: two claims and the release raised it.
        rows = cluster.execute("select (payload->>'i')::integer from {schema}.job where lease_no > attempts", schema).fetchall()
        if not rows:
            raise ProcessFailed("the process that stopped had nothing to give back: try again with more jobs")
        latest = max(board.begun[i] for (i,) in rows)
        return Reading({"seconds": (latest - stopped) / 1e9}, {"given_back": len(rows), "reported": report["returned"]})
