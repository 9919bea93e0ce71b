"""The hand, given a function in place of the database: when it claims, how much, whom it wakes, and what it gives back."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import steve._chance

from steve import Status
from steve._database.failures import DatabaseFailure, InDoubt, Misconfigured, Refused, Transient
from steve._engine.claim.buffer import JobBuffer
from steve._engine.claim.sizer import ClaimSizer
from steve._engine.upkeep.outage import Outage
from steve._engine.work.handlers import Handlers
from steve._model.claim import ClaimReply, Demand, Lane, Watermark
from steve._model.claimed import Claimed
from steve._model.outcome import Verdict
from steve._model.settings import (
    FULL_SCAN_EVERY,
    HAND_BYTES,
    HAND_MOST,
    HAND_SECONDS,
    LANE_LEAST,
    LANES_MOST,
    LATE_MOST,
    LATE_SECONDS,
    OVERDUE,
    PACES_MOST,
    POLL_MOST,
    SLOW_SCAN,
)
from tests.conftest import until

FAR = 60.0
"""Seconds between polls: farther than any test waits."""


def claimed(number: int, type: str = "a", payload: str = "{}") -> Claimed:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    retry = (3, "exp", 2.0, 3600.0, 0.0)
    return Claimed(
        number, UUID(int=number), "default", type, 0, payload, None, 1, 0, *retry, lease_no=1,
        claimed_at=at, created_at=at, run_at=at, started_at=None,
    )  # fmt: skip


def brought(*numbers: int, due_in: float | None = None) -> ClaimReply:
    """What a claim in a healthy table brings."""
    return ClaimReply([claimed(number) for number in numbers], due_in, scan_seconds=0.0, heads={})


class Desk:
    """A hand whose claims are answered by `answer`; what it asked for, and what it put back."""

    def __init__(self, *, handler: bool = True, workers: int = 2, poll: float = FAR) -> None:
        self.answer: Callable[[], ClaimReply] = brought
        self.held: list[Claimed] = []
        self.answered: list[list[datetime]] = []
        self.demands: list[Demand] = []
        self.returned: list[Verdict] = []
        handlers = Handlers(None, {"a": print} if handler else None)
        self.hand = JobBuffer(self._claim, self._find_claimed, self.returned.append, handlers, Outage(), poll, workers)

    def _find_claimed(self, answered: list[datetime]) -> list[Claimed]:
        self.answered.append(answered)
        return self.held

    def _claim(self, demand: Demand) -> ClaimReply:
        self.demands.append(demand._replace(marks=None if demand.marks is None else dict(demand.marks)))  # as it is now
        return self.answer()

    def fill(self, *numbers: int) -> None:
        """Put these jobs into the hand, by a claim."""
        self.answer = lambda: brought(*numbers)
        self.hand.wake()
        assert self.hand.refill(2) == len(numbers)
        self.answer = brought

    def looks(self) -> bool:
        """Whether it is time to claim: then a claim is made."""
        before = len(self.demands)
        self.hand.refill(2)
        return len(self.demands) > before

    def settle_down(self) -> None:
        """All is done that is due, and nobody has rung since."""
        while self.looks() or self.hand.wait(0):
            pass

    def seconds_to_next_claim(self, most: float = 5.0) -> float:
        """What an idle worker does, until it claims; `most` if it does not by then."""
        began, before = time.monotonic(), len(self.demands)
        while (passed := time.monotonic() - began) < most:
            self.hand.refill(2)
            if len(self.demands) > before:
                return time.monotonic() - began
            self.hand.wait(most - passed)
        return most


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- drawing --------------------------------------------------------------------------------------------------------------


def test_jobs_are_drawn_in_the_order_in_which_they_were_claimed(desk: Desk) -> None:
    assert desk.hand.draw() is None
    desk.fill(3, 1, 2)
    desk.fill(5, 4)
    assert len(desk.hand) == 5
    assert [job.id for job in iter(desk.hand.draw, None)] == [3, 1, 2, 5, 4]
    assert len(desk.hand) == 0


def test_it_is_low_at_half_of_what_was_asked_for_and_when_empty(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.hand.is_low()
    desk.hand.pace.took("a", HAND_SECONDS / 4)  # 2 workers begin 8 in that time, and 2 are idle: 10
    desk.fill(*range(10))
    assert desk.demands[-1].n == 10
    low = []
    while desk.hand.draw():
        low.append(desk.hand.is_low())
    assert low == [False] * 4 + [True] * 6


# -- when a claim is made -------------------------------------------------------------------------------------------------


def test_the_first_look_is_due_at_once_and_the_next_at_the_poll(desk: Desk) -> None:
    assert desk.hand.wait(FAR)
    assert [desk.looks() for _ in range(3)] == [True, False, False]
    assert not desk.hand.wait(0.01)


def test_the_poll_comes_when_it_is_time_a_tenth_more_or_less() -> None:
    desk = Desk(poll=0.2)
    desk.settle_down()
    assert 0.15 <= desk.seconds_to_next_claim() < 5


def test_the_poll_comes_within_the_time_for_which_nobody_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steve._runtime.chance.chance, "uniform", lambda low, high: high)
    desk = Desk(poll=POLL_MOST)
    desk.hand.refill(2)
    assert desk.hand._next_look <= time.monotonic() + POLL_MOST


def test_a_wake_up_makes_a_look_due_once(desk: Desk) -> None:
    desk.settle_down()
    for _ in range(5):
        desk.hand.wake()
    assert desk.hand.wait(FAR)
    assert [desk.looks() for _ in range(3)] == [True, False, False]


def test_who_waits_is_woken_from_another_thread(desk: Desk) -> None:
    desk.settle_down()
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(desk.hand.wait(FAR)))
    waiting.start()
    desk.hand.wake()
    waiting.join(10)
    assert answers == [True]


def test_the_next_due_job_of_the_claims_answer_is_waited_for(desk: Desk) -> None:
    desk.answer = lambda: brought(due_in=0.2)
    desk.hand.refill(2)
    assert 0.15 <= desk.seconds_to_next_claim() < 5


@pytest.mark.parametrize(("seconds", "at_once"), [(0.0, True), (-1.0, True), (0.2, False)])
def test_a_job_of_ours_that_comes_due_is_waited_for(desk: Desk, seconds: float, at_once: bool) -> None:
    desk.settle_down()
    desk.hand.expect(seconds)
    assert desk.looks() == at_once
    if at_once:
        return
    assert seconds - 0.05 <= desk.seconds_to_next_claim() < 5


def test_a_job_that_comes_due_later_than_the_next_look_changes_nothing(desk: Desk) -> None:
    desk.settle_down()
    desk.hand.expect(FAR * 2)
    assert not desk.hand.wait(0.01)
    assert not desk.looks()


@pytest.mark.parametrize("jobs", [2, LANE_LEAST, 100])
def test_a_claim_that_a_limit_ended_is_followed_by_another(desk: Desk, jobs: int) -> None:
    desk.hand.pace.took("a", 1e-6)
    desk.answer = lambda: brought(*range(jobs))
    assert desk.hand.refill(2) == jobs
    # It asked for many: with two the database had no more, with sixteen it may have had.
    assert desk.looks() == (jobs >= LANE_LEAST)


def test_a_claim_that_brought_all_that_was_asked_for_is_followed_by_another(desk: Desk) -> None:
    desk.answer = lambda: brought(1, 2)  # no pace is known: two workers, two jobs
    assert desk.hand.refill(2) == 2
    assert desk.demands[0].n == 2
    assert desk.looks()


def test_without_a_handler_the_database_is_not_asked() -> None:
    desk = Desk(handler=False)
    assert desk.hand.refill(2) == 0
    assert desk.demands == []
    assert not desk.hand.wait(0.01)


# -- two at a time --------------------------------------------------------------------------------------------------------


class Slow:
    """A claim that has been sent and is not answered until it is let."""

    def __init__(self, desk: Desk, answer: ClaimReply = brought()) -> None:  # noqa: B008 - frozen
        self.sent = threading.Event()
        self.answered = threading.Event()

        def claim() -> ClaimReply:
            self.sent.set()
            assert self.answered.wait(30)
            return answer

        desk.answer = claim
        desk.hand.wake()
        self.thread = threading.Thread(target=desk.hand.refill, args=(1,))
        self.thread.start()
        assert self.sent.wait(10)
        desk.answer = brought

    def end(self) -> None:
        self.answered.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_nobody_waits_for_anothers_claim(desk: Desk) -> None:
    desk.fill(1, 2)
    slow = Slow(desk)
    try:
        assert desk.hand.refill(2) == 0
        assert desk.hand.draw() == claimed(1)
        assert len(desk.demands) == 2
    finally:
        slow.end()


@pytest.mark.parametrize("chance", [0, 1], ids=["least", "most"])
def test_who_is_woken_in_vain_hears_later_each_time_until_it_was_first_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, chance: int
) -> None:
    monkeypatch.setattr(steve._runtime.chance.chance, "uniform", lambda *bounds: bounds[chance])
    desk.fill(1)
    seconds = []
    for _ in range(12):
        seconds.append(desk.hand.stand_back_seconds())
        desk.hand.wake()
        desk.hand.refill(2)
    share = (0.5, 1.0)[chance]
    assert seconds == [pytest.approx(min(times * LATE_SECONDS, LATE_MOST) * share) for times in range(12)]
    assert seconds[-1] == LATE_MOST * share
    desk.fill(2)
    assert desk.hand.stand_back_seconds() == 0.0


def test_a_poll_that_brings_nothing_does_not_make_a_process_hear_later() -> None:
    desk = Desk(poll=0.0)
    desk.fill(1)
    for _ in range(30):
        desk.hand.refill(2)
    assert len(desk.demands) > 30
    assert desk.hand.stand_back_seconds() == 0.0


def test_a_wake_up_while_a_claim_is_under_way_leads_to_another_claim(desk: Desk) -> None:
    """It may be for a job that the claim does not see."""
    desk.settle_down()
    slow = Slow(desk)
    try:
        desk.hand.wake()
        assert desk.hand.refill(2) == 0  # who does not get the lock must not use the wake-up up
    finally:
        slow.end()
    assert desk.looks()


def test_who_waits_while_a_claim_is_under_way_hears_of_a_wake_up_when_it_is_over(desk: Desk) -> None:
    desk.settle_down()
    slow = Slow(desk)
    answers: list[bool] = []
    try:
        desk.hand.wake()
        assert desk.hand.wait(0)  # that ring is used up

        def watch() -> None:
            answers.append(desk.hand.wait(10))

        waiting = threading.Thread(target=watch)
        waiting.start()
    finally:
        slow.end()
    waiting.join(5)
    assert answers == [True]


def test_who_waits_while_a_claim_is_under_way_hears_of_a_job_that_comes_due_soon(desk: Desk) -> None:
    """The claim's answer names it, after the wait has begun."""
    desk.settle_down()
    slow = Slow(desk, answer=brought(due_in=0.1))
    desk.hand.wait(0)
    seconds: list[float] = []
    waiting = threading.Thread(target=lambda: seconds.append(desk.seconds_to_next_claim(3)))
    waiting.start()
    try:
        waiting.join(0.05)  # nothing tells that it has begun to wait
    finally:
        slow.end()
    waiting.join(10)
    assert seconds[0] < 3, "it slept on, past the time"


