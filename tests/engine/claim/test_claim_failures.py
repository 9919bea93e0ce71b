"""Claims that fail halfway: none of the jobs that they brought is forgotten."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from steve._database.failures import Transient
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.claimer import Claimer
from steve._engine.claim.neighbours import Neighbours
from steve._engine.claim.schedule import ClaimSchedule
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.upkeep.outage import Outage
from steve._engine.work.handlers import Handlers
from steve._model.claim import ClaimReply, Demand
from steve._model.claimed import Claimed
from steve._model.tuning import Tuning

TUNING = Tuning()


def claimed(number: int) -> Claimed:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        UUID(int=number), "default", "a", 0, "{}", None, 1, 0, *retry, lease_no=1,
        claimed_at=at, created_at=at, run_at=at, started_at=None,
    )  # fmt: skip


class OneJob:
    """`ClaimPort`: has claimed one job."""

    def __init__(self) -> None:
        self.job = claimed(1)

    def claim(self, demand: Demand) -> ClaimReply:
        return ClaimReply([self.job], None, scan_seconds=0.0, ends={})

    def serves(self, queue: str) -> bool:
        return True

    def find_claimed(self, answered: Sequence[datetime]) -> list[Claimed]:
        return [] if self.job.claimed_at in answered else [self.job]


class BrokenOffOnce(ClaimSizer):
    """Something raises an exception into the thread while the first claim is measured."""

    is_broken_off = False

    def claimed(self, jobs: Sequence[Claimed]) -> float:
        if not self.is_broken_off:
            self.is_broken_off = True
            raise SystemExit
        return super().claimed(jobs)


def make_claimer(database: OneJob, sizer: type[ClaimSizer] = ClaimSizer) -> Claimer:
    return Claimer(
        database=database,
        buffer=JobBuffer(put_verdict=lambda verdict: None, tuning=TUNING),
        schedule=ClaimSchedule(poll_interval=60.0, tuning=TUNING),
        sizer=sizer(handlers=Handlers(None, {"a": print}), workers=1, tuning=TUNING),
        outage=Outage(),
        neighbours=Neighbours(tuning=TUNING),
    )


def test_jobs_of_a_claim_that_is_broken_off_before_they_are_in_the_buffer_are_asked_for() -> None:
    claimer = make_claimer(OneJob(), BrokenOffOnce)
    with pytest.raises(SystemExit):
        claimer.refill(1)
    assert claimer.recover() == 1
    assert [job.uid.int for job in claimer.buffer.jobs()] == [1]


class OnlyLostJobs(OneJob):
    """Says what a claim took whose reply was lost, and fails right after."""

    def claim(self, demand: Demand) -> ClaimReply:
        raise Transient("away")


def test_jobs_that_a_question_brought_are_counted_although_the_claim_after_it_fails() -> None:
    """Otherwise no parked worker would be given a turn for them."""
    claimer = make_claimer(OnlyLostJobs())
    claimer.in_doubt.lose()
    assert claimer.refill(1) == 1
    assert [job.uid.int for job in claimer.buffer.jobs()] == [1]
