"""Which calls can change a job of which status, and what an error says otherwise: every pair, as a table."""

from uuid import UUID

import pytest

from steve import Job, Status
from steve._model.control import POSSIBLE, cancelled_error, key_refusal, possible, refusal

UID = UUID(int=7)

TABLE = {
    "cancel": {
        "completed": "there is nothing left to stop; delete(job) removes it",
        "failed": "there is nothing left to stop; delete(job) removes it",
        "cancelled": "it is cancelled already; delete(job) removes it, retry(job) makes it pending again",
    },
    "retry": {
        "pending": "it will run anyway; reschedule(job, delay=0) makes it due now",
        "running": "it runs now: cancel(job) asks it to stop, and what it then becomes can be changed",
        "completed": "retry(job, completed=True) runs it again although it succeeded",
    },
    "reschedule": {
        "running": "it runs now: cancel(job) asks it to stop, and what it then becomes can be changed",
        "completed": "it has ended: retry(job, completed=True) makes it pending again",
        "failed": "it has ended: retry(job) makes it pending again",
        "cancelled": "it has ended: retry(job) makes it pending again",
    },
    "delete": {
        "pending": "cancel(job) first",
        "running": "cancel(job) first, and delete it when it has ended",
    },
}
TABLE["set_priority"] = TABLE["reschedule"]


def job(status: str, uid: UUID = UID) -> Job:
    return Job(uid, "q", "t", 0, {}, None, None, status, *[None] * 10, unique="k")  # type: ignore[arg-type, misc]


@pytest.mark.parametrize("status", [str(status) for status in Status])
@pytest.mark.parametrize("call", POSSIBLE)
def test_a_call_changes_a_job_or_says_what_works_instead(call: str, status: str) -> None:
    assert (status in possible(call)) is (status not in TABLE[call])
    if status in TABLE[call]:
        assert refusal(call, job(status)) == f"{call}: job {UID} is {status}: {TABLE[call][status]}"


def test_a_status_of_newer_code_is_named() -> None:
    assert refusal("cancel", job("resting")) == f"cancel: job {UID} is resting"


def test_completed_jobs_can_be_retried_if_that_is_asked() -> None:
    assert [call for call in POSSIBLE if "completed" in possible(call, completed=True)] == ["retry", "delete"]


def test_the_holder_of_a_key_is_named() -> None:
    text = key_refusal(job("failed"), job("running", UUID(int=8)))
    assert text.startswith(f"retry: job {UID} has the unique key 'k', which job {UUID(int=8)} has now (running): retry it when")


@pytest.mark.parametrize(("reason", "error"), [(None, "Cancelled"), ("why", "Cancelled: why")])
def test_the_error_of_a_cancelled_job_gives_the_reason(reason: str | None, error: str) -> None:
    assert cancelled_error(reason) == error
