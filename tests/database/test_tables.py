"""The tables refuse rows that neither steve nor Python could hold, however they are written."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, uuid4

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from steve._client.enqueue import ticks_at, uuid7
from steve._database.execute import quoted
from tests.conftest import until

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def table(manager: JobManager, schema: str) -> sql.Identifier:
    return sql.Identifier(schema, "job")


def test_a_row_with_a_uid_and_a_type_is_a_job(
    manager: JobManager, conn: psycopg.Connection, table: sql.Identifier, schema: str
) -> None:
    uid = uuid4()
    conn.execute(sql.SQL("insert into {} (uid, type) values (%s, 'a')").format(table), [uid])
    job = manager.find(uid)
    assert (job.queue, job.priority, job.payload, job.status) == ("default", 0, {}, "pending")
    assert (job.attempts, job.crashes, job.max_attempts, job.backoff_strategy) == (0, 0, 3, "exp")
    manager.set_handler("a", lambda job: "done")
    manager.start()
    until(lambda: manager.find(uid).status == "completed")


def test_the_uid_of_a_row_by_plain_sql_has_its_place_among_those_that_steve_makes(
    manager: JobManager, conn: psycopg.Connection, table: sql.Identifier
) -> None:
    """To a part of a millisecond."""
    insert = sql.SQL("insert into {} (type) values ('a') returning statement_timestamp(), uid, clock_timestamp()").format(table)
    for _ in range(100):
        ((begun, uid, ended),) = conn.execute(insert).fetchall()
        assert (uid.version, uid.variant) == (7, RFC_4122)
        first, last = (ticks_at((at - EPOCH) // timedelta(microseconds=1) * 1_000) for at in (begun, ended))
        assert uuid7(first, 0) <= uid.int <= uuid7(last, 2**64 - 1)


IMPOSSIBLE = [
    "uid = null",
    "type = ''",
    "type = null",
    "type = repeat('x', 256)",
    "queue = ''",
    "queue = null",
    "queue = repeat('x', 256)",
    "priority = 101",
    "priority = -101",
    "priority = null",
    "payload = null",
    "payload = 'null'",
    "payload = '[]'",
    """payload = '"text"'""",
    "payload = '1'",
    "status = null",
    "status = ''",
    "status = 'done'",
    "status = 'Pending'",
    "status = 'running'",  # by no process
    "process_id = 1",  # held, but not running
    "status = 'completed'",  # at no time
    "status = 'failed'",
    "status = 'cancelled'",
    "completed_at = now()",  # but pending
    "status = 'running', process_id = 1, completed_at = now()",
    "status = 'completed', process_id = 1, completed_at = now()",
    "process = 'p'",  # of its only attempt, but pending
    "status = 'failed', completed_at = now(), process = 'p'",
    "attempts = -1",
    "attempts = null",
    "attempts = 1000000001",
    "crashes = 1",  # of no attempt
    "crashes = -1",
    "attempts = 20000, crashes = 10001",
    "max_attempts = 0",
    "max_attempts = -1",
    "max_attempts = 10001",
    "max_attempts = null",
    "backoff_strategy = 'linear'",
    "backoff_strategy = null",
    "backoff_base = 0.5",
    "backoff_base = 1001",
    "backoff_base = 'NaN'",
    "backoff_max = -1",
    "backoff_max = 31536001 * 2",
    "backoff_max = 'Infinity'",
    "backoff_max = 'NaN'",
    "backoff_jitter = -0.1",
    "backoff_jitter = 1.1",
    "backoff_jitter = 'NaN'",
    "lease_no = -1",
    "lease_no = null",
    *(f"{column} = '9999-01-01'" for column in ("run_at", "created_at")),
    *(
        f"{column} = '{time}'"
        for column in ("run_at", "created_at", "updated_at", "claimed_at", "started_at")
        for time in ("infinity", "-infinity", "10000-01-01", "0044-03-15 BC")
    ),
    "run_at = null",
    "created_at = null",
    "updated_at = null",
    "status = 'completed', completed_at = 'infinity'",
]
"""Python or steve could not hold these: one such row would spoil every page and every claim that it is on."""


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_an_impossible_job_is_refused(
    change: str, manager: JobManager, conn: psycopg.Connection, table: sql.Identifier
) -> None:
    job = manager.create("a")
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)):
        conn.execute(sql.SQL("update {} set {}").format(table, sql.SQL(change)))
    assert manager.find(job) == job


def test_a_uid_names_one_job(manager: JobManager, conn: psycopg.Connection, table: sql.Identifier) -> None:
    job = manager.create("a")
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute(sql.SQL("insert into {} (uid, type) values (%s, 'a')").format(table), [job.uid])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("status = 'running'", psycopg.errors.CheckViolation),
        ("status = 'failed'", psycopg.errors.CheckViolation),
        ("status = null", psycopg.errors.NotNullViolation),
        ("number = null", psycopg.errors.NotNullViolation),
        ("process = null", psycopg.errors.NotNullViolation),
        ("started_at = null", psycopg.errors.NotNullViolation),
        ("completed_at = null", psycopg.errors.NotNullViolation),
        ("lease_no = 1", psycopg.errors.UniqueViolation),  # of two attempts
    ],
)
def test_an_impossible_attempt_is_refused(
    change: str, error: type[Exception], manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(
        f"insert into {quoted(schema)}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
        "select '00000000-0000-7000-8000-000000000001', n, n, 'p', now(), now(), 'error' from generate_series(1, 2) as n"
    )
    with pytest.raises(error):
        conn.execute(f"update {quoted(schema)}.attempt set {change}".encode())
