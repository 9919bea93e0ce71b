"""Creating: how many jobs a second a process of its own stores, compared with psycopg alone and pgbench."""

from __future__ import annotations

from typing import Any

from .figures import Bench, Measure, Reading, Ref, at_least, at_most, figure
from .ledger import WrongLedger
from .limits import BARE_1, BARE_8, COPY, INSERT_1, INSERT_8, SILENT_1, SILENT_8
from .options import CreatorOptions
from .processes import create


def created(bench: Bench, jobs: int, how: Any = "create", **options: Any) -> float:
    """Create the jobs, check that each was stored once, and return jobs a second. `options`: those of CreatorOptions."""
    cluster = bench.cluster
    with cluster.schema() as schema:
        cluster.freshen(schema)
        seconds = create(CreatorOptions(cluster.conninfo, schema, how, jobs, **options))
        stored = cluster.one(
            "select count(distinct (payload->>'i')::integer) from {schema}.job where type = 'noop' and status = 'pending'",
            schema,
        )
        if stored != jobs:
            raise WrongLedger(f"{stored:,} jobs were stored instead of {jobs:,}")
    return jobs / seconds


def _create_from(threads: int, jobs: int, share: float, bare: Ref, others: list[Ref]) -> None:
    many = "one thread" if threads == 1 else f"{threads} threads"

    @figure(
        f"create.{threads}",
        f"create one at a time, {many}, against psycopg alone",
        {"jobs/s": Measure([at_least(share, of=bare)], ratios=others)},
    )
    def take(bench: Bench) -> Reading:
        return Reading({"jobs/s": created(bench, bench.jobs(jobs), threads=threads)})


_create_from(1, 10_000, 0.85, BARE_1, [SILENT_1, INSERT_1])
_create_from(8, 20_000, 0.8, BARE_8, [SILENT_8, INSERT_8])


@figure(
    "create.many",
    "create_many of 100,000, against COPY",
    {"jobs/s": Measure([at_least(60_000), at_least(0.5, of=COPY)])},
)
def many(bench: Bench) -> Reading:
    return Reading({"jobs/s": created(bench, bench.jobs(100_000), "create_many")})


@figure(
    "create.notify",
    "32 threads creating, with NOTIFY against without",
    {"share of without": Measure([at_least(0.9)]), "jobs/s": Measure(ratios=[INSERT_8]), "jobs/s, without": Measure()},
)
def notify(bench: Bench) -> Reading:
    jobs = bench.jobs(20_000)
    without = created(bench, jobs, threads=32, notify=False)
    with_notify = created(bench, jobs, threads=32, notify=True)
    return Reading({"share of without": with_notify / without, "jobs/s": with_notify, "jobs/s, without": without})


@figure(
    "create.connection",
    "create on the caller's connection",
    {"statements a job": Measure([at_most(1)]), "jobs/s": Measure(ratios=[BARE_1])},
)
def on_connection(bench: Bench) -> Reading:
    jobs = 1_000
    cluster = bench.cluster
    with cluster.schema() as schema:
        conninfo = cluster.tracked("steve-bench-connection")
        before = cluster.statements()
        seconds = create(CreatorOptions(conninfo, schema, "connection", jobs))
        sent = {text: calls - before.get(text, (0, 0.0))[0] for text, (calls, _) in cluster.statements().items()}
        stored = cluster.one("select count(*) from {schema}.job", schema)
    if stored != jobs:
        raise WrongLedger(f"{stored:,} jobs were stored instead of {jobs:,}")
    # The transaction is the caller's: its begin and commit are not steve's.
    statements = sum(calls for text, calls in sent.items() if text.lower() not in ("begin", "commit"))
    return Reading({"statements a job": statements / jobs, "jobs/s": jobs / seconds})