def test_a_retry_that_is_settled_while_a_claim_is_under_way_is_waited_for(desk: Desk) -> None:
    """The claim may have looked before the settlement was committed: then its answer does not name the retry."""
    desk.settle_down()
    slow = Slow(desk)
    try:
        desk.hand.expect(0.1)
    finally:
        slow.end()
    assert desk.seconds_to_next_claim(3) < 3, "it waits for the poll"


# -- where it looks -------------------------------------------------------------------------------------------------------


class Scans:
    """A desk whose clock is set by hand: a claim takes `takes` seconds, a look is due whenever it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.takes = 0.01
        self.jobs: list[Claimed] = []
        self.heads: dict[Lane, Watermark] = {}
        for module in ("_claim", "_marks"):
            monkeypatch.setattr(f"steve.{module}.time", SimpleNamespace(monotonic=lambda: self.now))
        self.desk = Desk()
        self.desk.answer = self.answer

    def answer(self) -> ClaimReply:
        self.now += self.takes
        return ClaimReply(self.jobs, None, self.takes, self.heads if self.desk.demands[-1].marks is None else {})

    def claim(self, *jobs: Claimed) -> Mapping[Lane, Watermark] | None:
        """What the claim looks above; None: it is a full scan."""
        self.jobs = list(jobs)
        self.desk.hand.wake()
        self.desk.hand.refill(2)
        return self.desk.demands[-1].marks


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    return Scans(monkeypatch)


LANE = Lane("default", "a", 0)


def mark_of(job: Claimed) -> Watermark:
    return (job.run_at, job.id)


def test_the_first_claims_look_everywhere_until_there_is_a_mark(scans: Scans) -> None:
    assert [scans.claim() for _ in range(3)] == [None] * 3


def test_after_a_full_scan_claims_look_above_the_last_job_for_twenty_times_as_long(scans: Scans) -> None:
    first, second = claimed(1), claimed(2)
    assert scans.claim(first) is None  # took 0.01
    assert scans.claim(second) == {LANE: mark_of(first)}
    assert scans.claim() == {LANE: mark_of(second)}
    scans.now += 0.17
    assert scans.claim() == {LANE: mark_of(second)}, "a scan that found nothing moved the mark"
    scans.now += 0.01
    assert scans.claim() is None


def test_a_full_scan_that_finds_the_table_healthy_is_followed_by_another(scans: Scans) -> None:
    scans.takes = 0.0
    assert [scans.claim(claimed(number)) for number in range(1, 5)] == [None] * 4


def test_each_lane_has_a_mark_of_its_own(scans: Scans) -> None:
    jobs = [claimed(1), claimed(2, "b"), claimed(3)._replace(priority=5), claimed(4)._replace(queue="mail"), claimed(5, "b")]
    scans.claim(*jobs)
    assert scans.claim() == {
        LANE: mark_of(jobs[0]),
        Lane("default", "b", 0): mark_of(jobs[4]),
        Lane("default", "a", 5): mark_of(jobs[2]),
        Lane("mail", "a", 0): mark_of(jobs[3]),
    }


def test_a_lane_that_a_full_scan_met_but_did_not_claim_from_is_looked_into_from_its_first_job_on(scans: Scans) -> None:
    """Else it would wait for the next full scan, while the other lanes are served."""
    other = Lane("default", "b", 0)
    scans.heads = {LANE: mark_of(claimed(1)), other: mark_of(claimed(9, "b"))}
    scans.claim(claimed(1))
    marks = scans.claim()
    assert marks is not None
    assert marks[LANE] == mark_of(claimed(1))
    assert marks[other] < mark_of(claimed(9, "b"))
    scans.claim(claimed(9, "b"))
    assert scans.claim() == {LANE: mark_of(claimed(1)), other: mark_of(claimed(9, "b"))}


def test_a_mark_moves_back_only_where_more_may_lie_below_it(scans: Scans) -> None:
    scans.desk.hand.pace.took("a", HAND_SECONDS / 100)  # asks for many
    scans.claim(claimed(50))
    scans.desk.hand.wake(everywhere=True)
    assert scans.claim(claimed(20)) is None  # it asked for many and got one: below 50 there is nothing left
    assert scans.claim() == {LANE: mark_of(claimed(50))}
    scans.desk.hand.wake(everywhere=True)
    scans.claim(*[claimed(number) for number in range(20, 20 + LANE_LEAST)])  # as many as it may: there may be more
    assert scans.claim() == {LANE: mark_of(claimed(20 + LANE_LEAST - 1))}


def test_what_was_given_back_anywhere_and_a_lost_connection_lead_to_a_full_scan(scans: Scans) -> None:
    scans.claim(claimed(1))
    assert scans.claim() is not None
    scans.desk.hand.wake(everywhere=True)
    assert scans.claim() is None
    assert scans.claim() is not None

    def fail() -> ClaimReply:
        raise Transient("away")

    scans.desk.answer = fail
    scans.claim()
    scans.desk.answer = scans.answer
    scans.now += 1.0
    assert scans.claim() is None


def test_a_short_scan_that_finds_nothing_does_not_wait_for_the_poll(scans: Scans) -> None:
    scans.claim(claimed(1))  # took 0.01: the next full scan is due in 0.2 s
    scans.takes = 0.0
    assert scans.claim() is not None
    scans.now += 0.19
    assert not scans.desk.looks()
    scans.now += 0.02
    assert scans.desk.looks()
    assert scans.desk.demands[-1].marks is None


def test_slow_full_scans_are_left_to_another_thread_unless_it_does_not_come(scans: Scans) -> None:
    scans.takes = SLOW_SCAN * 2
    scans.claim(claimed(1))
    scans.now += FULL_SCAN_EVERY * SLOW_SCAN * 2
    assert scans.claim() is not None, "a claim waited for a slow scan"

    demands: list[Demand] = []

    def claim(demand: Demand) -> ClaimReply:
        demands.append(demand)
        scans.now += SLOW_SCAN * 2
        return ClaimReply([claimed(5), claimed(6)], None, SLOW_SCAN * 2, {})

    assert scans.desk.hand.look_everywhere(claim, 2) == 2
    assert demands[0].marks is None
    assert [job.id for job in iter(scans.desk.hand.draw, None)] == [1, 5, 6]
    scans.now += FULL_SCAN_EVERY * SLOW_SCAN * 2 + OVERDUE
    assert scans.claim() is None


def test_only_so_many_marks_are_kept(scans: Scans) -> None:
    jobs = [claimed(number, f"type {number}") for number in range(LANES_MOST + 1)]
    scans.claim(*jobs)
    scans.desk.hand.wake(everywhere=True)
    scans.claim(claimed(1))
    assert scans.claim() == {LANE: mark_of(claimed(1))}


# -- trouble --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Transient("away"), InDoubt("lost"), Misconfigured("no table")], ids=lambda e: type(e).__name__
)
def test_after_a_claim_that_failed_the_next_one_waits_whoever_wakes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: DatabaseFailure
) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.4)
    desk = Desk()

    def fail() -> ClaimReply:
        raise error

    desk.answer = fail
    assert desk.hand.refill(2) == 0
    desk.answer = lambda: brought(1)
    desk.hand.wake()
    assert desk.hand.refill(2) == 0
    assert len(desk.demands) == 1
    assert 0.15 <= desk.seconds_to_next_claim() < 5  # 0.4, half more or less
    assert len(desk.hand) == 1


def test_waiting_out_a_failure_is_no_busy_loop(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.5)
    desk = Desk()

    def fail() -> ClaimReply:
        raise Transient("away")

    desk.answer = fail
    looks = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        desk.hand.wake()  # notifications go on coming
        desk.hand.refill(2)
        looks += 1
        desk.hand.wait(0.05)
    assert len(desk.demands) <= 3


def test_a_job_that_comes_due_while_a_failure_is_waited_out_makes_nobody_look_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 2.0)
    desk = Desk()

    def fail() -> ClaimReply:
        raise Transient("away")

    desk.answer = fail
    desk.hand.refill(2)
    desk.hand.expect(0.001)
    desk.hand.wait(0.01)  # the ring
    before = time.monotonic()
    assert not desk.hand.wait(0.2)
    assert time.monotonic() - before >= 0.19


# -- a claim whose answer was lost ----------------------------------------------------------------------------------------


def lose_a_claim(desk: Desk, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """The next claim takes these jobs, and its answer does not arrive."""
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.001)
    desk.hand._backoff.reset()

    def lose() -> ClaimReply:
        raise InDoubt("the connection is lost")

    desk.answer = lose
    desk.hand.wake()
    assert desk.hand.refill(2) == 0
    desk.held = [claimed(number) for number in numbers]
    desk.answer = brought


def test_the_jobs_of_a_claim_whose_answer_was_lost_are_taken_up_by_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.fill(1)
    lose_a_claim(desk, monkeypatch, 2, 3)
    desk.seconds_to_next_claim()
    assert desk.answered == [[claimed(1).claimed_at]]
    assert [job.id for job in iter(desk.hand.draw, None)] == [1, 2, 3]
    assert "the reply to a claim was lost; the 2 jobs that it took are at hand" in caplog.text
    desk.hand.wake()
    assert desk.looks()
    assert len(desk.answered) == 1, "only after a loss"


def test_where_no_claim_was_answered_before_all_that_this_process_holds_is_taken_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_a_claim(desk, monkeypatch, 1)
    desk.seconds_to_next_claim()
    assert desk.answered == [[]]
    assert len(desk.hand) == 1


def test_who_cannot_ask_what_was_lost_asks_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_a_claim(desk, monkeypatch, 1)
    errors: list[DatabaseFailure] = [Transient("away"), InDoubt("lost")]
    find_claimed = desk.hand._find_claimed

    def find(answered: list[datetime]) -> list[Claimed]:
        if errors:
            raise errors.pop()
        return find_claimed(answered)

    monkeypatch.setattr(desk.hand, "_find_claimed", find)
    desk.seconds_to_next_claim()
    assert errors == []
    assert len(desk.hand) == 1


def test_the_jobs_of_a_slow_full_scan_whose_answer_was_lost_are_taken_up_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(demand: Demand) -> ClaimReply:
        raise InDoubt("the connection is lost")

    desk.fill(1)
    with pytest.raises(InDoubt):
        desk.hand.look_everywhere(lose, 2)
    desk.held = [claimed(2)]
    desk.hand.wake()
    assert desk.looks()
    assert [job.id for job in iter(desk.hand.draw, None)] == [1, 2]


@pytest.mark.parametrize("error", [Refused("a row cannot be read"), MemoryError()], ids=repr)
def test_a_claim_whose_answer_cannot_be_read_is_lost_too(desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.001)
    desk.hand._backoff.reset()

    def fail() -> ClaimReply:
        raise error

    desk.answer = fail
    with contextlib.suppress(MemoryError):
        desk.hand.refill(2)
    desk.held, desk.answer = [claimed(1)], brought
    desk.seconds_to_next_claim()
    assert len(desk.hand) == 1


def test_what_took_nothing_leaves_nothing_to_look_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.upkeep.outage.BACKOFF_FIRST", 0.001)
    desk.hand._backoff.reset()
    errors: list[DatabaseFailure] = [Transient("away"), Misconfigured("no table")]

    def fail() -> ClaimReply:
        raise errors.pop()

    for _ in (1, 2):
        desk.answer = fail
        desk.seconds_to_next_claim()
    desk.answer = brought
    desk.seconds_to_next_claim()
    assert desk.answered == []


def test_what_was_lost_cannot_be_read_either_and_claims_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_a_claim(desk, monkeypatch, 1)
    questions: list[int] = []

    def find(answered: list[datetime]) -> list[Claimed]:
        questions.append(1)
        raise Refused("a row cannot be read")

    monkeypatch.setattr(desk.hand, "_find_claimed", find)
    before = len(desk.demands)
    until(lambda: desk.hand.refill(2) == 0 and len(desk.demands) > before)
    assert questions == [1]
    assert desk.hand.in_doubt()  # it is tried again in a minute


def test_what_was_lost_is_looked_for_once_more_after_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may notice late that its client is gone, and commit after the first look."""
    monkeypatch.setattr("steve._engine.claim.in_doubt.SECOND_LOOK", 0.2)
    lose_a_claim(desk, monkeypatch)
    desk.seconds_to_next_claim()
    assert (len(desk.answered), desk.hand.in_doubt()) == (1, True)
    desk.held = [claimed(2)]
    assert until(desk.hand.recover) == 1
    assert (len(desk.answered), desk.hand.in_doubt()) == (2, False)
    assert desk.hand.draw() == claimed(2)
    assert desk.hand.recover() == 0
    assert len(desk.answered) == 2, "only once more"


