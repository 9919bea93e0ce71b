"""The worker pool on real threads: it runs each job once, wakes the workers that are needed, and stops for backpressure."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from steve import Job, Status, current_run
from steve._engine.events.event import Event
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.claim.harness import claimed
from tests.engine.work.harness import PoolHarness

MakePool = Callable[..., PoolHarness]

# -- the walk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 10, 50])
def test_each_job_is_run_once_however_many_workers_there_are(make_pool: MakePool, workers: int) -> None:
    harness = make_pool(workers)
    harness.start(*map(claimed, range(500)))
    until(lambda: len(harness.queue) == 500)
    harness.create(*map(claimed, range(500, 1000)))
    until(lambda: len(harness.queue) == 1000)
    verdicts = harness.stop()
    assert Counter(verdict.job.uid.int for verdict in verdicts) == Counter(range(1000))
    assert {verdict.status for verdict in verdicts} == {Status.COMPLETED}
    assert harness.engine.ends == 1


def test_as_many_jobs_run_at_once_as_there_are_workers_and_no_more(make_pool: MakePool, gate: threading.Event) -> None:
    begun: list[int] = []

    def handler(job: Job) -> None:
        begun.append(job.uid.int)
        gate.wait(60)

    harness = make_pool(4, handler)
    harness.start(*map(claimed, range(10)))
    until(lambda: len(begun) == 4)
    assert set(harness.running_ids()) == set(begun)
    assert len(harness.database.pending) + len(harness.buffer) == 6
    gate.set()
    until(lambda: len(harness.queue) == 10)
    until(lambda: not len(harness.running))


@pytest.mark.parametrize("learned", [False, True], ids=["a type that has never run", "a type that was fast until now"])
def test_all_workers_that_are_needed_are_woken(make_pool: MakePool, learned: bool) -> None:
    together = threading.Barrier(8)
    harness = make_pool(8, lambda job: together.wait(60) if job.uid.int >= 1000 else None)
    fast = 500 if learned else 0
    harness.start(*map(claimed, range(fast)))
    until(lambda: len(harness.queue) == fast)
    for number in (1, 2, 3):
        harness.create(*map(claimed, range(number * 1000, number * 1000 + 8)))
        until(lambda number=number: len(harness.queue) == fast + 8 * number)
    verdicts = harness.stop()
    assert {verdict.status for verdict in verdicts if verdict.job.uid.int >= 1000} == {Status.COMPLETED}


def test_a_job_that_comes_while_all_but_one_are_busy_is_run_by_that_one(make_pool: MakePool, gate: threading.Event) -> None:
    harness = make_pool(3, lambda job: gate.wait(60) if job.uid.int >= 1000 else None)
    harness.start(claimed(1000), claimed(1001))
    until(lambda: len(harness.running) == 2)
    for number in range(50):
        harness.create(claimed(number))
        until(lambda number=number: len(harness.queue) == number + 1)


# -- a job on its last chance ---------------------------------------------------------------------------------------------

ON_LAST_CHANCE = claimed(100)._replace(crashes=2, attempts=3)


def test_a_job_on_its_last_chance_begins_when_nothing_runs_and_runs_alone(make_pool: MakePool, gate: threading.Event) -> None:
    begun: list[int] = []
    first = threading.Event()

    def handler(job: Job) -> None:
        begun.append(job.uid.int)
        until(lambda: gate.is_set() or (job.uid.int < 10 and first.is_set()), timeout=60)

    harness = make_pool(4, handler)
    settled = harness.settle()
    harness.start(claimed(1), claimed(2))
    until(lambda: len(begun) == 2)
    harness.create_on_last_chance(ON_LAST_CHANCE)
    until(lambda: harness.claimer.last_chance.is_due)
    harness.create(claimed(200), claimed(201))
    assert sorted(begun) == [1, 2]
    first.set()
    until(lambda: len(begun) == 3)
    assert begun[2] == 100
    harness.claimer.wake()
    assert harness.running_ids() == [100]
    gate.set()
    until(lambda: len(settled) == 5)
    assert [verdict.status for verdict in harness.stop()] == [Status.COMPLETED] * 5
    assert set(begun) == {1, 2, 100, 200, 201}


def test_a_job_on_its_last_chance_waits_until_the_outcomes_of_others_are_written(make_pool: MakePool) -> None:
    """If it kills this process, what they did must not be lost with it."""
    begun: list[int] = []
    harness = make_pool(2, lambda job: begun.append(job.uid.int))
    harness.start(claimed(1), claimed(2))
    until(lambda: len(harness.queue) == 2 and not len(harness.running))
    answers = harness.queue.settled_answers
    harness.create_on_last_chance(ON_LAST_CHANCE)
    until(lambda: len(answers) >= 3 or len(begun) == 3)
    assert sorted(begun) == [1, 2]
    assert not any(answers)
    harness.settle()
    until(lambda: len(begun) == 3)
    assert len(harness.stop()) == 3


def test_a_worker_that_waits_to_run_a_job_alone_goes_on_when_the_job_was_taken(
    make_pool: MakePool, gate: threading.Event
) -> None:
    harness = make_pool(3, lambda job: gate.wait(60) if job.uid.int < 10 else None, poll=0.05)
    harness.start(claimed(1))
    until(lambda: len(harness.running))
    harness.create_on_last_chance(ON_LAST_CHANCE)
    until(lambda: harness.database.claims_alone >= 2)  # from poll to poll
    assert harness.claimer.last_chance.is_due
    harness.create(claimed(200))
    harness.database.last_chance = []
    until(lambda: len(harness.queue) == 1)
    assert not harness.claimer.last_chance.is_due


# -- backpressure ---------------------------------------------------------------------------------------------------------


def test_while_too_many_verdicts_wait_no_job_begins(make_pool: MakePool) -> None:
    harness = make_pool(4, tuning=Tuning(unsettled_most=20))
    harness.start(*map(claimed, range(200)))
    until(lambda: harness.queue.backpressure.is_engaged() and not len(harness.running))
    assert 20 <= len(harness.queue) < 30
    settled: list[Verdict] = []
    while len(settled) < 200:
        until(lambda: len(harness.queue))
        settled += harness.queue.take().verdicts
    assert Counter(verdict.job.uid.int for verdict in settled) == Counter(range(200))


def test_while_too_many_events_wait_nothing_is_claimed(make_pool: MakePool) -> None:
    harness = make_pool(4, tuning=Tuning(events_most=20, idle_wait=0.01))
    for number in range(20):
        harness.dispatcher.put(Event(claimed(number), "host:1", None, None))
    harness.start(*map(claimed, range(200)))
    until(lambda: harness.threads.turns > 10)
    assert harness.database.claims == 0
    telling = threading.Thread(target=harness.dispatcher.run)
    telling.start()
    try:
        until(lambda: len(harness.queue) == 200)
    finally:
        harness.dispatcher.end()
        telling.join(30)


# -- the end --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 8])
def test_the_end_comes_once_when_the_last_handler_has_returned(
    make_pool: MakePool, gate: threading.Event, workers: int
) -> None:
    harness = make_pool(workers, lambda job: gate.wait(60))
    harness.start(*map(claimed, range(workers + 5)))
    until(lambda: len(harness.running) == workers)
    for _ in range(3):
        harness.pool.stop()
    assert harness.engine.ends == 0
    gate.set()
    verdicts = harness.stop()
    assert [verdict.status for verdict in verdicts] == [Status.COMPLETED] * workers
    assert harness.engine.ends == 1


def test_an_idle_pool_ends_at_once(make_pool: MakePool) -> None:
    harness = make_pool(10)
    harness.start()
    until(harness.turns.has_idle)
    assert harness.stop() == []


def test_a_pool_that_was_never_started_ends_too(make_pool: MakePool) -> None:
    assert make_pool(2).stop() == []


def test_handlers_see_that_the_pool_stops(make_pool: MakePool) -> None:
    waiting = threading.Event()

    def patient(job: Job) -> bool:
        waiting.set()
        return current_run().wait(60)

    harness = make_pool(1, patient)
    harness.start(claimed(1))
    assert waiting.wait(30)
    (verdict,) = harness.stop()
    assert verdict.result == "true"
