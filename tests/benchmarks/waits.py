"""Waiting: how long after the end of a job a process that waits for it has the answer, and what that costs."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.bouncer import PGBOUNCER, bouncer

from .board import Board
from .cluster import Cluster
from .figures import Bench, Measure, Reading, at_most, figure
from .options import WorkerOptions
from .processes import Process, Workers

P50, P99, RATE = "ms, p50", "ms, p99", "statements/s a process"


def reading(took: list[float], **details: Any) -> Reading:
    took = sorted(took)
    most = {"max_ms": round(took[-1], 2)}
    return Reading({P50: took[len(took) // 2], P99: took[len(took) * 99 // 100]}, most | details)


def wait(bench: Bench, jobs: int, *, waiters: int = 1, workers: int = 1, conninfo: str = "", **options: Any) -> Reading:
    """Let processes create jobs and wait for them, which other, idle processes run. `jobs`: in all."""
    cluster = bench.cluster
    each = jobs // waiters
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(each))
        running = stack.enter_context(Workers(WorkerOptions(cluster.conninfo, schema, str(board.path), each), workers))
        running.start()
        told = {
            "conninfo": conninfo or cluster.conninfo,
            "schema": schema,
            "jobs": each,
            "notify": True,
            "one_by_one": True,
        } | options
        waiting = [Process("waiter", [sys.executable, "-m", "tests.benchmarks.waiter"], told) for _ in range(waiters)]
        for process in waiting:
            stack.callback(process.end)
            process.answer()
        time.sleep(2)
        for process in waiting:
            process.tell("start")
        answers = [process.answer(300) for process in waiting]
        for process in waiting:
            process.tell("stop")
        running.stop()
        for answer in answers:
            answer.setdefault("ms", _since_commits(cluster, schema, answer.get("answered", {})))
    rates = [len(answer["statements"]) / max(answer["seconds"], 1.0) for answer in answers]
    found = reading([ms for answer in answers for ms in answer["ms"]], statements_per_s=round(max(rates), 1))
    return Reading(found.measures | {RATE: max(rates)}, found.details)


def _since_commits(cluster: Cluster, schema: str, answered: dict[str, float]) -> list[float]:
    """From the commit that ended each of these jobs to its answer, in milliseconds. The last transaction that has written a
    job's row is the one that ended it. `completed_at` is a time before the commit, which may wait for other transactions."""
    query = "select uid, extract(epoch from pg_xact_commit_timestamp(xmin))::float from {schema}.job"
    return [(answered[str(uid)] - at) * 1000 for uid, at in cluster.execute(query, schema) if str(uid) in answered]


@figure("wait.bare", "a NOTIFY and its answer between two processes, with psycopg alone", {P50: Measure(), P99: Measure()})
def bare(bench: Bench) -> Reading:
    conninfo = bench.cluster.conninfo
    process = Process("waiter", [sys.executable, "-m", "tests.benchmarks.waiter"], {"conninfo": conninfo, "echo": True})
    try:
        process.answer()
        took = []
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("listen benchmark_pong")
            for _ in range(bench.samples(1_000)):
                begun = time.monotonic()
                connection.execute("notify benchmark_ping")
                assert list(connection.notifies(timeout=60, stop_after=1))
                took.append((time.monotonic() - begun) * 1000)
            connection.execute("notify benchmark_ping, 'end'")
        return reading(took)
    finally:
        process.end()


@figure(
    "wait.idle",
    "create and wait, through another process that is idle, one job after the other",
    {P50: Measure([at_most(5)], ratios=[("wait.bare", P50)]), P99: Measure([at_most(15)]), RATE: Measure()},
)
def idle(bench: Bench) -> Reading:
    return wait(bench, bench.samples(1_000))


@figure(
    "wait.deaf", "the same, where the process that waits hears no notification", {P99: Measure([at_most(60)]), RATE: Measure()}
)
def deaf(bench: Bench) -> Reading:
    return wait(bench, bench.samples(1_000), notify=False)


if PGBOUNCER is not None:

    @figure("wait.bouncer", "the same, through PgBouncer", {P99: Measure([at_most(60)]), RATE: Measure()})
    def bounced(bench: Bench) -> Reading:
        with bouncer(bench.cluster.conninfo) as port:
            return wait(
                bench,
                bench.samples(1_000),
                conninfo=make_conninfo(host="127.0.0.1", port=port, dbname="bounced", user="anybody"),
            )


@figure(
    "wait.thousand",
    "1,000 futures in one process: from the commit of each end to its answer",
    {P99: Measure([at_most(100)]), RATE: Measure([at_most(60)])},
)
def thousand(bench: Bench) -> Reading:
    return wait(bench, bench.samples(1_000), one_by_one=False)


@figure(
    "wait.processes",
    "1,000 futures, created by 20 processes at once: from the commit of each end to its answer",
    {P99: Measure([at_most(100)]), RATE: Measure([at_most(60)])},
)
def processes(bench: Bench) -> Reading:
    return wait(bench, bench.samples(1_000), waiters=20, workers=2, one_by_one=False)
