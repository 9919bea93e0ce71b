"""Where a settlement is written down, and how it is recognised after its reply was lost: by the attempt's row in the log or,
where a first attempt succeeded, by the job's own row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import JobManager
from steve._database.statements import statements_for
from steve._database.statements.settlement import SettlementStatements
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import NotBegun, Outcome, Raised, Returned, Snoozed, Verdict, judge
from steve._model.settings import Settings
from tests.rows import claimed

CLAIMED_AT = datetime(2026, 1, 1, tzinfo=UTC)

Claim = Callable[..., Claimed]


@pytest.fixture
def settlement(schema: str) -> SettlementStatements:
    return statements_for(Settings(schema=schema)).settlement


@pytest.fixture
def claim(manager: JobManager, conn: psycopg.Connection, schema: str) -> Claim:
    """`claim(attempts=2, started_at=...)`: a new job that a process holds, with these columns."""

    def claim(**columns: Any) -> Claimed:
        job = claimed(claimed_at=CLAIMED_AT, **columns)
        row = conn.execute(
            f"insert into {schema}.job (type, status, process_id, attempts, lease_no, claimed_at, started_at) "
            "values ('a', 'running', 1, %s, %s, %s, %s) returning uid",
            [job.attempts, job.lease_no, job.claimed_at, job.started_at],
        ).fetchone()
        assert row is not None
        return job._replace(uid=row[0])

    return claim


def verdict(job: Claimed, outcome: Outcome) -> Verdict:
    return judge(job, outcome, None if isinstance(outcome, NotBegun) else time.monotonic())


def settle(settlement: SettlementStatements, conn: psycopg.Connection, verdicts: list[Verdict]) -> dict[int, Settled | None]:
    return settlement.settle_jobs(conn, "host:1", verdicts, time.monotonic(), False, True)


def logged(conn: psycopg.Connection, schema: str) -> list[tuple[UUID, str]]:
    return conn.execute(f"select job_uid, status from {schema}.attempt order by job_uid").fetchall()


def found(settlement: SettlementStatements, conn: psycopg.Connection, verdicts: list[Verdict]) -> dict[int, Settled | None]:
    return settlement.find_settled(conn, "host:1", verdicts)


def log(conn: psycopg.Connection, schema: str, job: Claimed, process: str, ago: timedelta, status: str = "error") -> None:
    """Add a row under the job's lease, of an attempt that ended so long ago."""
    conn.execute(
        f"insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
        "values (%s, %s, 1, %s, now() - %s, now() - %s, %s)",
        [job.uid, job.lease_no, process, ago, ago, status],
    )


def change(conn: psycopg.Connection, schema: str, job: Claimed, columns: str) -> None:
    conn.execute(f"update {schema}.job set {columns} where uid = %s".encode(), [job.uid])


BEFORE = {"attempts": 2, "lease_no": 2, "started_at": CLAIMED_AT}
"""Of a job that had begun before."""


def test_a_settlement_is_recognised_by_what_it_wrote_with_the_same_times(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    first, second, error = claim(), claim(**BEFORE), claim()
    verdicts = [
        verdict(first, Returned("1")),
        verdict(claim(), Snoozed(5.0)),
        verdict(second, Returned(None)),
        verdict(claim(), NotBegun()),
        verdict(error, Raised("no", "why")),
    ]
    assert found(settlement, conn, verdicts) == {}
    written = settle(settlement, conn, verdicts)
    assert sorted(written) == [1, 2, 3, 4, 5]
    assert logged(conn, schema) == [(second.uid, "success"), (error.uid, "error")]
    # A snooze, and a job that is given back, leave nothing that could tell.
    assert found(settlement, conn, verdicts) == {place: written[place] for place in (1, 3, 5)}


FINISHED = "status = 'completed', process_id = null, completed_at = now()"


@pytest.mark.parametrize(
    "columns",
    [
        FINISHED,
        f"{FINISHED}, process = 'host:1', lease_no = lease_no + 1",
        f"{FINISHED}, process = 'host:1', claimed_at = claimed_at + interval '1 microsecond'",
        f"{FINISHED}, process = 'host:2'",
    ],
    ids=["by hand", "at a later claim", "at a claim under the same lease", "by another process that claimed at the same time"],
)
def test_a_job_that_was_finished_otherwise_is_not_taken_for_settled(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str, columns: str
) -> None:
    job = claim()
    change(conn, schema, job, columns)
    one = verdict(job, Returned("1"))
    assert settle(settlement, conn, [one]) == {}
    assert found(settlement, conn, [one]) == {}


def test_of_a_job_that_succeeded_at_once_the_log_is_not_asked(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    """A row under its lease was left from another life of the job, or was written by hand, though it looks younger."""
    job = claim()
    log(conn, schema, job, "host:1", -timedelta(days=1))
    verdicts = [verdict(job, Returned("1"))]
    written = settle(settlement, conn, verdicts)
    assert found(settlement, conn, verdicts) == written


def test_an_attempt_counts_only_if_this_process_made_it_after_its_claim_and_no_rescue_wrote_it(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    """After a failover another process may claim a job under the lease_no by which this process still runs it."""
    own, of_another, rescued, older = (claim(**BEFORE) for _ in range(4))
    log(conn, schema, own, "host:1", timedelta(0))
    log(conn, schema, of_another, "host:2", timedelta(0))
    log(conn, schema, rescued, "host:1", timedelta(0), "crashed")
    log(conn, schema, older, "host:1", timedelta(days=36_500))
    assert list(found(settlement, conn, [verdict(job, Returned("1")) for job in (own, of_another, rescued, older)])) == [1]
