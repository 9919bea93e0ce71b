"""What runs leave behind: what their progress and their log lines cost other jobs, and how often they are written."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.child import ProcessFailed

from . import ledger
from .board import Board
from .figures import Bar, Bench, Measure, Reading, at_least, at_most, figure
from .options import WorkerOptions
from .processes import Workers


def _beside(bench: Bench, talk: str, talkers: int, rate: float) -> Reading:
    """Drain no-ops with 10 workers, while so many other runs talk: see worker.py. `rate`: of each, in a second."""
    jobs = bench.jobs(200_000)
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.fill(schema, jobs)
        cluster.freshen(schema)
        board = stack.enter_context(Board.new(jobs))
        conninfo = cluster.tracked(f"steve-bench-{talk}")
        options = WorkerOptions(
            conninfo, schema, str(board.path), jobs, workers=10 + talkers, talk=talk, talkers=talkers, rate=rate
        )
        workers = stack.enter_context(Workers(options))
        memory = workers.processes[0].memory()
        written, begun = _writes(bench, schema), workers.start()
        workers.wait(board, jobs, 60 + jobs / 300)
        ended = _settled(bench, schema)
        written = _writes(bench, schema) - written
        grown = workers.processes[0].memory() - memory
        measures = {"jobs/s": jobs / (ended - begun), "writes/s": written / (time.monotonic() - begun), "MB more": grown}
        workers.stop()
        ledger.check(cluster, schema, board, jobs)
    return Reading(measures, {"seconds": round(ended - begun, 2), "writes": written})


def _settled(bench: Bench, schema: str) -> float:
    """Wait until no no-op is unfinished: the other runs go on. Returns when that was, by time.monotonic()."""
    deadline = time.monotonic() + 60
    unfinished = "select exists (select from {schema}.job where status in ('pending', 'running') and type = 'noop')"
    while True:
        now = time.monotonic()  # taken before the query, whose snapshot comes right after
        if not bench.cluster.one(unfinished, schema):
            return now
        if now > deadline:
            raise ProcessFailed("all handlers have run, but 60 s later not all jobs are settled")
        time.sleep(0.02)


def _writes(bench: Bench, schema: str) -> int:
    """How many statements that write what runs leave were sent so far."""
    marks = [f'insert into "{schema}".{table}' for table in ("log", "progress")]
    return sum(calls for text, (calls, _) in bench.cluster.statements().items() if any(mark in text for mark in marks))


def _figure(name: str, title: str, talk: str, talkers: int, rate: float, bars: list[Bar], writes: list[Bar]) -> None:
    measures = {"jobs/s": Measure(bars), "writes/s": Measure(writes), "MB more": Measure()}

    @figure(f"records.{name}", f"drain 200,000 jobs, 10 workers, beside {title}", measures)
    def take(bench: Bench) -> Reading:
        return _beside(bench, talk, talkers, rate)


_QUIET = [at_least(0.95, of=("records.quiet", "jobs/s"))]
_UNKEPT = [at_least(0.95, of=("records.unkept", "jobs/s"))]
_figure("quiet", "50 runs that say nothing", "quiet", 50, 20, [], [at_most(0)])
_figure("progress", "50 runs with 1,000 progress() a second together", "progress", 50, 20, _QUIET, [at_most(0.5)])
_figure("unkept", "a run that logs 10,000 lines a second, which nobody keeps", "unkept", 1, 10_000, [], [at_most(0)])
_figure("logs", "the same, and they are kept", "logs", 1, 10_000, _UNKEPT, [at_most(0.67)])
_figure("unkept.50", "50 runs that log 200 lines a second each, which nobody keeps", "unkept", 50, 200, [], [at_most(0)])
_figure(
    "logs.50", "the same, and they are kept", "logs", 50, 200,
    [at_least(0.95, of=("records.unkept.50", "jobs/s"))], [at_most(0.67)],
)  # fmt: skip
