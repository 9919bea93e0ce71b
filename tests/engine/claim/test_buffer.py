"""The buffer of claimed jobs: when it is low, how many workers its jobs are worth, and what is given back."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from math import inf

import pytest

from steve import Status
from steve._engine.claim.buffer import JobBuffer
from steve._model.outcome import Verdict
from tests.engine.claim.harness import TUNING, Clock, claimed


class BufferHarness:
    """A buffer on a clock that a test moves, and what it gave back."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.returned: list[Verdict] = []
        self.clock = Clock()
        self.buffer = JobBuffer(put_verdict=self.returned.append, tuning=TUNING, clock=clock or self.clock)

    def add(self, *numbers: int, seconds_each: float = inf) -> None:
        self.buffer.add([claimed(number) for number in numbers], seconds_each)

    def take_all(self) -> list[int]:
        return [job.uid.int for job in iter(self.buffer.take, None)]


@pytest.fixture
def harness() -> BufferHarness:
    return BufferHarness()


# -- taking ---------------------------------------------------------------------------------------------------------------


def test_jobs_are_taken_in_the_order_in_which_they_were_claimed(harness: BufferHarness) -> None:
    assert harness.buffer.take() is None
    harness.add(3, 1, 2)
    harness.add(5, 4)
    assert len(harness.buffer) == 5
    assert [job.uid.int for job in harness.buffer.jobs()] == [3, 1, 2, 5, 4]
    assert harness.take_all() == [3, 1, 2, 5, 4]
    assert len(harness.buffer) == 0


def test_it_is_low_at_half_of_what_was_asked_for_and_when_empty(harness: BufferHarness) -> None:
    assert harness.buffer.is_low()
    harness.buffer.expect(10)
    harness.add(*range(10))
    low = []
    while harness.buffer.take():
        low.append(harness.buffer.is_low())
    assert low == [False] * 4 + [True] * 6


def test_the_job_that_was_just_added_is_taken_from_the_end(harness: BufferHarness) -> None:
    harness.add(1)
    last = claimed(2)
    harness.buffer.add([last], inf)
    assert harness.buffer.take_last(last)
    assert harness.take_all() == [1]


def test_a_job_that_another_worker_has_taken_is_not_taken_from_the_end(harness: BufferHarness) -> None:
    assert not harness.buffer.take_last(claimed(2))
    harness.add(1)
    assert not harness.buffer.take_last(claimed(2))
    assert harness.take_all() == [1]


# -- how many workers the jobs are worth ----------------------------------------------------------------------------------


def test_one_worker_suffices_for_a_few_short_jobs_and_none_for_no_job(harness: BufferHarness) -> None:
    assert harness.buffer.is_enough_for(0)
    harness.add(*range(10), seconds_each=TUNING.work_per_worker / 20)  # together half of what a worker is worth
    assert not harness.buffer.is_enough_for(0)
    assert harness.buffer.is_enough_for(1)


def test_there_is_a_worker_for_so_much_work(harness: BufferHarness) -> None:
    harness.add(*range(70), seconds_each=TUNING.work_per_worker / 20)  # as much as 3.5 workers are worth
    assert not harness.buffer.is_enough_for(3)
    assert harness.buffer.is_enough_for(4)


@pytest.mark.parametrize("seconds_each", [TUNING.tick * 1.1, inf], ids=["longer than a tick", "unknown"])
def test_jobs_that_may_take_long_get_all_workers(harness: BufferHarness, seconds_each: float) -> None:
    harness.add(1, seconds_each=seconds_each)
    assert not harness.buffer.is_enough_for(1_000)


def test_after_a_tick_without_a_taken_job_all_workers_are_needed(harness: BufferHarness) -> None:
    harness.add(1, 2, 3, seconds_each=0.0)
    assert harness.buffer.is_enough_for(1)
    assert not harness.buffer.has_stalled()
    harness.buffer.take()
    assert not harness.buffer.has_stalled()
    assert harness.buffer.has_stalled()
    assert not harness.buffer.is_enough_for(1)


def test_an_empty_buffer_has_not_stalled(harness: BufferHarness) -> None:
    assert [harness.buffer.has_stalled() for _ in range(3)] == [False] * 3


# -- giving back ----------------------------------------------------------------------------------------------------------


def test_a_job_that_is_given_back_is_pending_and_counts_no_attempt(harness: BufferHarness) -> None:
    harness.add(1, 2, 3)
    harness.buffer.take()
    assert harness.buffer.give_back() == 2
    assert len(harness.buffer) == 0
    assert [verdict.job.uid.int for verdict in harness.returned] == [2, 3]
    for verdict in harness.returned:
        assert (verdict.status, verdict.attempt_status, verdict.begun, verdict.delay) == (Status.PENDING, None, None, None)
    assert harness.buffer.give_back() == 0


