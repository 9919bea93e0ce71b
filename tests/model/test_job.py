"""Status and AttemptStatus as text, and the frozen values that users get."""

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import steve
from steve import Attempt, AttemptStatus, Job, NewJob, Status

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)

JOB = Job(
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
ATTEMPT = Attempt(UUID(int=7), 1, "host:1", NOON, NOON, AttemptStatus.ERROR, "ValueError: no", "Traceback ...")
NEW = NewJob("a", {"n": [1]})
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


def test_these_are_all_statuses() -> None:
    assert list(Status) == ["pending", "running", "completed", "failed", "cancelled"]
    assert list(AttemptStatus) == ["running", "success", "error", "crashed", "cancelled"]


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


def test_the_payload_and_the_result_are_not_part_of_the_hash() -> None:
    assert hash(dataclasses.replace(JOB, payload={"other": []}, result=None)) == hash(JOB)
    assert hash(dataclasses.replace(NEW, payload=None)) == hash(NEW)


def test_a_new_job_leaves_open_what_it_does_not_say() -> None:
    given = dataclasses.asdict(NewJob("a"))
    assert given.pop("type") == "a"
    assert set(given.values()) == {None}
    assert list(given) == [
        "payload", "max_attempts", "backoff_strategy", "run_at", "queue", "priority",
        "delay", "unique", "on_conflict", "unique_for", "tags", "metadata", "expires_at", "expires_in", "timeout",
    ]  # fmt: skip


@pytest.mark.parametrize("name", steve.__all__)
def test_a_public_name_says_that_it_comes_from_steve(name: str) -> None:
    thing = getattr(steve, name)
    assert isinstance(thing, str) or thing.__name__ == "current_run" or thing.__module__ == "steve"
