"""The job and the attempt that an event shows to listeners."""

from typing import Any
from uuid import UUID

import pytest

from steve import Attempt, AttemptStatus, Status
from steve._model.outcome import Outcome, Returned
from tests.engine.events.events import AGAIN, AT, BEGUN, DONE, FAILED, claimed, event, later


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        (
            BEGUN,
            {
                "status": "running",
                "error": "the last error",
                "updated_at": later(2),
                "claimed_at": later(2),
                "run_at": later(1),
            },
        ),
        (DONE, {"status": "completed", "error": None, "result": {"n": 1}, "claimed_at": later(2), "run_at": later(1)}),
        (Returned(None), {"status": "completed", "error": None, "result": None}),
        (AGAIN, {"status": "pending", "error": "RuntimeError: no", "result": None, "claimed_at": None, "run_at": later(6)}),
        (FAILED, {"status": "failed", "error": "ResultNotStorable: no", "result": None, "claimed_at": later(2)}),
    ],
    ids=["running", "completed", "completed without a result", "pending", "failed"],
)
def test_an_event_shows_the_job_as_the_database_has_it(outcome: Outcome | None, fields: dict[str, Any]) -> None:
    job = event(outcome).make_job()
    assert {name: getattr(job, name) for name in fields} == fields
    assert type(job.status) is Status
    always = (job.uid, job.queue, job.type, job.priority, job.payload, job.attempts, job.max_attempts, job.created_at)
    assert always == (UUID(int=1), "mail", "a", 5, {"list": [1]}, 1, 3, AT)
    if outcome is not BEGUN:
        assert (job.started_at, job.updated_at) == (later(3), later(4))
        assert job.completed_at == (None if job.status == "pending" else later(4))


def test_an_event_shows_the_attempt_as_it_begins_or_as_it_ended() -> None:
    assert event(BEGUN).make_attempt() == Attempt(UUID(int=1), 1, "host:1", later(2), None, AttemptStatus.RUNNING, None, None)
    assert event(DONE).make_attempt() == Attempt(
        UUID(int=1), 1, "host:1", later(3), later(4), AttemptStatus.SUCCESS, None, None
    )
    assert event(AGAIN, claimed(attempts=2)).make_attempt() == Attempt(
        UUID(int=1), 2, "host:1", later(3), later(4), AttemptStatus.ERROR, "RuntimeError: no", "Traceback ..."
    )