def test_until_that_second_look_all_claims_that_were_answered_are_remembered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steve._engine.claim.in_doubt.ANSWERED_MOST", 3)
    at = claimed(0).claimed_at

    def answer_claims(*numbers: int) -> None:
        for number in numbers:
            desk.answer = lambda number=number: ClaimReply(
                [claimed(number)._replace(claimed_at=at + timedelta(seconds=number))], None, 0.0, {}
            )
            desk.hand.wake()
            desk.hand.refill(2)

    answer_claims(*range(5))
    assert len(desk.hand._lost._answered) == 3
    lose_a_claim(desk, monkeypatch)
    desk.seconds_to_next_claim()
    answer_claims(*range(5, 10))
    desk.hand._lost._second_look = 0.0
    desk.hand.recover()
    assert [(one - at).seconds for one in desk.answered[-1]] == list(range(2, 10))
    assert len(desk.hand._lost._answered) == 3


def test_a_scan_that_loses_its_answer_while_another_loss_is_looked_into_is_not_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_a_claim(desk, monkeypatch)
    looked, lost = threading.Event(), threading.Event()

    def lose(demand: Demand) -> ClaimReply:
        looked.wait(10)
        raise InDoubt("the connection is lost")

    def scan() -> None:
        with contextlib.suppress(InDoubt):
            desk.hand.look_everywhere(lose, 2)
        lost.set()

    class Scanning:
        """The scans' lock; when the look gives it up, the scan takes it, and is through before the look goes on."""

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if threading.current_thread() is looking:
                looked.set()
                scanning.start()
                lost.wait(10)

        lock = threading.Lock()

    monkeypatch.setattr(desk.hand, "_scanning", Scanning())
    scanning, looking = threading.Thread(target=scan), threading.current_thread()
    assert desk.hand.recover() == 0
    scanning.join(10)
    monkeypatch.setattr(desk.hand, "_scanning", threading.Lock())
    desk.held = [claimed(1)]
    assert desk.hand.recover() == 1


