"""How far each lane has been claimed, and when a full scan is due."""

from collections.abc import Mapping

import pytest

from steve._database.failures import Transient
from steve._engine.claim.watermarks import Watermarks
from steve._model.claim import ClaimReply, Lane, Watermark
from steve._model.claimed import Claimed
from steve._model.tuning import Tuning
from tests.engine.claim.harness import TUNING, Clock, Harness, claimed, raising, reply

LANE = Lane("default", "a", 0)


def watermark_of(job: Claimed) -> Watermark:
    return (job.run_at, job.id)


class Scans(Harness):
    """A claimer whose claims take `takes` seconds by the clock."""

    def __init__(self, tuning: Tuning = TUNING) -> None:
        super().__init__(tuning=tuning)
        self.takes = 0.01
        self.jobs: list[Claimed] = []
        self.heads: dict[Lane, Watermark] = {}
        self.database.answer = self.scan

    def scan(self) -> ClaimReply:
        self.clock.now += self.takes
        return ClaimReply(self.jobs, None, self.takes, self.heads if self.database.demands[-1].watermarks is None else {})

    def claim(self, *jobs: Claimed) -> Mapping[Lane, Watermark] | None:
        """Claim these jobs. Returns what the claim looked above; None: it was a full scan."""
        self.jobs = list(jobs)
        self.claimer.wake()
        self.claimer.refill(2)
        return self.database.demands[-1].watermarks


@pytest.fixture
def scans() -> Scans:
    return Scans()


def test_the_first_claims_are_full_scans_until_there_is_a_watermark(scans: Scans) -> None:
    assert [scans.claim() for _ in range(3)] == [None] * 3


def test_after_a_full_scan_claims_look_above_the_last_job_for_twenty_times_as_long(scans: Scans) -> None:
    first, second = claimed(1), claimed(2)
    assert scans.claim(first) is None  # took 0.01
    assert scans.claim(second) == {LANE: watermark_of(first)}
    assert scans.claim() == {LANE: watermark_of(second)}
    scans.clock.now += 0.17
    assert scans.claim() == {LANE: watermark_of(second)}, "a scan that found nothing moved the watermark"
    scans.clock.now += 0.01
    assert scans.claim() is None


def test_a_full_scan_that_finds_the_table_healthy_is_followed_by_another(scans: Scans) -> None:
    scans.takes = 0.0
    assert [scans.claim(claimed(number)) for number in range(1, 5)] == [None] * 4


def test_each_lane_has_a_watermark_of_its_own(scans: Scans) -> None:
    jobs = [claimed(1), claimed(2, "b"), claimed(3)._replace(priority=5), claimed(4)._replace(queue="mail"), claimed(5, "b")]
    scans.claim(*jobs)
    assert scans.claim() == {
        LANE: watermark_of(jobs[0]),
        Lane("default", "b", 0): watermark_of(jobs[4]),
        Lane("default", "a", 5): watermark_of(jobs[2]),
        Lane("mail", "a", 0): watermark_of(jobs[3]),
    }


def test_a_lane_that_was_met_and_not_claimed_from_is_looked_into_from_its_first_job(scans: Scans) -> None:
    """Otherwise it would wait for the next full scan, while the other lanes are served."""
    other = Lane("default", "b", 0)
    scans.heads = {LANE: watermark_of(claimed(1)), other: watermark_of(claimed(9, "b"))}
    scans.claim(claimed(1))
    watermarks = scans.claim()
    assert watermarks is not None
    assert watermarks[LANE] == watermark_of(claimed(1))
    assert watermarks[other] < watermark_of(claimed(9, "b"))
    scans.claim(claimed(9, "b"))
    assert scans.claim() == {LANE: watermark_of(claimed(1)), other: watermark_of(claimed(9, "b"))}


