"""What a job is: Status and AttemptStatus as text, the frozen values, and the claimed row that becomes a Job."""

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import steve
from steve import Attempt, AttemptStatus, Job, NewJob, Status
from steve._model.json import decode, decode_or_text
from steve._model.claimed import Claimed

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)

JOB = Job(
    id=7,
    uid=UUID(int=7),
    queue="default",
    type="a",
    priority=0,
    payload={"n": [1]},
    result=[{"m": 2}],
    error=None,
    status=Status.COMPLETED,
    attempts=1,
    crashes=0,
    max_attempts=3,
    backoff_strategy="exp",
    created_at=NOON,
    updated_at=NOON,
    run_at=NOON,
    claimed_at=NOON,
    started_at=NOON,
    completed_at=NOON,
)
ATTEMPT = Attempt(7, 1, "host:1", NOON, NOON, AttemptStatus.ERROR, "ValueError: no", "Traceback ...")
NEW = NewJob("a", {"n": [1]})
CLAIMED = Claimed(
    id=7,
    uid=UUID(int=7),
    queue="mail",
    type="a",
    priority=5,
    payload='{"n":[1]}',
    error="before",
    attempts=2,
    crashes=1,
    max_attempts=3,
    backoff_strategy="none",
    backoff_base=2.0,
    backoff_max=3600.0,
    backoff_jitter=0.0,
    lease_no=4,
    claimed_at=NOON + timedelta(hours=1),
    created_at=NOON,
    run_at=NOON + timedelta(minutes=1),
    started_at=NOON + timedelta(minutes=2),
)

VALUES = pytest.mark.parametrize("value", [JOB, ATTEMPT, NEW], ids=["Job", "Attempt", "NewJob"])


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status.PENDING, "pending"),
        (Status.RUNNING, "running"),
        (Status.COMPLETED, "completed"),
        (Status.FAILED, "failed"),
        (Status.CANCELLED, "cancelled"),
        (AttemptStatus.RUNNING, "running"),
        (AttemptStatus.SUCCESS, "success"),
        (AttemptStatus.ERROR, "error"),
        (AttemptStatus.CRASHED, "crashed"),
    ],
)
def test_a_status_is_its_text(status: Status | AttemptStatus, text: str) -> None:
    assert status == text
    assert f"{status}" == text
    assert json.dumps(status) == f'"{text}"'
    assert type(status)(text) is status
    assert {text: 1}[status] == 1


def test_these_are_all_there_are() -> None:
    assert list(Status) == ["pending", "running", "completed", "failed", "cancelled"]
    assert list(AttemptStatus) == ["running", "success", "error", "crashed"]


@VALUES
def test_a_value_is_frozen_and_has_slots(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "b")
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        value.note = "b"
    assert not hasattr(value, "__dict__")


@VALUES
def test_a_value_is_equal_to_its_copy_and_has_its_hash(value: Any) -> None:
    for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dataclasses.replace(value)):
        assert twin == value
        assert hash(twin) == hash(value)


def test_jobs_that_differ_in_their_status_differ() -> None:
    assert dataclasses.replace(JOB, status=Status.FAILED) != JOB
    assert dataclasses.replace(JOB, payload={}) != JOB


def test_payload_and_result_do_not_count_in_the_hash_since_they_have_none() -> None:
    assert hash(dataclasses.replace(JOB, payload={"other": []}, result=None)) == hash(JOB)
    assert hash(dataclasses.replace(NEW, payload=None)) == hash(NEW)


def test_a_new_job_leaves_open_what_it_does_not_say() -> None:
    given = dataclasses.asdict(NewJob("a"))
    assert given.pop("type") == "a"
    assert set(given.values()) == {None}
    assert list(given) == ["payload", "max_attempts", "backoff_strategy", "run_at", "queue", "priority"]


@pytest.mark.parametrize("name", steve.__all__)
def test_a_public_name_says_that_it_comes_from_steve(name: str) -> None:
    thing = getattr(steve, name)
    assert isinstance(thing, str) or thing.__name__ == "current_run" or thing.__module__ == "steve"


def test_a_claimed_row_becomes_the_job_that_its_handler_gets() -> None:
    job = CLAIMED.job(decode, Status.RUNNING)
    assert dataclasses.asdict(job) == {
        "id": 7,
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
    }


def test_each_job_made_of_a_claimed_row_has_a_payload_of_its_own() -> None:
    one, other = (CLAIMED.job(decode, Status.RUNNING) for _ in range(2))
    one.payload["n"].append(2)
    assert other.payload == {"n": [1]}
    empty = CLAIMED._replace(payload="{}")
    empty.job(decode, Status.RUNNING).payload["n"] = 1
    assert empty.job(decode, Status.RUNNING).payload == {}


def test_what_is_known_by_now_takes_the_place_of_what_was_claimed() -> None:
    job = CLAIMED.job(decode, Status.FAILED, error="no", completed_at=NOON)
    assert (job.status, job.error, job.completed_at, job.attempts) == ("failed", "no", NOON, 2)


def test_a_payload_that_cannot_be_decoded_raises_where_it_is_to_be_run_and_is_text_where_it_is_shown() -> None:
    row = CLAIMED._replace(payload='{"n":' + "1" * 5_000 + "}")
    with pytest.raises(ValueError, match="digits"):
        row.job(decode, Status.RUNNING)
    assert row.job(decode_or_text, Status.FAILED).payload == row.payload  # type: ignore[comparison-overlap]
