"""What steve costs while it is idle and when it starts: statements, processor time, connections, time to import."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from tests.child import ROOT

from .board import Board
from .drain import settled
from .figures import Bench, Measure, Reading, at_most, figure
from .options import WorkerOptions
from .processes import Workers


@contextmanager
def _tracked_workers(bench: Bench, schema: str, jobs: int, name: str) -> Iterator[tuple[Board, Workers]]:
    """A process with 10 workers, not yet started. Its statements are counted, and its connections have this name."""
    with Board.new(jobs) as board:
        options = WorkerOptions(bench.cluster.tracked(name), schema, str(board.path), jobs)
        with Workers(options) as workers:
            yield board, workers


def _calls(bench: Bench) -> dict[str, int]:
    return {text: calls for text, (calls, _) in bench.cluster.statements().items()}


def _since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How often each statement was sent in between, the most frequent first."""
    sent = {text: calls - before.get(text, 0) for text, calls in after.items()}
    return {text: calls for text, calls in sorted(sent.items(), key=lambda item: -item[1]) if calls}


def _brief(sent: dict[str, int]) -> dict[str, int]:
    return {" ".join(text.split())[:100]: calls for text, calls in sent.items()}


@figure(
    "idle",
    "an idle manager with 10 workers, over 60 s, after a load",
    {
        "statements/s": Measure([at_most(1.6)]),
        "% CPU": Measure([at_most(0.5)]),
        "connections": Measure([at_most(5)]),
    },
)
def idle(bench: Bench) -> Reading:
    jobs = bench.jobs(10_000)
    cluster = bench.cluster
    with cluster.schema() as schema:
        cluster.fill(schema, jobs)
        cluster.freshen(schema)
        name = "steve-bench-idle"
        with _tracked_workers(bench, schema, jobs, name) as (board, workers):
            workers.start()
            workers.wait(board, jobs, 60)
            settled(cluster, schema, workers, ["noop"])
            time.sleep(2)
            before, cpu, begun = _calls(bench), workers.processes[0].cpu(), time.monotonic()
            time.sleep(max(bench.seconds(60), 5))
            seconds = time.monotonic() - begun
            share = (workers.processes[0].cpu() - cpu) / seconds
            sent = _since(before, _calls(bench))
            connections = cluster.connections(name)
            workers.stop()
    measures = {"statements/s": sum(sent.values()) / seconds, "% CPU": 100 * share, "connections": float(connections)}
    return Reading(measures, {"sent": _brief(sent)})


# One of them prepares the settler's session: a process claims nothing while it could not write outcomes.
@figure("start.statements", "start on a current schema, until the manager waits", {"statements": Measure([at_most(7)])})
def start_statements(bench: Bench) -> Reading:
    with bench.cluster.schema() as schema, _tracked_workers(bench, schema, 1, "steve-bench-start") as (_, workers):
        before = _calls(bench)
        workers.start()
        time.sleep(0.5)  # less than a poll_interval: the first claim counts, the second one does not
        sent = _since(before, _calls(bench))
        workers.stop()
    return Reading({"statements": float(sum(sent.values()))}, {"sent": _brief(sent)})


@figure("start.import", "import steve, beyond psycopg and psycopg_pool", {"ms": Measure([at_most(40)])})
def import_time(bench: Bench) -> Reading:
    code = "import time, psycopg, psycopg_pool; begun = time.perf_counter(); import steve; print(time.perf_counter() - begun)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    ]
    return Reading({"ms": 1000 * median(times)})
