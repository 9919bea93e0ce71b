"""Whether steve stays fast: drains beside the rows that a table collects in time, compared with the drain of an empty table;
and the memory of a process that has run many jobs.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from tests.child import ROOT

from . import ledger
from .board import Board
from .drain import TEN, drain, settled
from .figures import Bench, Measure, Reading, at_least, at_most, figure
from .limits import BATCH
from .options import WorkerOptions
from .processes import Workers

HISTORIES = {"1m": 1_000_000, "10m": 10_000_000}


def _drain_beside_history(name: str, rows: int) -> None:
    @figure(
        f"growth.history.{name}",
        f"drain 100,000 jobs beside {rows:,} finished ones",
        {"jobs/s": Measure([at_least(0.9, of=TEN)], ratios=[BATCH])},
        full_only=rows > 1_000_000,
    )
    def take(bench: Bench) -> Reading:
        schema = bench.cluster.kept_schema(name, lambda schema: bench.cluster.fill_finished(schema, bench.jobs(rows)))
        return drain(bench, bench.jobs(100_000), schema=schema)


for _name, _rows in HISTORIES.items():
    _drain_beside_history(_name, _rows)


@figure(
    "growth.scheduled",
    "drain 100,000 jobs beside 1,000,000 of the same lane, due in ten days",
    {"jobs/s": Measure([at_least(0.9, of=TEN)], ratios=[BATCH])},
)
def scheduled(bench: Bench) -> Reading:
    later = "clock_timestamp() + interval '10 days' + i * interval '1 ms'"
    schema = bench.cluster.kept_schema(
        "scheduled", lambda schema: bench.cluster.fill(schema, bench.jobs(1_000_000), run_at=later)
    )
    return drain(bench, bench.jobs(100_000), schema=schema)


@figure(
    "growth.prune",
    "drain 100,000 jobs while another process prunes 1,000,000 finished ones",
    {"jobs/s": Measure([at_least(0.8, of=TEN)], ratios=[BATCH])},
)
def beside_a_prune(bench: Bench) -> Reading:
    cluster = bench.cluster
    with cluster.schema() as schema:
        cluster.fill_finished(schema, bench.jobs(1_000_000))
        code = (
            "import datetime, steve; manager = steve.JobManager(" + f"{cluster.conninfo!r}, schema={schema!r}" + "); "
            "print(manager.prune(older_than=datetime.timedelta(minutes=30)))"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as prune:
            try:
                reading = drain(bench, bench.jobs(100_000), schema=schema)
                was_over = prune.poll() is not None
                pruned = int(prune.communicate(timeout=600)[0])
            finally:
                prune.kill()
        return Reading(reading.measures, reading.details | {"pruned": pruned, "prune_was_over": was_over})


@figure(
    "growth.ties",
    "drain 1,000,000 jobs that tie on run_at, 10 workers",
    {"jobs/s": Measure([at_least(0.9, of=TEN)], ratios=[BATCH])},
)
def ties(bench: Bench) -> Reading:
    return drain(bench, bench.jobs(1_000_000), run_at="now() - interval '1 minute'")


@figure(
    "growth.memory",
    "a process with 10 workers after 1,000,000 jobs; its growth over their second half",
    {"MB": Measure([at_most(60)]), "MB, second half": Measure([at_most(3)]), "jobs/s": Measure(ratios=[TEN, BATCH])},
)
def memory(bench: Bench) -> Reading:
    jobs = bench.jobs(1_000_000)
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.fill(schema, jobs)
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(jobs))
        workers = stack.enter_context(Workers(WorkerOptions(cluster.conninfo, schema, str(board.path), jobs)))
        patience = 60 + jobs / 300
        begun = workers.start()
        workers.wait(board, jobs // 2, patience)
        half = workers.processes[0].memory()
        workers.wait(board, jobs, patience)
        seconds = settled(cluster, schema, workers, ["noop"], patience) - begun
        whole = workers.processes[0].memory()
        workers.stop()
        ledger.check(cluster, schema, board, jobs)
    return Reading({"MB": whole, "MB, second half": whole - half, "jobs/s": jobs / seconds})