def test_a_watermark_moves_back_only_where_more_jobs_may_lie_below_it(scans: Scans) -> None:
    scans.sizer.ran("a", TUNING.claim_ahead / 100)  # a claim asks for many
    scans.claim(claimed(50))
    scans.claimer.wake(full_scan=True)
    assert scans.claim(claimed(20)) is None  # it asked for many and got one: below 50 there is nothing left
    assert scans.claim() == {LANE: watermark_of(claimed(50))}
    scans.claimer.wake(full_scan=True)
    last = 20 + TUNING.lane_least - 1
    scans.claim(*[claimed(number) for number in range(20, last + 1)])  # as many as it may: there may be more
    assert scans.claim() == {LANE: watermark_of(claimed(last))}


def test_a_crashed_job_does_not_move_the_watermark(scans: Scans) -> None:
    """A full scan brings it from anywhere in its lane."""
    scans.claim(claimed(1), claimed(7)._replace(crashes=1))
    assert scans.claim() == {LANE: watermark_of(claimed(1))}


def test_jobs_that_were_given_back_anywhere_lead_to_a_full_scan(scans: Scans) -> None:
    scans.claim(claimed(1))
    assert scans.claim() is not None
    scans.claimer.wake(full_scan=True)
    assert scans.claim() is None
    assert scans.claim() is not None


def test_a_lost_connection_leads_to_a_full_scan() -> None:
    """The next connection may lead to another server, whose clock differs."""
    scans = Scans(Tuning(backoff_first=0.001))
    scans.claim(claimed(1))
    assert scans.claim() is not None
    scans.database.answer = raising(Transient("away"))
    scans.claim()
    scans.database.answer = scans.scan
    scans.clock.now += 0.002  # the back-off is over; without the failure, a full scan would be due in 0.2 s
    assert scans.claim() is None


def test_a_claim_above_the_watermarks_that_finds_nothing_does_not_wait_for_the_poll(scans: Scans) -> None:
    scans.claim(claimed(1))  # took 0.01: the next full scan is due in 0.2 s
    scans.takes = 0.0
    assert scans.claim() is not None
    scans.clock.now += 0.19
    assert not scans.claims()
    scans.clock.now += 0.02
    assert scans.claims()
    assert scans.database.demands[-1].watermarks is None


def test_slow_full_scans_are_left_to_the_scanner_unless_it_is_late(scans: Scans) -> None:
    scans.takes = TUNING.slow_scan * 2
    scans.claim(claimed(1))
    scans.clock.now += TUNING.full_scan_every * scans.takes
    assert scans.claim() is not None, "a claim waited for a slow scan"
    assert scans.claimer.watermarks.is_slow

    def scan() -> ClaimReply:
        scans.clock.now += scans.takes
        return ClaimReply([claimed(5), claimed(6)], None, scans.takes, {})

    scans.database.scan_answer = scan
    assert scans.claimer.full_scan(2) == 2
    assert scans.database.scans[0].watermarks is None
    assert scans.take_all() == [1, 5, 6]
    scans.clock.now += TUNING.full_scan_every * scans.takes + TUNING.full_scan_overdue
    assert scans.claim() is None


def test_only_so_many_watermarks_are_kept() -> None:
    scans = Scans(Tuning(lanes_most=10))
    scans.claim(*[claimed(number, f"type {number}") for number in range(11)])
    scans.claimer.wake(full_scan=True)
    scans.claim(claimed(1))
    assert scans.claim() == {LANE: watermark_of(claimed(1))}


def test_one_scan_that_waited_for_a_processor_does_not_count_as_slow() -> None:
    clock = Clock()
    watermarks = Watermarks(tuning=TUNING, clock=clock)
    for seconds in (0.001, TUNING.slow_scan * 10):
        watermarks.claimed(reply()._replace(scan_seconds=seconds), full_scan=True, cut_off=False)
    assert not watermarks.is_slow
    assert watermarks.scan_seconds == TUNING.slow_scan * 10
    assert watermarks.full_scan_in() == pytest.approx(TUNING.full_scan_every * 0.001)
