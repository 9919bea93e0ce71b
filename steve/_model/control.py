"""Which calls can change a job of which status, and what to say otherwise. Pure."""

from __future__ import annotations

from steve.job import Job, Status

ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

POSSIBLE: dict[str, tuple[Status, ...]] = {
    "cancel": (Status.PENDING, Status.RUNNING),
    "retry": (Status.FAILED, Status.CANCELLED),
    "reschedule": (Status.PENDING,),
    "set_priority": (Status.PENDING,),
    "delete": ENDED,
}
"""By the name of the call. `retry(completed=True)` can also change completed jobs."""

_RUNS = "it runs now: cancel(job) asks it to stop, and what it then becomes can be changed"
_ENDED = "it has ended: retry(job{}) makes it pending again"
_INSTEAD = {
    ("cancel", Status.COMPLETED): "there is nothing left to stop; delete(job) removes it",
    ("cancel", Status.FAILED): "there is nothing left to stop; delete(job) removes it",
    ("cancel", Status.CANCELLED): "it is cancelled already; delete(job) removes it, retry(job) makes it pending again",
    ("retry", Status.PENDING): "it will run anyway; reschedule(job, delay=0) makes it due now",
    ("retry", Status.RUNNING): _RUNS,
    ("retry", Status.COMPLETED): "retry(job, completed=True) runs it again although it succeeded",
    ("delete", Status.PENDING): "cancel(job) first",
    ("delete", Status.RUNNING): "cancel(job) first, and delete it when it has ended",
    **{(call, Status.RUNNING): _RUNS for call in ("reschedule", "set_priority")},
    **{
        (call, status): _ENDED.format(", completed=True" if status is Status.COMPLETED else "")
        for call in ("reschedule", "set_priority")
        for status in ENDED
    },
}


def possible(call: str, *, completed: bool = False) -> tuple[Status, ...]:
    """The statuses of the jobs that the call can change. `completed`: as in `retry`."""
    return (*POSSIBLE[call], Status.COMPLETED) if call == "retry" and completed else POSSIBLE[call]


def refusal(call: str, job: Job) -> str:
    """Why the call cannot change this job, and what works instead."""
    known = _INSTEAD.get((call, job.status))  # type: ignore[arg-type]  # newer code may have written another status
    return f"{call}: job {job.uid} is {job.status}{f': {known}' if known else ''}"


def key_refusal(job: Job, holder: Job) -> str:
    """Why a job cannot be retried: another one has its unique key now."""
    return (
        f"retry: job {job.uid} has the unique key {job.unique!r}, which job {holder.uid} has now ({holder.status}): "
        "retry it when that one has ended, or cancel that one first"
    )


def cancelled_error(reason: str | None) -> str:
    """The `error` of a job that was cancelled."""
    return "Cancelled" if reason is None else f"Cancelled: {reason}"
