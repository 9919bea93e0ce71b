"""Events made by hand, and the outcomes that they tell of."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from steve import Status
from steve._engine.events.event import Event
from steve._model.claimed import Claimed, Settled
from steve._model.outcome import NotBegun, Outcome, Raised, Returned, Snoozed, Unusable, judge

AT = datetime(2026, 1, 1, tzinfo=UTC)

BEGUN = None
DONE = Returned('{"n": 1}')
AGAIN = Raised("RuntimeError: no", "Traceback ...")
FAILED = Unusable("ResultNotStorable: no")
SNOOZED = Snoozed(1.0)
GIVEN_BACK = NotBegun()


def later(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def claimed(number: int = 1, type: str = "a", payload: str = '{"list": [1]}', attempts: int = 1) -> Claimed:
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        UUID(int=number), "mail", type, 5, payload, "the last error", attempts, 0, *retry, lease_no=7,
        claimed_at=later(2), created_at=AT, run_at=later(1), started_at=None,
    )  # fmt: skip


def event(outcome: Outcome | None, job: Claimed | None = None) -> Event:
    """A run that begins (None), or that ended with this outcome."""
    job = claimed() if job is None else job
    if outcome is None:
        return Event(job, "host:1", None, None)
    verdict = judge(job, outcome, begun=0.0)
    completed_at = later(4) if verdict.status is not Status.PENDING else None
    run_at = later(1) if completed_at else later(6)
    return Event(job, "host:1", verdict, Settled(run_at, later(3), later(4), completed_at, later(3)))
