"""Where a settlement is written down, and how it is recognised after its reply was lost: by the attempt's row in the log or,
where a first attempt succeeded, by the job's own row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import JobManager
from steve._database.failures import Transient, Unexplained
from steve._database.statements import statements_for
from steve._database.statements.completion import CompletionStatements, RunClaim
from steve._database.statements.settlement import SettlementStatements
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import CancelRaised, NotBegun, Outcome, Raised, Returned, Snoozed, Verdict, judge
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


# -- jobs that were to be cancelled -------------------------------------------------------------------------------------

ASKED = "cancel_asked_at = now(), cancel_reason = 'not needed'"

OUTCOMES: dict[str, Outcome] = {
    "it raised": Raised("ValueError: no", "why", error_type="builtins.ValueError"),
    "it gave up": Raised("Fail: no", None, error_type="steve.Fail", is_final=True),
    "it snoozed": Snoozed(5.0),
    "it was not begun": NotBegun(),
}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_a_settlement_honours_a_cancel_and_is_recognised_by_its_row_in_the_log(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str, outcome: Outcome
) -> None:
    job = claim()
    change(conn, schema, job, ASKED)
    verdicts = [verdict(claim(), Returned("1")), verdict(job, outcome)]
    written = settle(settlement, conn, verdicts)
    assert settlement.settle_jobs(conn, "host:1", verdicts, time.monotonic(), False, False) == {}
    assert written[1] is not None
    assert written[2] is not None
    assert written[2].cancelled is not None
    assert (written[1].cancelled, written[2].cancelled) == (None, "Cancelled: not needed")
    row = conn.execute(
        f"select status, error, attempts, lease_no, completed_at is not null, process_id from {schema}.job "
        "where uid = %s".encode(),
        [job.uid],
    ).fetchone()
    assert row == ("cancelled", "Cancelled: not needed", 1, job.lease_no, True, None)
    told = verdicts[1].cancelled(written[2].cancelled)
    assert conn.execute(
        f"select status, error_message, error_details, error_type, number, lease_no from {schema}.attempt".encode()
    ).fetchall() == [("cancelled", told.error, told.details, told.error_type, 1, job.lease_no)]
    assert found(settlement, conn, verdicts) == written


def test_the_times_of_a_cancelled_job_come_though_no_listener_asked_for_times(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    job = claim()
    change(conn, schema, job, "cancel_asked_at = now()")
    verdicts = [verdict(claim(), Returned("1")), verdict(job, Snoozed(5.0))]
    landed = settlement.settle_jobs(conn, "host:1", verdicts, time.monotonic(), False, False)
    assert landed[1] is None
    assert landed[2] is not None
    assert landed[2].cancelled == "Cancelled"
    assert landed[2].completed_at is not None


@pytest.mark.parametrize("outcome", [Returned("1"), CancelRaised("Cancelled: by itself", None)], ids=["returned", "cancelled"])
def test_a_job_that_completed_or_was_cancelled_by_its_handler_is_not_changed_by_a_cancel(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str, outcome: Outcome
) -> None:
    job = claim()
    change(conn, schema, job, ASKED)
    one = verdict(job, outcome)
    written = settle(settlement, conn, [one])[1]
    assert written is not None
    assert written.cancelled is None
    assert conn.execute(f"select status, error from {schema}.job").fetchall() == [(str(one.status), one.error)]


def test_a_row_that_a_rescue_wrote_for_a_cancelled_job_proves_no_settlement(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    job = claim()
    log(conn, schema, job, "host:1", timedelta(0), "cancelled")
    one = verdict(job, Raised("no", "why"))
    assert list(found(settlement, conn, [one])) == [1]
    conn.execute(f"update {schema}.attempt set error_type = 'steve.Crashed'".encode())
    assert found(settlement, conn, [one]) == {}


# -- rows that others have locked ---------------------------------------------------------------------------------------


@pytest.fixture
def other(conn: psycopg.Connection, database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of a user's, in whose transaction things stay locked until it is rolled back."""
    with psycopg.connect(database_url, application_name="another program") as other:
        yield other
        other.rollback()