# -- the end --------------------------------------------------------------------------------------------------------------


def test_the_end_gives_back_what_a_lost_claim_took(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_a_claim(desk, monkeypatch, 1, 2)
    errors: list[DatabaseFailure] = [Transient("away"), InDoubt("lost")]
    find_claimed = desk.hand._find_claimed

    def find(answered: list[datetime]) -> list[Claimed]:
        if errors:
            raise errors.pop()
        return find_claimed(answered)

    monkeypatch.setattr(desk.hand, "_find_claimed", find)
    desk.hand.end()
    assert [verdict.job.id for verdict in desk.returned] == [1, 2]
    assert desk.hand.in_doubt(), "that claim may still be committed: whoever rescues must find this process"


def test_the_end_comes_though_the_database_stays_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steve._engine.claim.buffer.PARTING_SECONDS", 0.05)
    desk.fill(1)
    lose_a_claim(desk, monkeypatch)

    def find(answered: list[datetime]) -> list[Claimed]:
        raise Transient("away")

    monkeypatch.setattr(desk.hand, "_find_claimed", find)
    desk.hand.end()
    assert [verdict.job.id for verdict in desk.returned] == [1]
    assert desk.hand.in_doubt()


def test_an_end_without_a_loss_asks_nothing(desk: Desk) -> None:
    desk.fill(1)
    desk.hand.end()
    assert desk.answered == []
    assert not desk.hand.in_doubt()


def test_a_closed_hand_claims_nothing_and_still_gives_what_it_has(desk: Desk) -> None:
    desk.fill(1, 2)
    desk.hand.close()
    desk.hand.wake()
    assert desk.hand.refill(2) == 0
    assert len(desk.demands) == 1
    assert desk.hand.draw() == claimed(1)


def test_giving_back_puts_verdicts_on_the_pile_that_count_no_attempt(desk: Desk) -> None:
    desk.fill(1, 2, 3)
    desk.hand.draw()
    assert desk.hand.give_back() == 2
    assert len(desk.hand) == 0
    assert [verdict.job.id for verdict in desk.returned] == [2, 3]
    for verdict in desk.returned:
        assert (verdict.status, verdict.attempt_status, verdict.begun, verdict.delay) == (Status.PENDING, None, None, None)
    assert desk.hand.give_back() == 0


def test_only_what_has_lain_there_too_long_is_given_back_and_the_rest_keeps_its_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("steve._engine.claim.buffer.time", SimpleNamespace(monotonic=lambda: now[0]))
    desk.fill(1, 2)
    now[0] += 0.7
    desk.fill(3, 4)
    assert desk.hand.give_back(older_than=1.0) == 0
    now[0] += 0.7
    assert desk.hand.give_back(older_than=1.0) == 2
    assert [verdict.job.id for verdict in desk.returned] == [1, 2]
    assert [job.id for job in iter(desk.hand.draw, None)] == [3, 4]


def test_what_is_not_old_enough_is_never_out_of_the_hand(desk: Desk) -> None:
    """A worker that looks at that moment would find it empty."""

    class Deque(deque[tuple[float, Claimed]]):
        def popleft(self) -> tuple[float, Claimed]:
            raise AssertionError("taken out")

    desk.fill(1, 2)
    desk.hand._jobs = Deque(desk.hand._jobs)
    assert desk.hand.give_back(older_than=60.0) == 0


def test_each_job_is_drawn_or_given_back_once_whoever_races(desk: Desk) -> None:
    total = 20_000
    desk.fill(*range(total))
    drawn: list[list[int]] = [[] for _ in range(4)]
    counts: list[int] = []

    def draw(mine: list[int]) -> None:
        while (job := desk.hand.draw()) is not None:
            mine.append(job.id)

    def give_back() -> None:
        counts.extend(desk.hand.give_back(older_than=0.01) for _ in range(50))
        counts.append(desk.hand.give_back())

    threads = [threading.Thread(target=draw, args=(mine,)) for mine in drawn]
    threads += [threading.Thread(target=give_back) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    returned = [verdict.job.id for verdict in desk.returned]
    assert sorted(chain(returned, *drawn)) == list(range(total))
    assert sum(counts) == len(returned)


# -- how much is asked for ------------------------------------------------------------------------------------------------


def ask(
    paces: dict[str, float], handlers: Handlers, workers: int = 4, idle: int = 4, at_hand: int = 0, payload: int = 0
) -> Demand:
    pace = ClaimSizer()
    for type, seconds in paces.items():
        pace.took(type, seconds)
    if payload:
        for _ in range(20):  # it is a moving average
            pace.weighed([claimed(1, payload="x" * payload)])
    return pace.demand(handlers, workers, idle, at_hand, marks=None)


A_AND_B = Handlers(None, {"a": print, "b": print})
ALL = Handlers(print, {"a": print})


@pytest.mark.parametrize(
    ("arguments", "n", "mosts"),
    [
        # never run: what is idle, no more
        ({"paces": {}}, 4, {"a": 4, "b": 4}),
        ({"paces": {}, "idle": 1}, 1, {"a": 1, "b": 1}),
        # as many as 4 workers begin in HAND_SECONDS, and what is idle
        ({"paces": {"a": HAND_SECONDS / 10}}, 44, {"a": 44, "b": 4}),
        ({"paces": {"a": HAND_SECONDS / 10}, "idle": 0}, 40, {"a": 40, "b": 0}),
        ({"paces": {"a": 60.0}}, 4, {"a": 4, "b": 4}),
        # the mean of all for n, each type's own for its limit
        ({"paces": {"a": HAND_SECONDS / 10, "b": HAND_SECONDS / 10}}, 44, {"a": 44, "b": 44}),
        # never more than a claim may bring
        ({"paces": {"a": 0.0}}, HAND_MOST, {"a": HAND_MOST, "b": 4}),
        ({"paces": {"a": 1e-9}, "workers": 1000, "idle": 1000}, HAND_MOST, {"a": HAND_MOST, "b": 1000}),
        # less what is there
        ({"paces": {"a": HAND_SECONDS / 10}, "at_hand": 20}, 24, {"a": 44, "b": 4}),
        ({"paces": {"a": HAND_SECONDS / 10}, "at_hand": 100}, 1, {"a": 44, "b": 4}),
        # and no more than fits
        ({"paces": {"a": 0.0}, "payload": 1 << 20}, HAND_BYTES >> 20, {"a": HAND_MOST, "b": 4}),
        ({"paces": {"a": 0.0}, "payload": HAND_BYTES * 2}, 1, {"a": HAND_MOST, "b": 4}),
    ],
    ids=str,
)
def test_as_much_is_asked_for_as_is_begun_soon(arguments: dict[str, Any], n: int, mosts: dict[str, int]) -> None:
    demand = ask(handlers=A_AND_B, **arguments)
    assert (demand.n, demand.mosts, demand.any_type) == (n, mosts, False)


def test_a_fallback_serves_any_type_each_at_its_own_pace() -> None:
    demand = ask({"known": HAND_SECONDS / 10, "a": 60.0}, ALL)
    assert demand.any_type
    assert demand.mosts == {"known": 44, "a": 4}
    assert demand.unknown_most == 4


def test_only_so_many_paces_are_kept() -> None:
    pace = ClaimSizer()
    for number in range(PACES_MOST + 5):
        pace.took(f"type {number}", 1.0)
    mosts = pace.demand(Handlers(print, None), 1, 1, 0, marks=None).mosts
    assert f"type {PACES_MOST + 4}" in mosts
    assert len(mosts) <= PACES_MOST


def test_a_pace_follows_what_the_handlers_take_now() -> None:
    pace = ClaimSizer()

    def most() -> int:
        return pace.demand(A_AND_B, 1, 1, 0, marks=None).mosts["a"]

    pace.took("a", 60.0)
    assert most() == 1
    for _ in range(60):
        pace.took("a", HAND_SECONDS / 10)
    assert most() >= 10
    for _ in range(3):
        pace.took("a", 60.0)
    assert most() == 1
