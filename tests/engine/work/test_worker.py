"""What becomes of one job: it runs, or goes back; whatever happens on the thread, the job has a verdict."""

import ctypes
import threading
from collections.abc import Callable

import pytest

from steve import Job, Snooze, Status
from steve._engine.events.event import Event
from tests.conftest import until
from tests.engine.claim.harness import claimed
from tests.engine.work.harness import PoolHarness

MakePool = Callable[..., PoolHarness]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_a_handler_that_raises_anything_ends_neither_its_thread_nor_its_chain(
    make_pool: MakePool, error: type[BaseException]
) -> None:
    threads: set[int] = set()

    def handler(job: Job) -> None:
        threads.add(threading.get_ident())
        raise error("no")

    harness = make_pool(1, handler)
    harness.start(*map(claimed, range(20)))
    until(lambda: len(harness.queue) == 20)
    assert {verdict.error for verdict in harness.stop()} == {f"{error.__name__}: no"}
    assert len(threads) == 1
    assert harness.turns.broken == 0


def raise_into_this_thread(error: type[BaseException]) -> None:
    """As a debugger does it from another thread. Python raises it at one of its next steps."""
    thread = ctypes.c_ulong(threading.get_ident())
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(error)) == 1
    while True:
        pass


def test_what_is_raised_into_a_run_from_outside_is_its_outcome(make_pool: MakePool) -> None:
    """At a moment when nothing guards the handler yet: while the beginning of the run is announced."""
    begun: list[int] = []
    harness = make_pool(1, lambda job: begun.append(job.uid.int))

    def break_off(event: Event) -> None:
        if event.job.uid.int != 2:
            raise_into_this_thread(SystemExit)

    harness.queue.on_announce = break_off
    with harness.registry.listeners.add("attempt", "a", print):
        harness.start(*map(claimed, range(3)))
        until(lambda: len(harness.queue) == 3)
    until(lambda: not len(harness.running))
    assert {verdict.job.uid.int: verdict.error for verdict in harness.stop()} == {
        0: "SystemExit: the run was broken off",
        1: "SystemExit: the run was broken off",
        2: None,
    }
    assert begun == [2]


def test_what_is_raised_into_a_handler_from_outside_is_its_outcome(make_pool: MakePool) -> None:
    harness = make_pool(1, lambda job: raise_into_this_thread(KeyboardInterrupt))
    harness.start(*map(claimed, range(3)))
    until(lambda: len(harness.queue) == 3)
    assert {verdict.error for verdict in harness.stop()} == {"KeyboardInterrupt"}


def test_a_job_whose_type_has_no_handler_any_more_goes_back(make_pool: MakePool) -> None:
    harness = make_pool(1)
    harness.start(claimed(1), claimed(2, "gone"), claimed(3))
    until(lambda: len(harness.queue) == 3)
    assert {verdict.job.uid.int: (verdict.status, verdict.delay) for verdict in harness.stop()} == {
        1: (Status.COMPLETED, 0.0),
        2: (Status.PENDING, None),
        3: (Status.COMPLETED, 0.0),
    }


def test_while_a_job_on_its_last_chance_is_due_no_other_one_begins(make_pool: MakePool) -> None:
    """The worker had taken the other one before, and sees only when it is about to run it that nothing may begin."""
    begun: list[int] = []
    harness = make_pool(1, lambda job: begun.append(job.uid.int))
    harness.claimer.last_chance.begin(harness.claimer)
    harness.worker.work(claimed(1))
    harness.worker.work(claimed(2), alone=True)
    assert begun == [2]
    assert len(harness.running) == 0
    assert [verdict.goes_back for verdict in harness.stop()] == [True, False]


def test_a_snooze_is_a_verdict_like_others(make_pool: MakePool) -> None:
    def handler(job: Job) -> None:
        raise Snooze(7)

    harness = make_pool(1, handler)
    harness.start(claimed(1))
    until(lambda: len(harness.queue) == 1)
    (verdict,) = harness.stop()
    assert (verdict.status, verdict.attempt_status, verdict.delay) == (Status.PENDING, None, 7.0)


def test_the_beginning_of_a_run_is_announced_only_where_a_listener_wants_it(make_pool: MakePool) -> None:
    harness = make_pool(1)
    harness.start(claimed(1))
    until(lambda: len(harness.queue) == 1)
    assert harness.queue.take().begun == []
    with harness.registry.listeners.add("attempt", "a", print):
        harness.create(claimed(2))
        (event,) = until(lambda: harness.queue.take().begun)
    assert (event.job, event.process, event.make_job().status) == (claimed(2), "host:1", Status.RUNNING)


def test_a_job_in_the_buffer_that_is_to_be_cancelled_never_begins_and_goes_back(make_pool: MakePool) -> None:
    """The settlement reads the row, and makes it cancelled."""
    begun: list[int] = []
    gate = threading.Event()

    def handler(job: Job) -> None:
        begun.append(job.uid.int)
        assert gate.wait(60)

    harness = make_pool(1, handler)
    harness.start(claimed(0))
    until(lambda: begun)
    harness.buffer.add([claimed(1), claimed(2)], seconds_each=1.0)
    harness.running.cancel([claimed(1).uid], harness.buffer.jobs())
    gate.set()
    until(lambda: len(harness.queue) == 3)
    assert begun == [0, 2]
    (back,) = [verdict for verdict in harness.stop() if verdict.goes_back]
    assert back.job.uid.int == 1
    assert back.begun is None


def test_a_job_whose_time_to_begin_is_over_never_begins(make_pool: MakePool) -> None:
    begun: list[int] = []
    harness = make_pool(1, lambda job: begun.append(job.uid.int))
    expired = claimed(1)._replace(extras='{"expires_at": "2000-01-01T00:00:00+00:00"}')
    harness.start(claimed(0), expired, claimed(2))
    until(lambda: len(harness.queue) == 3)
    assert begun == [0, 2]
    verdicts = {verdict.job.uid.int: verdict for verdict in harness.stop()}
    assert (verdicts[1].status, verdicts[1].begun) == (Status.CANCELLED, None)
    assert verdicts[1].error == "Expired: the job had not begun by 2000-01-01T00:00:00+00:00"
