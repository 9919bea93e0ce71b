"""Where a settlement is written down, and how it is recognised after its reply was lost: by the attempt's row in the log or,
where a first attempt succeeded, by the job's own row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

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
            "values ('a', 'running', 1, %s, %s, %s, %s) returning id, uid",
            [job.attempts, job.lease_no, job.claimed_at, job.started_at],
        ).fetchone()
        assert row is not None
        return job._replace(id=row[0], uid=row[1])

    return claim


def verdict(job: Claimed, outcome: Outcome) -> Verdict:
    return judge(job, outcome, None if isinstance(outcome, NotBegun) else time.monotonic())


def settle(settlement: SettlementStatements, conn: psycopg.Connection, verdicts: list[Verdict]) -> dict[int, Settled | None]:
    return settlement.settle_jobs(conn, "host:1", verdicts, time.monotonic(), False, True)


def logged(conn: psycopg.Connection, schema: str) -> list[tuple[int, str]]:
    return conn.execute(f"select job_id, status from {schema}.attempt order by job_id").fetchall()


def change(conn: psycopg.Connection, schema: str, job: Claimed, columns: str) -> None:
    conn.execute(f"update {schema}.job set {columns} where id = %s".encode(), [job.id])


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
    assert settlement.find_settled(conn, verdicts) == {}
    written = settle(settlement, conn, verdicts)
    assert sorted(written) == [1, 2, 3, 4, 5]
    assert logged(conn, schema) == [(second.id, "success"), (error.id, "error")]
    # A snooze, and a job that is given back, leave nothing that could tell.
    assert settlement.find_settled(conn, verdicts) == {place: written[place] for place in (1, 3, 5)}


FINISHED = "status = 'completed', process_id = null, completed_at = now()"


@pytest.mark.parametrize(
    "columns",
    [
        FINISHED,
        f"{FINISHED}, process = 'host:2', claimed_at = claimed_at + interval '1 microsecond'",
        f"{FINISHED}, process = 'host:2', lease_no = lease_no + 1",
    ],
    ids=["by hand", "in another life of its id", "by another process"],
)
def test_a_job_that_was_finished_otherwise_is_not_taken_for_settled(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str, columns: str
) -> None:
    job = claim()
    change(conn, schema, job, columns)
    one = verdict(job, Returned("1"))
    assert settle(settlement, conn, [one]) == {}
    assert settlement.find_settled(conn, [one]) == {}


def test_of_a_job_that_succeeded_at_once_the_log_is_not_asked(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    """A row under its lease was left by another life of its id, or was written by hand, though it looks younger."""
    job = claim()
    conn.execute(
        f"insert into {schema}.attempt (job_id, lease_no, number, process, started_at, completed_at, status) "
        "values (%s, 1, 1, 'host:2', now(), now() + interval '1 day', 'error')",
        [job.id],
    )
    verdicts = [verdict(job, Returned("1"))]
    written = settle(settlement, conn, verdicts)
    assert settlement.find_settled(conn, verdicts) == written
