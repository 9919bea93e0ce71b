"""When a claim is made, and what the other threads do meanwhile."""

import time
from datetime import UTC, datetime
from uuid import UUID

import pytest

from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Transient
from steve._engine.claim.watermarks import BEGINNING
from steve._model.claim import ClaimReply
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.claim.harness import FAR, TUNING, ClaimUnderWay, Harness, RealTimeHarness, claimed, raising, reply

# -- when a claim is made -------------------------------------------------------------------------------------------------


def test_the_first_claim_is_due_at_once_and_the_next_at_the_poll(harness: Harness) -> None:
    assert harness.claimer.wait(FAR)
    assert [harness.claims() for _ in range(3)] == [True, False, False]
    assert not harness.claimer.wait(0.01)
    assert FAR * 0.85 <= harness.seconds_to_next_claim() <= FAR


def test_the_poll_comes_by_chance_a_tenth_sooner_or_later() -> None:
    harness = Harness(poll=0.2)
    harness.settle_down()
    assert 0.18 <= harness.seconds_to_next_claim() <= 0.22 + 1e-6


def test_the_idle_worker_waits_until_the_poll_and_no_longer() -> None:
    harness = RealTimeHarness(poll=0.05)
    harness.settle_down()
    began = time.monotonic()
    assert harness.claimer.wait(FAR)
    assert time.monotonic() - began < FAR / 2


def test_a_wake_up_makes_a_claim_due_once(harness: Harness) -> None:
    harness.settle_down()
    for _ in range(5):
        harness.claimer.wake()
    assert harness.claimer.wait(FAR)
    assert [harness.claims() for _ in range(3)] == [True, False, False]


def test_a_wake_up_from_another_thread_ends_the_wait() -> None:
    harness = RealTimeHarness()
    harness.settle_down()
    waiting, answers = harness.wait_in_thread()
    harness.claimer.wake()
    waiting.join(30)
    assert answers == [True]


def test_the_next_due_job_of_the_reply_is_waited_for(harness: Harness) -> None:
    harness.database.answer = lambda: reply(due_in=0.2)
    harness.claimer.refill(2)
    assert harness.seconds_to_next_claim() == pytest.approx(0.2)


@pytest.mark.parametrize(("seconds", "at_once"), [(0.0, True), (-1.0, True), (0.2, False)])
def test_an_own_job_that_comes_due_is_waited_for(harness: Harness, seconds: float, at_once: bool) -> None:
    harness.settle_down()
    harness.claimer.schedule.expect(seconds)
    assert harness.claims() == at_once
    if not at_once:
        assert harness.seconds_to_next_claim() == pytest.approx(seconds)


def peeks(harness: Harness, *, woken: bool = False) -> bool:
    """Whether the next claim peeks: it is due at the poll, or a wake-up causes it."""
    if woken:
        harness.claimer.wake()
    else:
        harness.clock.now += 2 * FAR
    assert harness.claims()
    return harness.database.demands[-1].peek


AT = (datetime(2026, 1, 1, tzinfo=UTC), UUID(int=5))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (reply(), True),
        (reply()._replace(ends={0: None, 1: None}), True),
        (reply(1), False),
        (reply()._replace(ends={0: None, 1: AT}), False),
    ],
    ids=["nothing pending", "nothing due", "a job", "a due job of others"],
)
def test_a_poll_after_a_claim_that_saw_no_due_job_peeks(harness: Harness, last: ClaimReply, expected: bool) -> None:
    harness.database.answer = lambda: last
    assert not peeks(harness), "nothing is known yet"
    assert peeks(harness) == expected


def test_a_claim_after_a_wake_up_does_not_peek(harness: Harness) -> None:
    harness.settle_down()
    assert [peeks(harness), peeks(harness, woken=True), peeks(harness)] == [True, False, True]


def test_a_claim_above_the_watermarks_does_not_peek(harness: Harness) -> None:
    """While full scans are slow, a peek from the beginning would be, too."""
    harness.database.answer = lambda: reply()._replace(ends={0: None}, scan_seconds=2 * TUNING.slow_scan)
    harness.claimer.refill(2)
    harness.claimer.watermarks.looked({}, FAR)
    harness.clock.now += 2 * FAR
    assert not peeks(harness)
    assert harness.database.demands[-1].watermarks == {0: BEGINNING}


def test_an_own_job_that_is_due_later_than_the_next_claim_changes_nothing(harness: Harness) -> None:
    harness.settle_down()
    harness.claimer.schedule.expect(FAR * 2)
    assert not harness.claimer.wait(0.01)
    assert not harness.claims()


