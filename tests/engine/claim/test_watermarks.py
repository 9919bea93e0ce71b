"""How far each priority has been looked through, and when a full scan is due."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from steve._database.failures import Transient
from steve._engine.claim.watermarks import BEGINNING, Watermarks
from steve._model.claim import ClaimReply, Watermark
from steve._model.claimed import Claimed
from steve._model.tuning import Tuning
from tests.engine.claim.harness import TUNING, ClaimUnderWay, Clock, Harness, claimed, raising, reply


def place(job: Claimed, later: float = 0.0) -> Watermark:
    return (job.run_at + timedelta(seconds=later), job.uid)


class Scans(Harness):
    """A claimer whose claims take `takes` seconds by the clock."""

    def __init__(self, tuning: Tuning = TUNING) -> None:
        super().__init__(tuning=tuning)
        self.takes = 0.01
        self.reply = reply()
        self.database.answer = self.scan

    def scan(self) -> ClaimReply:
        self.clock.now += self.takes
        return self.reply._replace(scan_seconds=self.takes)

    def claim(
        self,
        *jobs: Claimed,
        ends: dict[int, Watermark | None] | None = None,
        left_over: list[tuple[int, Watermark]] | None = None,
        cut_off: bool = False,
    ) -> Mapping[int, Watermark] | None:
        """Claim these jobs. Returns what the claim looked above; None: it was a full scan."""
        self.reply = ClaimReply(list(jobs), None, 0.0, ends or {}, left_over or [], cut_off)
        self.claimer.wake()
        self.claimer.refill(2)
        return self.database.demands[-1].watermarks


@pytest.fixture
def scans() -> Scans:
    return Scans()


@pytest.fixture
def slow() -> Scans:
    """Full scans are slow, and the only watermark is at job 1."""
    scans = Scans()
    scans.takes = TUNING.slow_scan * 2
    scans.claim(claimed(1))
    scans.takes = 0.001
    assert scans.claimer.watermarks.is_slow
    return scans


# -- where a claim looks --------------------------------------------------------------------------------------------------


def test_the_first_claims_are_full_scans_until_there_is_a_watermark(scans: Scans) -> None:
    assert [scans.claim() for _ in range(3)] == [None] * 3


def test_after_a_full_scan_claims_look_above_the_last_job_for_twenty_times_as_long(scans: Scans) -> None:
    first, second = claimed(1), claimed(2)
    assert scans.claim(first) is None  # took 0.01
    assert scans.claim(second) == {0: place(first)}
    assert scans.claim() == {0: place(second)}
    scans.clock.now += 0.17
    assert scans.claim() == {0: place(second)}, "a scan that found nothing moved the watermark"
    scans.clock.now += 0.01
    assert scans.claim() is None


def test_a_full_scan_that_finds_the_table_healthy_is_followed_by_another(scans: Scans) -> None:
    scans.takes = 0.0
    assert [scans.claim(claimed(number)) for number in range(1, 5)] == [None] * 4


def test_each_priority_has_one_watermark_for_all_queues_and_types(scans: Scans) -> None:
    jobs = [claimed(3)._replace(priority=5), claimed(1), claimed(2, "b"), claimed(4)._replace(queue="mail")]
    scans.claim(*jobs)
    assert scans.claim() == {5: place(jobs[0]), 0: place(jobs[3])}


def test_a_priority_is_looked_through_to_the_last_job_whoever_serves_it(scans: Scans) -> None:
    scans.claim(claimed(1), ends={0: place(claimed(9))})
    assert scans.claim(ends={0: place(claimed(12))}) == {0: place(claimed(9))}
    assert scans.claim() == {0: place(claimed(12))}


def test_a_priority_whose_jobs_are_not_due_yet_is_looked_into_from_its_beginning(scans: Scans) -> None:
    scans.claim(ends={0: None})
    assert scans.claim(ends={0: None}) == {0: BEGINNING}
    assert scans.claim(claimed(3)) == {0: BEGINNING}
    assert scans.claim(ends={0: None}) == {0: place(claimed(3))}
    assert scans.claim() == {0: place(claimed(3))}, "no due job above it moved the watermark"


def test_a_watermark_moves_back_only_where_more_jobs_may_lie_below_it(scans: Scans) -> None:
    scans.sizer.ran("a", TUNING.claim_ahead / 100)  # a claim asks for many
    scans.claim(claimed(50))
    scans.claimer.wake(full_scan=True)
    assert scans.claim(claimed(20), ends={0: place(claimed(40))}) is None  # up to 40, nothing else is left
    assert scans.claim() == {0: place(claimed(50))}
    scans.claimer.wake(full_scan=True)
    assert scans.claim(claimed(20), claimed(21), cut_off=True) is None
    assert scans.claim() == {0: place(claimed(21))}


def test_jobs_passed_over_because_of_their_types_limit_stay_above_the_watermark(scans: Scans) -> None:
    surplus = [(0, place(claimed(number))) for number in (4, 3, 5)]
    scans.claim(claimed(2), claimed(6, "b"), ends={0: place(claimed(9))}, left_over=surplus)
    watermarks = scans.claim()
    assert watermarks is not None
    assert watermarks[0] < place(claimed(3))
    assert watermarks[0] >= place(claimed(2), later=-0.001)


def test_the_surplus_of_a_priority_that_is_new_gives_it_a_watermark(scans: Scans) -> None:
    scans.claim(claimed(2), left_over=[(-5, place(claimed(3)))])
    watermarks = scans.claim()
    assert watermarks is not None
    assert watermarks.keys() == {0, -5}
    assert watermarks[-5] < place(claimed(3))


def test_a_crashed_job_does_not_move_the_watermark(scans: Scans) -> None:
    """A claim brings it from anywhere."""
    scans.claim(claimed(1), claimed(7)._replace(crashes=1))
    assert scans.claim() == {0: place(claimed(1))}


# -- full scans -----------------------------------------------------------------------------------------------------------


def test_jobs_that_may_have_come_anywhere_lead_to_a_full_scan(scans: Scans) -> None:
    scans.claim(claimed(1))
    assert scans.claim() is not None
    scans.claimer.wake(full_scan=True)
    assert scans.claim() is None
    assert scans.claim() is not None


def test_a_lost_connection_leads_to_a_full_scan_though_they_were_slow(slow: Scans) -> None:
    """The next connection may lead to another server, whose clock differs."""
    assert slow.claim() is not None
    slow.database.answer = raising(Transient("away"))
    slow.claim()
    slow.database.answer = slow.scan
    slow.clock.now += TUNING.backoff_first * 2  # the back-off is over; the next look would be due in 0.8 s
    assert slow.claim() is None
    assert not slow.claimer.watermarks.full_scan_in() > TUNING.full_scan_every * TUNING.slow_scan * 2


def test_a_claim_above_the_watermarks_that_finds_nothing_does_not_wait_for_the_poll(scans: Scans) -> None:
    scans.claim(claimed(1))  # took 0.01: the next full scan is due in 0.2 s
    scans.takes = 0.0
    assert scans.claim() is not None
    scans.clock.now += 0.19
    assert not scans.claims()
    scans.clock.now += 0.02
    assert scans.claims()
    assert scans.database.demands[-1].watermarks is None


def test_one_scan_that_waited_for_a_processor_does_not_count_as_slow() -> None:
    clock = Clock()
    watermarks = Watermarks(tuning=TUNING, clock=clock)
    for seconds in (0.001, TUNING.slow_scan * 10):
        watermarks.claimed(reply()._replace(scan_seconds=seconds), full_scan=True, cut_off=False)
    assert not watermarks.is_slow
    assert watermarks.scan_seconds == TUNING.slow_scan * 10
    assert watermarks.full_scan_in() == pytest.approx(TUNING.full_scan_every * 0.001)


# -- while full scans are slow --------------------------------------------------------------------------------------------


def test_no_claim_makes_a_slow_full_scan_unless_the_scanner_is_late(slow: Scans) -> None:
    slow.clock.now += TUNING.full_scan_every * TUNING.slow_scan * 2
    assert slow.claimer.watermarks.full_scan_in() == 0.0
    assert slow.claim() is not None
    slow.claimer.wake(full_scan=True)  # makes a look due, and is no reason to wait for a slow scan
    assert slow.claimer.watermarks.full_scan_in() == 0.0
    assert slow.claim() is not None
    slow.clock.now += TUNING.full_scan_overdue
    assert slow.claim() is None


def test_claims_look_at_priorities_without_a_watermark_only_while_full_scans_are_fast() -> None:
    scans = Scans()
    assert [scans.claim(claimed(1)) is None, scans.claim() is None] == [True, False]
    assert scans.database.demands[-1].lower_too
    scans.takes = TUNING.slow_scan * 2
    for _ in range(2):
        scans.clock.now += 10.0
        assert scans.claim() is None
    assert scans.claim() is not None
    assert not scans.database.demands[-1].lower_too


def test_a_claim_that_finds_nothing_waits_for_the_scanner_and_not_for_a_full_scan(slow: Scans) -> None:
    assert slow.claim() is not None
    slow.settle_down()
    slow.clock.now += TUNING.full_scan_every * TUNING.slow_scan * 2
    assert not slow.claims()


def test_the_next_claim_finds_what_the_scanner_found_below_a_watermark(slow: Scans) -> None:
    slow.claim(claimed(9))
    assert slow.claimer.watermarks.looked({0: place(claimed(4))}, 0.01)
    assert slow.claimer.watermarks.full_scan_in() == pytest.approx(TUNING.full_scan_every * 0.01)
    watermarks = slow.claim(claimed(4))
    assert watermarks is not None
    assert watermarks[0] < place(claimed(4))


def test_the_next_claim_looks_at_a_priority_that_the_scanner_has_met(slow: Scans) -> None:
    assert slow.claimer.watermarks.looked({0: place(claimed(5)), 7: place(claimed(6))}, 0.01)
    watermarks = slow.claim()
    assert watermarks is not None
    assert watermarks[0] == place(claimed(1)), "lowered for a job above it"
    assert watermarks[7] < place(claimed(6))


def test_a_look_that_finds_only_what_claims_find_changes_nothing(slow: Scans) -> None:
    assert not slow.claimer.watermarks.looked({0: place(claimed(5))}, 0.01)
    assert slow.claim() == {0: place(claimed(1))}


def test_what_the_scanner_finds_while_a_claim_is_under_way_is_not_lost(slow: Scans) -> None:
    """The claim has begun above it, and moves the watermark past it."""
    slow.claim(claimed(9))
    answer = reply(12)._replace(ends={0: place(claimed(12))})
    with ClaimUnderWay(slow, answer):
        assert slow.claimer.watermarks.looked({0: place(claimed(4))}, 0.01)
        slow.claimer.wake()
    slow.database.answer = slow.scan
    watermarks = slow.claim()
    assert watermarks is not None
    assert watermarks[0] < place(claimed(4))


def test_a_slow_full_scan_makes_the_first_look_due_at_once(slow: Scans) -> None:
    assert slow.claimer.watermarks.full_scan_in() == 0.0


def test_claims_that_begin_below_a_watermark_get_a_twentieth_of_the_time(slow: Scans) -> None:
    """They may pass over as much as a full scan. What was passed over comes up again at each claim, and a job that somebody
    keeps locked at each look."""
    slow.claim(claimed(9), left_over=[(0, place(claimed(3)))])
    slow.takes = 0.2
    watermarks = slow.claim(left_over=[(0, place(claimed(3)))])
    assert watermarks is not None
    assert watermarks[0] < place(claimed(3))
    slow.takes = 0.0
    slow.claim(ends={0: place(claimed(9))})
    assert slow.claimer.watermarks.looked({0: place(claimed(2))}, 0.001)
    assert slow.claim() == {0: place(claimed(9))}
    slow.clock.now += TUNING.full_scan_every * 0.2 - 0.1
    assert slow.claim() == {0: place(claimed(9))}
    slow.settle_down()
    slow.clock.now += 0.2
    assert slow.claims(), "the claim was not due by itself"
    watermarks = slow.database.demands[-1].watermarks
    assert watermarks is not None
    assert watermarks[0] < place(claimed(2))


def test_a_second_look_replaces_what_the_first_one_found(slow: Scans) -> None:
    """No claim may come for hours, while all workers are busy."""
    slow.claim(claimed(9))
    for number in (4, 6):
        assert slow.claimer.watermarks.looked({0: place(claimed(number))}, 0.001)
    watermarks = slow.claim()
    assert watermarks is not None
    assert watermarks[0] == place(claimed(6), later=-0.000001)


def test_full_scans_are_made_again_once_they_are_measured_to_be_fast(slow: Scans) -> None:
    slow.claimer.watermarks.measured(TUNING.slow_scan * 3)
    assert slow.claimer.watermarks.is_slow
    assert slow.claimer.watermarks.scan_seconds == TUNING.slow_scan * 3
    slow.claimer.watermarks.measured(0.001)
    assert not slow.claimer.watermarks.is_slow
    slow.clock.now += TUNING.full_scan_every * TUNING.slow_scan * 2
    assert slow.claim() is None
    assert not slow.claimer.watermarks.is_slow


def test_a_measurement_counts_more_than_the_full_scans_before_it(slow: Scans) -> None:
    for seconds in (0.001, TUNING.slow_scan * 3):
        slow.claimer.watermarks.measured(seconds)
    slow.takes = TUNING.slow_scan * 3
    slow.clock.now += TUNING.full_scan_every * TUNING.slow_scan * 2 + TUNING.full_scan_overdue
    assert slow.claim() is None
    assert slow.claimer.watermarks.is_slow
