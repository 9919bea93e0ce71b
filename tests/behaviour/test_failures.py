"""failures(): the newest failed jobs, by their error."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import JobManager


def fail(manager: JobManager, conn: psycopg.Connection, schema: str, number: int, **options: Any) -> None:
    """So many jobs that failed an hour ago, each with an error of its own number."""
    jobs = manager.create_many([("mail", {"n": n}) for n in range(number)], **options)
    update = (
        f"update {schema}.job set status = 'failed', attempts = 1, max_attempts = 1, completed_at = now() - interval '1 hour', "
        "error = 'OSError: no route to host ' || (payload->>'n') where uid = any(%s)"
    )
    conn.execute(update.encode(), [[job.uid for job in jobs]])


def test_failed_jobs_are_counted_by_type_and_error(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    fail(manager, conn, schema, 5, tags={"tenant": 7})
    fail(manager, conn, schema, 2, queue="q")
    conn.execute(f"update {schema}.job set error = null where queue = 'q'".encode())
    manager.create("mail")
    first, second = manager.failures()
    assert (first.type, first.jobs, first.error) == ("mail", 5, "OSError: no route to host …")
    assert (second.jobs, second.error) == (2, "")
    sample = manager.find(first.sample)
    assert sample is not None
    assert sample.error == "OSError: no route to host 4"
    assert manager.retry_all(status="failed", type=first.type, error=first.part, dry_run=True).done == 5
    assert [one.jobs for one in manager.failures(queue="q")] == [2]
    assert [one.jobs for one in manager.failures(tags={"tenant": 7})] == [5]
    assert sum(one.jobs for one in manager.failures(limit=3)) == 3
    assert manager.failures(type="other") == []
    now = datetime.now(UTC)
    assert len(manager.failures(now - timedelta(hours=2))) == 2
    assert manager.failures(now - timedelta(minutes=30)) == []


@pytest.mark.parametrize(
    "wrong", [{"since": "1h"}, {"type": 7}, {"queue": ""}, {"tags": []}, {"limit": 0}, {"limit": 10_001}], ids=str
)
def test_wrong_arguments_are_refused_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        JobManager("host=nowhere").failures(**wrong)