ONE, TWO = (claimed(number)._replace(crashes=1) for number in (1, 2))


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (reply(1), False),
        (reply(1)._replace(cut_off=True), True),
        (reply(1)._replace(left_over=[(0, (ONE.run_at, UUID(int=5)))]), True),
        # two workers are idle
        (reply()._replace(jobs=[ONE]), False),
        (reply()._replace(jobs=[ONE, TWO]), True),
        # others hold what it may have had
        (reply()._replace(cut_off=True), False),
        (reply()._replace(left_over=[(0, (ONE.run_at, UUID(int=5)))]), False),
    ],
    ids=["the last", "n", "most of a type", "one crashed", "two crashed", "none of n", "none of a type"],
)
def test_a_claim_that_a_limit_ended_is_followed_by_another(harness: Harness, answer: ClaimReply, again: bool) -> None:
    harness.sizer.ran("a", 1e-6)  # it asks for many
    harness.database.answer = lambda: answer
    assert harness.claimer.refill(2) == len(answer.jobs)
    assert harness.claims() == again


def test_a_claim_that_brought_all_that_was_asked_for_is_followed_by_another(harness: Harness) -> None:
    harness.database.answer = lambda: reply(1, 2)  # no duration is known: two workers, two jobs
    assert harness.claimer.refill(2) == 2
    assert harness.database.demands[0].n == 2
    assert harness.claims()


def test_the_buffer_is_low_at_half_of_what_the_claim_asked_for(harness: Harness) -> None:
    assert harness.buffer.is_low()
    harness.sizer.ran("a", TUNING.claim_ahead / 4)  # 2 workers begin 8 in that time, and 2 are idle: 10
    harness.fill(*range(10))
    assert harness.database.demands[-1].n == 10
    low = []
    while harness.buffer.take():
        low.append(harness.buffer.is_low())
    assert low == [False] * 4 + [True] * 6


def test_without_a_handler_the_database_is_not_asked() -> None:
    harness = Harness(handler=False)
    assert harness.claimer.refill(2) == 0
    assert harness.database.demands == []
    assert not harness.claimer.wait(0.01)


def test_without_a_handler_no_claim_fails_any_more() -> None:
    harness = Harness()
    harness.database.answer = raising(Transient("away"))
    harness.claimer.refill(2)
    assert harness.outage.now()[0] == ["claiming"]
    harness.handlers.clear()
    harness.clock.now += FAR
    harness.claimer.refill(2)
    assert harness.outage.now() == ([], 0.0)


def test_a_claim_that_is_refused_is_made_again_and_counts_as_no_look(harness: Harness) -> None:
    harness.settle_down()
    harness.claimer.wake(full_scan=True)
    harness.database.answer = lambda: reply()._replace(refused=True)
    assert harness.claimer.refill(2) == 0
    assert 0.0 < harness.seconds_to_next_claim() <= 1.5 * TUNING.refused_first
    harness.database.answer = lambda: reply(1)
    harness.clock.now += 1.0
    assert harness.claimer.refill(2) == 1
    assert harness.database.demands[-1].watermarks is None, "the full scan that was asked for has not been made yet"


def test_wake_ups_in_vain_leave_notifications_unread_for_a_while_and_polls_do_not() -> None:
    harness = Harness(poll=0.0)
    harness.fill(1)
    for _ in range(30):
        harness.claimer.refill(2)
    assert len(harness.database.demands) > 30
    assert harness.claimer.schedule.crowd.stand_back_seconds() == 0.0
    harness.claimer.wake()
    harness.claimer.refill(2)
    assert harness.claimer.schedule.crowd.stand_back_seconds() > 0.0
    harness.fill(2)
    assert harness.claimer.schedule.crowd.stand_back_seconds() == 0.0


def test_a_closed_buffer_gets_no_claim_and_still_gives_what_it_has(harness: Harness) -> None:
    harness.fill(1, 2)
    harness.buffer.close()
    harness.claimer.wake()
    assert harness.claimer.refill(2) == 0
    assert len(harness.database.demands) == 1
    assert harness.buffer.take() == claimed(1)


# -- one claim at a time --------------------------------------------------------------------------------------------------


def test_no_thread_waits_for_the_claim_of_another(harness: Harness) -> None:
    harness.fill(1, 2)
    with ClaimUnderWay(harness):
        assert harness.claimer.refill(2) == 0
        assert harness.buffer.take() == claimed(1)
        assert len(harness.database.demands) == 2


