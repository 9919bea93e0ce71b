"""What many lanes cost. A lane is a queue, a type and a priority: users have a queue or a type for each of their tenants."""

from __future__ import annotations

from typing import Any

from .drain import TEN, drain
from .figures import Bench, Measure, Reading, at_least, at_most, figure
from .pickup import P50, P99, pick_up

FOREIGN = "foreign"
"""A type that nobody serves."""


def lanes(number: int) -> list[str]:
    return [f"lane {n}" for n in range(number)]


def _pick_up_beside(number: int, p99: float) -> None:
    @figure(
        f"lanes.scheduled.{number}",
        f"pick-up while {number:,} queues have a job each that is due tomorrow",
        {P50: Measure(), P99: Measure([at_most(p99)])},
    )
    def take(bench: Bench) -> Reading:
        def fill(schema: str) -> None:
            tomorrow = "clock_timestamp() + interval '1 day'"
            bench.cluster.fill(schema, number, types=["probe"], queues=lanes(number), run_at=tomorrow)

        return pick_up(bench, bench.samples(1_000), fill=fill)


_pick_up_beside(1_000, 5)
_pick_up_beside(10_000, 10)


@figure(
    "lanes.unserved",
    "pick-up while 10,000 types that nobody serves have a due job each",
    {P50: Measure(), P99: Measure([at_most(10)])},
)
def unserved(bench: Bench) -> Reading:
    return pick_up(bench, bench.samples(1_000), fill=lambda schema: bench.cluster.fill(schema, 10_000, types=lanes(10_000)))


@figure(
    "lanes.behind",
    "pick-up while 1,000,000 due jobs of a queue and a type that nobody serves wait in front",
    {P50: Measure(), P99: Measure([at_most(20)])},
)
def behind(bench: Bench) -> Reading:
    return pick_up(bench, bench.samples(1_000), waking=5, fill=lambda schema: _fill_foreign(bench, schema))


@figure(
    "lanes.drain.behind",
    "drain 100,000 jobs behind these 1,000,000",
    {"jobs/s": Measure([at_least(0.9, of=TEN)])},
)
def drain_behind(bench: Bench) -> Reading:
    with bench.cluster.schema() as schema:
        _fill_foreign(bench, schema)
        return drain(bench, bench.jobs(100_000), schema=schema)


def _fill_foreign(bench: Bench, schema: str) -> None:
    bench.cluster.fill(schema, bench.jobs(1_000_000), types=[FOREIGN], queues=[FOREIGN])


def _drain_over(name: str, title: str, share: float, **over: Any) -> None:
    @figure(f"lanes.drain.{name}", f"drain 100,000 jobs, 10 workers, {title}", {"jobs/s": Measure([at_least(share, of=TEN)])})
    def take(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(100_000), **over)


_drain_over("queues", "10,000 queues", 0.5, queues=lanes(10_000))
_drain_over("mixed", "100 queues and 100 priorities", 0.7, queues=lanes(100), priorities=range(1, 101))


def _sleeping_over(number: int) -> None:
    bars = [] if number == 1 else [at_least(0.95, of=("lanes.sleeping.1", "jobs/s"))]
    wal = [] if number == 1 else [at_most(2, of=("lanes.sleeping.1", "B of WAL a job"))]
    many = "one queue" if number == 1 else f"{number:,} queues"

    @figure(
        f"lanes.sleeping.{number}",
        f"10,000 jobs of 50 ms, 10 workers, {many}",
        {"jobs/s": Measure(bars), "B of WAL a job": Measure(wal)},
        full_only=True,
    )
    def take(bench: Bench) -> Reading:
        reading = drain(bench, bench.jobs(10_000), queues=lanes(number), sleep=0.05)
        return Reading(reading.measures | {"B of WAL a job": reading.details["wal_a_job"]}, reading.details)


for _number in (1, 1_000, 10_000):
    _sleeping_over(_number)
