"""Many processes on one database: what they do together, and what they cost while they are idle."""

from __future__ import annotations

import time

from .board import Board
from .drain import TEN, drain
from .figures import Bench, Measure, Reading, at_least, at_most, figure
from .limits import BATCH
from .options import WorkerOptions
from .pickup import P50, P99, pick_up
from .processes import Workers

PROCESSES = 40


def _drain_with(processes: int, share: float) -> None:
    @figure(
        f"fleet.drain.{processes}",
        f"drain 200,000 jobs, {processes} processes of 10 workers",
        {"jobs/s": Measure([at_least(share, of=TEN)], ratios=[BATCH])},
    )
    def take(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(200_000), processes=processes)


_drain_with(2, 1.1)
_drain_with(PROCESSES, 0.95)


@figure(
    "fleet.pickup",
    f"pick-up with {PROCESSES} idle processes of 10 workers",
    {P50: Measure([at_most(2)]), P99: Measure([at_most(8)])},
)
def pickup(bench: Bench) -> Reading:
    return pick_up(bench, bench.samples(1_000), processes=PROCESSES, waking=15)


@figure(
    "fleet.idle",
    f"{PROCESSES} idle processes of 10 workers: what 200 would send, five times as much",
    {"statements/s of 200": Measure([at_most(400)]), "% of a core of the server": Measure([at_most(5)])},
)
def idle(bench: Bench) -> Reading:
    cluster = bench.cluster

    def spend(seconds: float) -> float:
        """Cores that the server uses."""
        begun, cpu = time.monotonic(), cluster.server_cpu()
        time.sleep(seconds)
        return (cluster.server_cpu() - cpu) / (time.monotonic() - begun)

    with cluster.schema() as schema, Board.new(1) as board:
        cluster.freshen(schema)
        alone = spend(max(bench.seconds(30), 5))  # its own housekeeping, which is there once
        options = WorkerOptions(cluster.tracked("steve-bench-fleet"), schema, str(board.path), 1)
        with Workers(options, PROCESSES) as workers:
            workers.start()
            time.sleep(max(bench.seconds(30), 10))
            before, begun = cluster.statements(), time.monotonic()
            spent = spend(max(bench.seconds(60), 5))
            seconds, after = time.monotonic() - begun, cluster.statements()
            workers.stop()
    sent = {text: calls - before.get(text, (0, 0.0))[0] for text, (calls, _) in after.items()}
    took = {text: milliseconds - before.get(text, (0, 0.0))[1] for text, (_, milliseconds) in after.items()}
    details = {
        " ".join(text.split())[:100]: (calls, round(took[text], 1))
        for text, calls in sorted(sent.items(), key=lambda item: -item[1])
        if calls
    }
    share = 200 / PROCESSES
    measures = {
        "statements/s of 200": share * sum(sent.values()) / seconds,
        "% of a core of the server": 100 * (alone + share * (spent - alone)),
    }
    return Reading(measures, {"sent": details})
