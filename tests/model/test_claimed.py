"""The row of a claimed job, and the Job that it becomes."""

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from steve import Status
from steve._model.json import decode, decode_or_text
from tests.rows import NOON, claimed

CLAIMED = claimed(
    queue="mail",
    priority=5,
    error="before",
    attempts=2,
    crashes=1,
    backoff_strategy="none",
    lease_no=4,
    claimed_at=NOON + timedelta(hours=1),
    run_at=NOON + timedelta(minutes=1),
    started_at=NOON + timedelta(minutes=2),
)


def test_a_claimed_row_becomes_the_job_that_the_handler_gets() -> None:
    job = CLAIMED.job(decode, Status.RUNNING)
    assert dataclasses.asdict(job) == {
        "uid": UUID(int=7),
        "queue": "mail",
        "type": "a",
        "priority": 5,
        "payload": {"n": [1]},
        "result": None,
        "error": "before",
        "status": "running",
        "attempts": 2,
        "crashes": 1,
        "max_attempts": 3,
        "backoff_strategy": "none",
        "created_at": NOON,
        "updated_at": CLAIMED.claimed_at,
        "run_at": CLAIMED.run_at,
        "claimed_at": CLAIMED.claimed_at,
        "started_at": CLAIMED.started_at,
        "completed_at": None,
        "unique": None,
        "tags": {},
        "metadata": {},
        "timeout": None,
        "expires_at": None,
        "cancel_asked_at": None,
        "duplicate": False,
        "progress": None,
    }


def test_what_few_jobs_have_is_part_of_the_job() -> None:
    extras = (
        '{"unique": "a key", "tags": {"tenant": "acme"}, "metadata": {"trace": 1}, "timeout": 30,'
        ' "expires_at": "2026-03-01T12:00:00+01:00", "cancel_asked_at": null, "forgiven": 2}'
    )
    job = CLAIMED._replace(extras=extras).job(decode, Status.RUNNING)
    assert (job.unique, job.tags, job.metadata, job.timeout) == ("a key", {"tenant": "acme"}, {"trace": 1}, 30)
    assert job.expires_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert (job.cancel_asked_at, job.duplicate) == (None, False)


def test_each_job_made_of_a_claimed_row_has_a_payload_of_its_own() -> None:
    one, other = (CLAIMED.job(decode, Status.RUNNING) for _ in range(2))
    one.payload["n"].append(2)
    assert other.payload == {"n": [1]}
    empty = CLAIMED._replace(payload="{}")
    empty.job(decode, Status.RUNNING).payload["n"] = 1
    assert empty.job(decode, Status.RUNNING).payload == {}


def test_what_is_known_later_replaces_what_was_claimed() -> None:
    job = CLAIMED.job(decode, Status.FAILED, error="no", completed_at=NOON)
    assert (job.status, job.error, job.completed_at, job.attempts) == ("failed", "no", NOON, 2)


def test_a_payload_that_cannot_be_decoded_raises_or_stays_text() -> None:
    """It raises for the run, and stays text where the job is only shown."""
    row = CLAIMED._replace(payload='{"n":' + "1" * 5_000 + "}")
    with pytest.raises(ValueError, match="digits"):
        row.job(decode, Status.RUNNING)
    assert row.job(decode_or_text, Status.FAILED).payload == row.payload  # type: ignore[comparison-overlap]


def test_the_key_of_a_claim_is_the_uid_and_the_lease_number() -> None:
    assert CLAIMED.key() == (UUID(int=7), 4)
