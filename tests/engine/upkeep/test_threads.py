"""Threads that break off, for real: a worker's by an item of work that ends the thread that takes it, a loop's by an exception
that nothing expects. Not by PyThreadState_SetAsyncExc, which may stop the interpreter for ever (CPython 3.11).
"""

import threading
from collections.abc import Iterator
from concurrent.futures import thread as executors

import pytest

from steve._engine.upkeep.threads import Threads
from steve._model.tuning import Tuning
from tests.conftest import until


class Poison:
    """An item of work that ends the thread that takes it."""

    def run(self, *context: object) -> None:
        raise SystemExit


def kill(workers: list[threading.Thread]) -> None:
    """End these workers, all of one executor; the others of it must be busy."""
    for worker in workers:
        executors._threads_queues[worker].put(Poison())  # type: ignore[attr-defined] - the standard library's
    until(lambda: not any(worker.is_alive() for worker in workers))


def workers() -> list[threading.Thread]:
    """Those of the only Threads that there is. "steve-worker-0" belongs to a pool of connections."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("steve-worker_")]


@pytest.fixture
def threads() -> Iterator[Threads]:
    until(lambda: not workers())
    threads = Threads(workers=3, own_threads=threading.local(), tuning=Tuning(restart_pause=0.001))
    threads.start_workers()
    until(lambda: len(workers()) == 3)
    yield threads
    threads.end_workers()


def test_a_loop_that_raises_begins_again_and_is_counted(threads: Threads) -> None:
    began: list[int] = []
    over = threading.Event()

    def run() -> None:
        began.append(1)
        if len(began) < 3:
            raise (MemoryError, SystemExit)[len(began) - 1]
        over.set()

    threads.loop("a loop", run, daemon=True)
    assert over.wait(60)
    assert threads.restarted == 2
    until(lambda: "a loop" not in [thread.name for thread in threading.enumerate()])
    assert threads.dead() == [], "it came to its end"


def test_dead_workers_are_replaced_and_their_waiting_turns_counted(threads: Threads) -> None:
    kill(workers())
    ran: list[int] = []
    for n in range(5):
        threads.submit(lambda n=n: ran.append(n))  # there is no thread left to run it
    assert len(threads.dead()) == 3
    assert threads.replace_dead() == 5
    assert ran == []
    assert threads.restarted == 3
    assert threads.replace_dead() == 0
    meeting = threading.Barrier(3)
    met: list[int] = []
    for _ in range(3):
        threads.submit(lambda: met.append(meeting.wait(60)))  # there are three of them again
    until(lambda: len(met) == 3)
    assert threads.dead() == []


@pytest.mark.parametrize("size", [1, 8])
def test_another_size_keeps_the_turn_under_way_and_cancels_those_that_wait(threads: Threads, size: int) -> None:
    entered, go_on = threading.Barrier(4), threading.Event()
    ran: list[int] = []

    def turn() -> None:
        entered.wait(60)
        assert go_on.wait(60)
        ran.append(1)

    for _ in range(3):
        threads.submit(turn)
    entered.wait(60)
    for _ in range(4):
        threads.submit(lambda: ran.append(2))
    assert threads.resize(size) == 4
    threads.submit(lambda: ran.append(3))
    until(lambda: ran == [3])
    assert len(workers()) == 3 + size
    go_on.set()
    until(lambda: ran == [3, 1, 1, 1])
    until(lambda: len(workers()) == size)
    assert (threads.dead(), threads.restarted) == ([], 0)


def test_after_the_end_the_size_does_not_change(threads: Threads) -> None:
    threads.end_workers()
    assert threads.resize(8) == 0
    until(lambda: not workers())


def test_a_turn_under_way_goes_on_while_dead_workers_are_replaced(threads: Threads) -> None:
    before = workers()
    busy: list[threading.Thread] = []
    entered, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def turn() -> None:
        busy.append(threading.current_thread())
        entered.set()
        assert go_on.wait(60)
        over.set()

    threads.submit(turn)
    assert entered.wait(60)
    kill([worker for worker in before if worker not in busy])
    threads.replace_dead()
    assert busy[0].is_alive()
    go_on.set()
    assert over.wait(60)
    until(lambda: not busy[0].is_alive())  # its executor is not in use any more


def test_dead_workers_are_replaced_later_if_the_system_starts_no_thread_now(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(workers())

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ran = threading.Event()
    threads.submit(ran.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert threads.replace_dead() == 0
    assert len(threads.dead()) == 3
    assert threads.restarted == 0
    assert threads.replace_dead() == 1, "the turn that waits is to be submitted again"
    threads.submit(ran.set)
    assert ran.wait(60)


def test_a_turn_is_submitted_to_the_executor_that_took_the_place_of_one_that_was_shut_down(threads: Threads) -> None:
    class Replaced:
        """Is shut down. The executor that takes its place is there by then."""

        def submit(self, turn: object) -> None:
            threads._executor = current
            raise RuntimeError("cannot schedule new futures after shutdown")

    current, threads._executor = threads._executor, Replaced()  # type: ignore[assignment]
    ran = threading.Event()
    threads.submit(ran.set)
    assert ran.wait(60)
