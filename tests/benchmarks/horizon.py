"""A long drain, and then a trickle, while a snapshot stays open, so that PostgreSQL can remove no dead row. This measures what
the watermarks are for (steve/_engine/claim/watermarks.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from . import ledger
from .board import Board
from .drain import course, settled, wait_until_done
from .figures import Bench, Measure, Reading, at_least, at_most, figure
from .limits import BATCH
from .options import CreatorOptions, WorkerOptions
from .pickup import delays
from .processes import Workers, create

TRICKLE = 50
"""Jobs a second."""


@figure(
    "horizon.pinned",
    "drain 500,000 jobs while a snapshot is open from before the first claim; then, still open, 50 jobs/s for 60 s",
    {
        "last tenth/first": Measure([at_least(0.9)]),
        "jobs/s": Measure(ratios=[BATCH]),
        "% of the time claiming": Measure([at_most(10)]),
        "ms, p99 of the pick-up": Measure([at_most(20)]),
        "ms, p50 of the pick-up": Measure(),
    },
)
def pinned(bench: Bench) -> Reading:
    jobs = bench.jobs(500_000)
    more = int(TRICKLE * bench.seconds(60))
    cluster = bench.cluster
    with ExitStack() as stack:
        schema = stack.enter_context(cluster.schema())
        cluster.fill(schema, jobs)
        cluster.freshen(schema)
        stack.enter_context(cluster.snapshot())
        board = stack.enter_context(Board.new(jobs + more))
        conninfo = cluster.tracked("steve-bench-horizon")
        workers = stack.enter_context(Workers(WorkerOptions(conninfo, schema, str(board.path), board.jobs)))
        seconds = wait_until_done(cluster, schema, board, workers, jobs)
        went = course(cluster, schema, jobs)

        options = CreatorOptions(
            cluster.conninfo, schema, "create", more, first=jobs, every=1 / TRICKLE, board=str(board.path), jobs=board.jobs
        )
        claiming, begun = _claiming(bench), time.monotonic()
        create(options)
        busy = (_claiming(bench) - claiming) / (time.monotonic() - begun)
        workers.wait(board, board.jobs, 60)
        settled(cluster, schema, workers, ["noop"])
        workers.stop()
        found = delays(board, range(jobs, board.jobs))
        ledger.check(cluster, schema, board, board.jobs)
    measures = {
        "last tenth/first": went.last_tenth,
        "jobs/s": jobs / seconds,
        "% of the time claiming": 100 * busy,
        "ms, p99 of the pick-up": found.p99,
        "ms, p50 of the pick-up": found.p50,
    }
    return Reading(measures, {"pace": went.pace})


def _claiming(bench: Bench) -> float:
    """Seconds that PostgreSQL has spent on claims so far."""
    return sum(spent for text, (_, spent) in bench.cluster.statements().items() if "skip locked" in text.lower()) / 1000