def settle_unlocked(
    settlement: SettlementStatements, conn: psycopg.Connection, verdicts: list[Verdict]
) -> tuple[list[int], set[int]]:
    landed, locked = settlement.settle_unlocked(conn, "host:1", verdicts, time.monotonic(), False, False)
    return sorted(landed), set(locked)


def test_a_settlement_passes_locked_rows_by_and_tells_them_from_those_that_are_not_held(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, other: psycopg.Connection, schema: str
) -> None:
    jobs = [claim() for _ in range(6)]
    verdicts = [verdict(job, Returned("1")) for job in jobs]
    other.execute(f"update {schema}.job set metadata = '{{}}' where uid = any(%s)".encode(), [[jobs[1].uid, jobs[3].uid]])
    change(conn, schema, jobs[2], "lease_no = lease_no + 1")  # taken away
    conn.execute(f"delete from {schema}.job where uid = %s".encode(), [jobs[4].uid])
    assert settle_unlocked(settlement, conn, verdicts) == ([1, 6], {2, 4})
    assert settle_unlocked(settlement, conn, [verdicts[1]]) == ([], {1})
    other.rollback()
    assert settle_unlocked(settlement, conn, [verdicts[1], verdicts[3]]) == ([1, 2], set())


def test_a_settlement_passes_by_the_row_of_a_job_that_was_taken_away_and_is_locked(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, other: psycopg.Connection, schema: str
) -> None:
    job = claim()
    change(conn, schema, job, "lease_no = lease_no + 1")
    other.execute(f"update {schema}.job set metadata = '{{}}'".encode())
    assert settle_unlocked(settlement, conn, [verdict(job, Returned("1"))]) == ([], set())


@pytest.mark.parametrize("lock", ["for key share", "for share", "for no key update", "for update"])
def test_a_lock_that_does_not_hinder_the_settlement_hinders_it_not(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, other: psycopg.Connection, schema: str, lock: str
) -> None:
    one = verdict(claim(), Returned("1"))
    other.execute(f"select from {schema}.job {lock}".encode())
    assert settle_unlocked(settlement, conn, [one]) == (([1], set()) if lock == "for key share" else ([], {1}))


def test_a_lock_of_the_table_is_another_matter_than_a_lock_of_rows(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, other: psycopg.Connection, schema: str
) -> None:
    one = verdict(claim(), Returned("1"))
    conn.execute("set lock_timeout = '10ms'")
    other.execute(f"lock table {schema}.job in exclusive mode".encode())
    with pytest.raises(Transient) as caught:
        settle_unlocked(settlement, conn, [one])
    assert caught.value.sqlstate == "55P03"
    assert not isinstance(caught.value, Unexplained)
    other.rollback()
    other.execute(f"lock table {schema}.attempt in exclusive mode".encode())
    with pytest.raises(Unexplained) as unexplained:
        settle_unlocked(settlement, conn, [verdict(claim(), Raised("no", "why"))])
    assert unexplained.value.sqlstate == "55P03", "so that the settler looks for the verdict that is the cause"


@pytest.mark.parametrize("how", ["update {}.job set metadata = '{{}}'", "select from {}.job for update"])
def test_the_session_that_holds_a_lock_is_named(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, other: psycopg.Connection, schema: str, how: str
) -> None:
    jobs = [claim(), claim()]
    uids = [job.uid for job in jobs]
    assert settlement.find_blockers(conn, uids) == []
    other.execute(how.format(schema).encode())
    ((name, seconds),) = settlement.find_blockers(conn, uids)
    assert name.startswith(f"process {other.info.backend_pid} of PostgreSQL (another program, user ")
    assert name.endswith(", idle in transaction)")
    assert seconds is not None
    assert 0 <= seconds < 60
    other.rollback()
    with other.transaction(), other.transaction():  # the lock is one of a subtransaction
        other.execute(how.format(schema).encode())
        assert len(settlement.find_blockers(conn, uids)) == 1