def test_a_wake_up_while_a_claim_is_under_way_leads_to_another_claim(harness: Harness) -> None:
    """It may be for a job that the claim does not see."""
    harness.settle_down()
    with ClaimUnderWay(harness):
        harness.claimer.wake()
        assert harness.claimer.refill(2) == 0  # without the lock, the wake-up must not be used up
    assert harness.claims()


def test_the_idle_worker_sleeps_while_a_claim_is_under_way_though_another_is_due() -> None:
    harness = Harness(poll=0.0)
    with ClaimUnderWay(harness):
        harness.claimer.wait(0)  # uses up the ring of the wake-up
        before = harness.clock.now
        harness.claimer.wait(0.3)
        assert harness.clock.now - before == pytest.approx(0.3)


def test_the_end_of_a_claim_tells_the_idle_worker_of_a_wake_up_meanwhile() -> None:
    harness = RealTimeHarness()
    harness.settle_down()
    with ClaimUnderWay(harness):
        harness.claimer.wake()
        assert harness.claimer.wait(0)  # uses up that ring
        waiting, answers = harness.wait_in_thread()
    waiting.join(30)
    assert answers == [True]


def test_the_end_of_a_claim_tells_the_idle_worker_of_a_job_that_is_due_soon() -> None:
    """The reply names it, after the wait has begun."""
    harness = RealTimeHarness()
    harness.settle_down()
    with ClaimUnderWay(harness, answer=reply(due_in=0.1)):
        harness.claimer.wait(0)  # uses up the ring of the wake-up
        waiting, answers = harness.wait_in_thread()
    waiting.join(30)
    assert answers == [True], "it sleeps on, past the time"
    until(harness.claims)


def test_a_retry_that_is_settled_while_a_claim_is_under_way_is_waited_for(harness: Harness) -> None:
    """The claim may have looked before the settlement was committed: then its reply does not name the retry."""
    harness.settle_down()
    with ClaimUnderWay(harness):
        harness.claimer.schedule.expect(0.1)
    assert harness.seconds_to_next_claim() == pytest.approx(0.1), "it waits for the poll"


# -- failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Transient("away"), InDoubt("lost"), Misconfigured("no table")], ids=lambda e: type(e).__name__
)
def test_after_a_failed_claim_the_next_one_waits_whatever_wakes_it(error: DatabaseFailure) -> None:
    harness = Harness(tuning=Tuning(backoff_first=0.4))
    harness.database.answer = raising(error)
    assert harness.claimer.refill(2) == 0
    harness.database.answer = lambda: reply(1)
    harness.claimer.wake()
    assert harness.claimer.refill(2) == 0
    assert len(harness.database.demands) == 1
    assert 0.2 <= harness.seconds_to_next_claim() <= 0.6 + 1e-6  # 0.4, half more or less
    assert len(harness.buffer) == 1


@pytest.mark.parametrize("quiet", [True, False], ids=["to run it", "to look for it"])
def test_after_a_failed_claim_of_a_job_on_its_last_chance_the_next_one_waits(quiet: bool) -> None:
    harness = Harness(tuning=Tuning(backoff_first=0.4))
    harness.database.answer = raising(Transient("away"))
    assert harness.claimer.claim_alone(quiet=quiet) is None
    assert harness.claimer.claim_alone(quiet=quiet) is None
    assert len(harness.database.demands) == 1
    assert not harness.claims(), "the outage is one for all claims"
    harness.database.answer = lambda: reply(1)
    harness.clock.now += 0.7
    job = harness.claimer.claim_alone(quiet=True)
    assert job is not None
    assert job.uid.int == 1


def test_notifications_during_the_back_off_do_not_lead_to_claims() -> None:
    harness = Harness(tuning=Tuning(backoff_first=0.5))
    harness.database.answer = raising(Transient("away"))
    for _ in range(10):
        harness.claimer.wake()
        harness.claimer.refill(2)
        harness.claimer.wait(0.05)  # the ring
        harness.claimer.wait(0.05)
    assert len(harness.database.demands) <= 2


def test_a_job_that_comes_due_during_the_back_off_does_not_keep_a_worker_awake() -> None:
    harness = Harness(tuning=Tuning(backoff_first=2.0))
    harness.database.answer = raising(Transient("away"))
    harness.claimer.refill(2)
    harness.claimer.schedule.expect(0.001)
    harness.claimer.wait(0.01)  # the ring
    before = harness.clock.now
    assert not harness.claimer.wait(0.2)
    assert harness.clock.now - before == pytest.approx(0.2)
