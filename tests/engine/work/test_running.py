"""The list of the jobs whose handlers have not returned."""

import threading
from collections.abc import Callable

import pytest

from steve import Job
from steve._engine.work.completions import Completions
from steve._engine.work.running import RunningJobs
from steve._model.outcome import Verdict
from tests.conftest import until
from tests.engine.claim.harness import claimed
from tests.engine.work.harness import PoolHarness

MakePool = Callable[..., PoolHarness]


def test_a_running_job_names_the_thread_that_runs_it(make_pool: MakePool, gate: threading.Event) -> None:
    threads: dict[int, int] = {}

    def handler(job: Job) -> None:
        threads[job.uid.int] = threading.get_ident()
        gate.wait(60)

    harness = make_pool(4, handler)
    harness.start(*map(claimed, range(10)))
    until(lambda: len(threads) == 4)
    assert {one.job.uid.int: one.thread for one in harness.running.all()} == threads
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    assert all(names[one.thread].startswith("steve-worker") for one in harness.running.all())


def test_a_job_that_runs_anew_before_its_earlier_run_is_over_is_seen_to_run(make_pool: MakePool, gate: threading.Event) -> None:
    """It was due again at once, and the settler and another worker were quick."""
    again = claimed(1)._replace(lease_no=2, attempts=2)
    harness = make_pool(2, lambda job: gate.wait(60) if job.attempts == 2 else None)
    is_running_anew = threading.Event()

    def create_again(verdict: Verdict) -> None:
        if verdict.job.attempts == 1:
            harness.create(again)
            until(lambda: [one for one in harness.running.all() if one.job == again])
            is_running_anew.set()

    harness.queue.on_put = create_again
    harness.start(claimed(1))
    assert is_running_anew.wait(30)
    until(lambda: [one.job for one in harness.running.all()] == [again])
    gate.set()
    until(lambda: not len(harness.running))


def test_two_runs_of_one_claim_are_two_entries() -> None:
    """A standby that is promoted gives a lease_no out again while the handler of the earlier claim runs."""
    running = RunningJobs(workers=2)
    earlier, later = claimed(1), claimed(1)
    running.add(earlier)
    running.add(later)
    assert running.claims() == [earlier.key()] * 2
    running.remove(earlier)
    assert [one.job is later for one in running.all()] == [True]


class NoDatabase(Completions):
    def __init__(self) -> None:
        self.claims = set()


def test_a_job_that_its_handler_has_completed_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    """The tables say of both that they are not held any more."""
    completions = NoDatabase()
    running = RunningJobs(workers=2, completions=completions)
    completed, taken = claimed(1), claimed(2)
    running.add(completed)
    running.add(taken)
    completions.claims.add(completed.key())
    running.lose({completed.key(), taken.key()})
    assert [running.signals.is_lost(job.key()) for job in (completed, taken)] == [False, True]
    assert str(completed.uid) not in caplog.text
    completions.forget(completed.key())
    assert completions.claims == set()
