"""Correct before fast: checks after each figure that runs jobs whether every job was done once and is in the log."""

from __future__ import annotations

from uuid import UUID

from .board import Board
from .cluster import NONE, Cluster


class WrongLedger(Exception):
    """The jobs of a figure were not stored, or not done, as they should be."""


def check(
    cluster: Cluster, schema: str, board: Board, jobs: int, *, after: UUID = NONE, retried: bool = False, told: bool = False
) -> None:
    """Raises WrongLedger unless each of the `jobs` numbered jobs with a uid above `after` completed, and its attempts
    are written down once each: in the log or, where the only one succeeded, in the job's row.

    `retried`: some attempts failed, so that jobs may have several. `told`: check that a listener was told of each job once.
    """
    of_jobs = (
        "with job as (select * from {schema}.job "
        "where uid > %(after)s and payload ? 'i' and (payload->>'i')::integer < %(jobs)s), "
    )
    found = cluster.execute(
        of_jobs + "ended as (select job_uid, number, status from {schema}.attempt where job_uid > %(after)s "
        "union all select uid, attempts, 'success' from job where process is not null), "
        "log as (select job_uid, count(*) as rows, count(*) filter (where status = 'success') as successes, "
        "max(number) as last from ended group by job_uid) "
        "select count(*), count(distinct payload->'i'), count(*) filter (where status = 'completed'), "
        "count(*) filter (where log.successes = 1), "
        "count(*) filter (where log.rows = attempts and log.last = attempts and (process is null or attempts = 1)), "
        "count(*) filter (where process_id is not null), coalesce(sum(attempts), 0)::bigint "
        "from job left join log on log.job_uid = job.uid",
        schema,
        {"after": after, "jobs": jobs},
    ).fetchone()
    assert found is not None
    stored, distinct, completed, succeeded, logged, held, attempts = found
    runs = sum(board.runs[:jobs])
    flaws = [
        f"{what}: {number:,} instead of {wanted:,}"
        for what, number, wanted in [
            ("jobs", stored, jobs),
            ("different jobs", distinct, jobs),
            ("completed", completed, jobs),
            ("with one successful attempt", succeeded, jobs),
            ("with each attempt written down once", logged, jobs),
            ("held by a process", held, 0),
            ("attempts", attempts, runs if retried else jobs),
            ("runs", runs, attempts),
            ("processes", cluster.one("select count(*) from {schema}.process", schema), 0),
        ]
        if number != wanted
    ]
    if told and (wrong := sum(count != 1 for count in board.told[:jobs])):
        flaws.append(f"{wrong:,} jobs of which the listener was not told once")
    if flaws:
        raise WrongLedger("; ".join(flaws))