# -- completions in a handler's transaction -----------------------------------------------------------------------------


@pytest.fixture
def completion(schema: str) -> CompletionStatements:
    return statements_for(Settings(schema=schema)).completion


def complete(completion: CompletionStatements, conn: psycopg.Connection, job: Claimed, result: str | None = "1") -> bool:
    claim = RunClaim(job.uid, job.lease_no, job.claimed_at, time.monotonic())
    return completion.complete_job(conn, "host:1", claim, result, tell=False)


def test_a_completion_writes_what_a_settlement_would_and_is_recognised(
    settlement: SettlementStatements, completion: CompletionStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    columns = (
        "status, result::text, error, process_id, lease_no, attempts, claimed_at, process, completed_at = updated_at, "
        "started_at <= completed_at"
    )

    def row(job: Claimed) -> Any:
        return conn.execute(f"select {columns} from {schema}.job where uid = %s".encode(), [job.uid]).fetchone()

    def attempts(job: Claimed) -> Any:
        query = (
            "select lease_no, number, process, status, error_message, error_details, error_type, started_at <= completed_at "
            f"from {schema}.attempt where job_uid = %s"
        )
        return conn.execute(query.encode(), [job.uid]).fetchall()

    for before in ({}, BEFORE):
        settled, completed = claim(**before), claim(**before)
        change(conn, schema, completed, "error = 'of an earlier attempt'")
        settle(settlement, conn, [verdict(settled, Returned("1"))])
        assert complete(completion, conn, completed)
        assert row(completed) == row(settled)
        assert attempts(completed) == attempts(settled)
        ((settled_at, is_kept, result),) = settlement.find_completed(
            conn, "host:1", [verdict(completed, Raised("no", "why"))]
        ).values()
        assert (is_kept, result) == (True, "1")
        assert settled_at.completed_at is not None
        assert settlement.find_completed(conn, "host:2", [verdict(completed, Returned("1"))]) == {}
        assert not complete(completion, conn, completed, "2")


def test_of_attempts_that_ended_otherwise_none_is_taken_for_a_completion(
    settlement: SettlementStatements, claim: Claim, conn: psycopg.Connection, schema: str
) -> None:
    """They were written by a settlement whose reply was lost, after the handler's transaction had been rolled back."""
    raised, cancelled = claim(), claim()
    change(conn, schema, cancelled, ASKED)
    verdicts = [verdict(raised, Raised("no", "why")), verdict(cancelled, Snoozed(5.0)), verdict(claim(), Snoozed(5.0))]
    assert sorted(settle(settlement, conn, verdicts)) == [1, 2, 3]
    assert settlement.find_completed(conn, "host:1", verdicts) == {}


@pytest.mark.parametrize("before", [{}, BEFORE], ids=["first attempt", "later attempt"])
def test_a_completion_is_recognised_though_the_job_was_retried_since(
    settlement: SettlementStatements, completion: CompletionStatements, claim: Claim, conn: psycopg.Connection, schema: str,
    manager: JobManager, before: dict[str, Any],
) -> None:  # fmt: skip
    job = claim(**before)
    assert complete(completion, conn, job)
    assert manager.retry(job.uid, completed=True) is not None
    ((_, is_kept, _),) = settlement.find_completed(conn, "host:1", [verdict(job, Returned("1"))]).values()
    assert not is_kept


def test_a_transaction_is_aborted_with_the_reason_in_the_servers_log(
    completion: CompletionStatements, manager: JobManager, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("create temporary table effect (note text)")
        connection.commit()
        connection.execute("insert into effect values ('no')")
        completion.abort_transaction(connection, "the job is lost")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("select 1")
        connection.commit()
        assert connection.execute("select count(*) from effect").fetchone() == (0,)
