"""When the next claim is due, and how long a notification is left unread."""

from collections.abc import Callable

import pytest

from steve._engine.claim.schedule import ClaimSchedule
from steve._model.settings import POLL_MOST
from steve._model.tuning import Tuning
from tests.engine.claim.harness import FAR, TUNING, Clock


class ScheduleHarness:
    """A schedule on a clock that a test moves."""

    def __init__(self, poll: float = FAR, tuning: Tuning = TUNING) -> None:
        self.clock = Clock()
        self.schedule = ClaimSchedule(poll_interval=poll, tuning=tuning, clock=self.clock)

    def claim(self, next_due_in: float | None = None) -> None:
        """A claim that brings nothing."""
        woken = self.schedule.begin()
        self.schedule.answered(woken=woken, jobs=0, is_more_due=False)
        self.schedule.next_in(next_due_in)

    def hear_rings(self) -> bool:
        """Whether it has rung since this was last called."""
        return self.schedule.wait_for_ring(0)


@pytest.fixture
def harness() -> ScheduleHarness:
    return ScheduleHarness()


def repeated(sample: Callable[[], float]) -> list[float]:
    """So many samples that chance shows its whole range."""
    return [sample() for _ in range(300)]


# -- polls ----------------------------------------------------------------------------------------------------------------


def test_the_first_claim_is_due_at_once(harness: ScheduleHarness) -> None:
    assert harness.schedule.is_due()
    assert harness.schedule.seconds_to_next() == 0.0


def test_the_next_claim_is_due_after_the_poll_by_chance_a_tenth_more_or_less(harness: ScheduleHarness) -> None:
    def poll() -> float:
        harness.claim()
        return harness.schedule.seconds_to_next()

    polls = repeated(poll)
    assert 0.9 * FAR <= min(polls) < 0.93 * FAR
    assert 1.07 * FAR < max(polls) <= 1.1 * FAR
    assert not harness.schedule.is_due()
    harness.clock.now += 1.1 * FAR
    assert harness.schedule.is_due()


def test_the_poll_comes_within_the_time_for_which_no_notification_is_sent() -> None:
    harness = ScheduleHarness(poll=POLL_MOST)

    def poll() -> float:
        harness.claim()
        return harness.schedule.seconds_to_next()

    assert max(repeated(poll)) == POLL_MOST


def test_the_next_job_that_a_claim_names_is_waited_for(harness: ScheduleHarness) -> None:
    harness.claim(next_due_in=0.25)
    assert harness.schedule.seconds_to_next() == 0.25
    assert not harness.schedule.is_due()
    harness.clock.now += 0.25
    assert harness.schedule.is_due()


# -- wake-ups and the bell ------------------------------------------------------------------------------------------------


def test_a_wake_up_makes_one_claim_due_and_rings_once(harness: ScheduleHarness) -> None:
    harness.claim()
    for _ in range(5):
        harness.schedule.wake()
    assert harness.schedule.is_due()
    assert [harness.hear_rings(), harness.hear_rings()] == [True, False]
    harness.claim()
    assert not harness.schedule.is_due()


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_an_own_job_that_is_due_makes_a_claim_due_at_once(harness: ScheduleHarness, seconds: float) -> None:
    harness.claim()
    harness.schedule.expect(seconds)
    assert harness.schedule.is_due()
    assert harness.hear_rings()


def test_an_own_job_that_will_be_due_is_waited_for(harness: ScheduleHarness) -> None:
    harness.claim()
    harness.schedule.expect(0.25)
    assert not harness.schedule.is_due()
    assert harness.hear_rings(), "an idle worker that waits for the poll does not learn of it"
    assert harness.schedule.seconds_to_next() == 0.25


def test_an_own_job_that_is_due_later_than_the_next_claim_changes_nothing(harness: ScheduleHarness) -> None:
    harness.claim()
    before = harness.schedule.seconds_to_next()
    harness.schedule.expect(FAR * 2)
    assert harness.schedule.seconds_to_next() == before
    assert not harness.hear_rings()


def test_an_own_job_that_a_claim_under_way_may_not_see_is_waited_for(harness: ScheduleHarness) -> None:
    harness.schedule.begin()
    harness.schedule.expect(0.25)
    harness.schedule.next_in(None)
    assert harness.schedule.seconds_to_next() == 0.25
    harness.claim()
    assert harness.schedule.seconds_to_next() > 0.25, "the claim after that has seen it"


# -- after a failure ------------------------------------------------------------------------------------------------------


def test_after_a_failure_no_wake_up_makes_a_claim_due_before_the_back_off_is_over() -> None:
    harness = ScheduleHarness(tuning=Tuning(backoff_first=0.4))
    harness.schedule.begin()
    harness.schedule.failed()
    harness.schedule.wake()
    assert harness.schedule.is_backing_off()
    assert not harness.schedule.is_due()
    seconds = harness.schedule.seconds_to_next()
    assert 0.2 <= seconds <= 0.6
    harness.clock.now += seconds + 1e-6
    assert harness.schedule.is_due()
    assert not harness.schedule.is_backing_off()


# -- when another process claims ------------------------------------------------------------------------------------------


def test_after_a_refusal_the_claim_is_made_again_after_a_pause_and_no_wake_up_shortens_it(harness: ScheduleHarness) -> None:
    harness.schedule.wake()
    harness.schedule.refused(woken=harness.schedule.begin())
    harness.schedule.wake()
    assert not harness.schedule.is_due()
    seconds = harness.schedule.seconds_to_next()
    assert 0.5 * TUNING.refused_first <= seconds <= 1.5 * TUNING.refused_first
    harness.clock.now += seconds + 1e-6
    assert harness.schedule.is_due()


def test_a_wake_up_whose_claim_was_refused_still_counts(harness: ScheduleHarness) -> None:
    harness.claim()
    harness.schedule.wake()
    harness.schedule.refused(woken=harness.schedule.begin())
    assert harness.schedule.begin(), "the claim after the pause is the one for this wake-up"
