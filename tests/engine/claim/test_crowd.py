"""How many processes make way for each other: who claims under the fleet's lock, and who leaves notifications unread."""

from collections.abc import Callable

import pytest

from steve._engine.claim.crowd import Crowd
from tests.engine.claim.harness import TUNING, Clock

CROWD = TUNING.crowd


class CrowdHarness:
    """A process among so many others, on a clock that a test moves."""

    def __init__(self, processes: int | None = CROWD) -> None:
        self.clock = Clock()
        self.crowd = Crowd(processes=lambda: processes, tuning=TUNING, clock=self.clock)

    def claims_in_vain(self, *, woken: bool = True) -> None:
        self.crowd.answered(woken=woken, jobs=0, is_more_due=False)

    def leaves_jobs_behind(self) -> None:
        self.crowd.answered(woken=True, jobs=1, is_more_due=True)


def repeated(sample: Callable[[], float]) -> list[float]:
    """So many samples that chance shows its whole range."""
    return [sample() for _ in range(300)]


# -- the fleet's lock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processes", "needs_lock"), [(1, False), (CROWD - 1, False), (CROWD, True), (200, True), (None, True)]
)
def test_many_processes_claim_one_at_a_time_while_there_is_more_than_they_take(processes: int | None, needs_lock: bool) -> None:
    harness = CrowdHarness(processes)
    harness.leaves_jobs_behind()
    assert harness.crowd.needs_lock() == needs_lock


def test_an_idle_process_claims_whatever_the_others_do() -> None:
    harness = CrowdHarness(200)
    assert not harness.crowd.needs_lock()
    harness.leaves_jobs_behind()
    harness.crowd.refused()
    harness.claims_in_vain()
    assert not harness.crowd.needs_lock()


def test_a_process_that_is_refused_for_too_long_claims_without_the_lock() -> None:
    harness = CrowdHarness()
    harness.leaves_jobs_behind()
    harness.crowd.refused()
    harness.clock.now += TUNING.refused_longest * 0.9
    harness.crowd.refused()
    assert harness.crowd.needs_lock()
    harness.clock.now += TUNING.refused_longest * 0.11
    assert not harness.crowd.needs_lock(), "the session that has the lock may hang"
    harness.leaves_jobs_behind()
    assert harness.crowd.needs_lock()


@pytest.mark.parametrize("processes", [CROWD, 3 * CROWD])
def test_the_pause_after_a_refusal_doubles_and_is_longer_with_more_processes(processes: int) -> None:
    for refusals in range(4):
        expected = min(TUNING.refused_first * 2**refusals, TUNING.refused_most) * processes
        pauses = []
        for _ in range(300):
            harness = CrowdHarness(processes)
            pauses.append([harness.crowd.refused() for _ in range(refusals + 1)][-1])
        assert 0.5 * expected <= min(pauses) < 0.6 * expected
        assert 1.4 * expected < max(pauses) <= 1.5 * expected
    assert expected == TUNING.refused_most * processes


def test_no_pause_is_long_however_many_processes_there_are_and_however_often_one_is_refused() -> None:
    harness = CrowdHarness(100_000)
    pauses = [harness.crowd.refused() for _ in range(2_000)]
    assert max(pauses) <= 1.5 * TUNING.refused_pause_longest


def test_the_pause_is_short_again_after_a_claim() -> None:
    harness = CrowdHarness()
    for _ in range(10):
        harness.crowd.refused()
    harness.leaves_jobs_behind()
    assert harness.crowd.refused() <= 1.5 * TUNING.refused_first * CROWD


# -- standing back --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 10])
def test_each_wake_up_in_vain_leaves_the_next_notification_unread_for_longer(processes: int) -> None:
    harness = CrowdHarness(processes)
    for in_vain in range(22):
        longest = min(in_vain * TUNING.stand_back, TUNING.stand_back_most) * processes
        pauses = repeated(harness.crowd.stand_back_seconds)
        assert 0.0 <= min(pauses) <= longest * 0.1, "by chance nothing to all of it"
        assert longest * 0.9 <= max(pauses) <= longest
        harness.claims_in_vain()
    assert longest == TUNING.stand_back_most * processes
    harness.leaves_jobs_behind()
    assert harness.crowd.stand_back_seconds() == 0.0


def test_no_process_leaves_a_notification_unread_for_long_however_many_there_are() -> None:
    harness = CrowdHarness(100_000)
    for _ in range(30):
        harness.claims_in_vain()
    pauses = repeated(harness.crowd.stand_back_seconds)
    assert TUNING.stand_back_longest * 0.9 <= max(pauses) <= TUNING.stand_back_longest


def test_a_poll_that_brings_nothing_leaves_no_notification_unread() -> None:
    harness = CrowdHarness()
    for _ in range(30):
        harness.claims_in_vain(woken=False)
    assert harness.crowd.stand_back_seconds() == 0.0