def test_only_what_lay_there_too_long_is_given_back_and_the_rest_keeps_its_order(harness: BufferHarness) -> None:
    harness.add(1, 2)
    harness.clock.now += 0.7
    harness.add(3, 4)
    assert harness.buffer.give_back(older_than=1.0) == 0
    harness.clock.now += 0.7
    assert harness.buffer.give_back(older_than=1.0) == 2
    assert [verdict.job.uid.int for verdict in harness.returned] == [1, 2]
    assert harness.take_all() == [3, 4]


def test_old_jobs_are_those_that_have_lain_there_for_buffer_age(harness: BufferHarness) -> None:
    harness.add(1)
    harness.clock.now += TUNING.buffer_age * 0.9
    harness.add(2)
    harness.clock.now += TUNING.buffer_age * 0.2
    harness.buffer.give_back_old()
    assert [verdict.job.uid.int for verdict in harness.returned] == [1]


def test_jobs_given_back_after_the_close_are_counted(harness: BufferHarness) -> None:
    harness.add(1, 2)
    harness.buffer.give_back()
    harness.buffer.close()
    assert harness.buffer.returned == 0
    harness.add(3)
    harness.buffer.give_back()
    assert harness.buffer.returned == 1


def test_a_job_that_is_not_old_enough_never_leaves_the_buffer() -> None:
    """A worker that looks at that moment would find the buffer empty."""
    lengths: list[int] = []

    class Moment(float):
        """A time that notes how many jobs are in the buffer when it is compared."""

        def __gt__(self, other: float) -> bool:
            lengths.append(len(harness.buffer))
            return super().__gt__(other)

    harness = BufferHarness(clock=lambda: Moment(1000.0))
    harness.add(1, 2)
    assert harness.buffer.give_back(older_than=60.0) == 0
    assert lengths == [2]


def test_each_job_is_taken_or_given_back_once_however_threads_race() -> None:
    total = 20_000
    harness = BufferHarness(clock=time.monotonic)
    harness.add(*range(total))
    taken: list[list[int]] = [[] for _ in range(4)]
    counts: list[int] = []

    def take(mine: list[int]) -> None:
        while (job := harness.buffer.take()) is not None:
            mine.append(job.uid.int)

    def give_back() -> None:
        counts.extend(harness.buffer.give_back(older_than=0.01) for _ in range(50))
        counts.append(harness.buffer.give_back())

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    threads += [threading.Thread(target=give_back) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    returned = [verdict.job.uid.int for verdict in harness.returned]
    assert sorted(chain(returned, *taken)) == list(range(total))
    assert sum(counts) == len(returned)


def test_a_job_whose_time_to_begin_is_over_is_not_taken(harness: BufferHarness) -> None:
    at = claimed(1).claimed_at
    expires_in = {2: 5.0, 3: -1.0, 4: None, 5: 5.1}
    for number, seconds in expires_in.items():
        extras = None if seconds is None else json.dumps({"expires_at": (at + timedelta(seconds=seconds)).isoformat()})
        harness.buffer.add([claimed(number)._replace(extras=extras)], inf)
    harness.clock.now += 5.0
    assert harness.take_all() == [4, 5]
    assert [verdict.job.uid.int for verdict in harness.returned] == [2, 3]
    assert {verdict.status for verdict in harness.returned} == {Status.CANCELLED}


# -- what is paused goes back ---------------------------------------------------------------------------------------------


def test_some_go_back_and_the_others_stay_in_their_order(harness: BufferHarness) -> None:
    harness.add(*range(10))
    harness.clock.now += 0.5
    harness.buffer.give_back_if(lambda job: job.uid.int % 3 == 0)
    assert [verdict.job.uid.int for verdict in harness.returned] == [0, 3, 6, 9]
    assert {verdict.goes_back for verdict in harness.returned} == {True}
    harness.clock.now += TUNING.buffer_age - 0.4
    assert harness.buffer.give_back(TUNING.buffer_age) == 6, "their age is that of their claim"


def test_while_some_go_back_no_job_is_lost_or_taken_twice() -> None:
    harness = BufferHarness(time.monotonic)
    taken: list[int] = []
    ended = threading.Event()

    def take() -> None:
        while not ended.is_set() or len(harness.buffer):
            if job := harness.buffer.take():
                taken.append(job.uid.int)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(0, 3_000, 30):
        harness.add(*range(number, number + 30))
        harness.buffer.give_back_if(lambda job: job.uid.int % 2 == 0)
    ended.set()
    for thread in threads:
        thread.join()
    assert sorted([*taken, *(verdict.job.uid.int for verdict in harness.returned)]) == list(range(3_000))
