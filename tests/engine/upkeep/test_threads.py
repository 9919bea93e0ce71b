"""Threads that break off, for real: an executor's by an item of work that it cannot take, which ends its thread, and a loop by
an exception that nobody expects. Not by PyThreadState_SetAsyncExc, which may stop the interpreter for ever (CPython 3.11).
"""

import threading
from collections.abc import Iterator

import pytest

from steve._engine.upkeep.threads import Threads
from tests.conftest import until


class Poison:
    """Ends the thread that takes it."""

    def run(self) -> None:
        raise SystemExit


def kill_worker(threads: Threads) -> None:
    assert threads._executor is not None
    threads._executor._work_queue.put(Poison())  # type: ignore[arg-type]


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(3, threading.local())
    threads.start_workers()
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
    assert over.wait(10)
    assert threads.restarted == 2
    until(lambda: not threads._loops["a loop"].is_alive())
    assert threads.dead() == []  # it came to its end


def test_dead_workers_are_replaced_and_what_waited_for_them_is_to_be_submitted_anew(threads: Threads) -> None:
    until(lambda: len(threads._members) == 3)
    members = list(threads._members)
    for _ in members:
        kill_worker(threads)
    until(lambda: not any(thread.is_alive() for thread in members))
    ran: list[int] = []
    for n in range(5):
        threads.submit(lambda n=n: ran.append(n))  # for which nobody is left
    assert len(threads.dead()) == 3
    assert threads.replace_dead() == 5
    assert ran == []
    assert threads.restarted == 3
    assert threads.replace_dead() == 0
    meeting = threading.Barrier(3)
    for _ in range(3):
        threads.submit(lambda: meeting.wait(10) and None)  # there are three of them again
    until(lambda: not threads._turns)
    assert not meeting.broken
    assert threads.dead() == []


def test_a_turn_under_way_goes_on_while_the_dead_are_replaced(threads: Threads) -> None:
    until(lambda: len(threads._members) == 3)
    here: list[threading.Thread] = []
    entered, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def turn() -> None:
        here.append(threading.current_thread())
        entered.set()
        assert go_on.wait(10)
        over.set()

    threads.submit(turn)
    assert entered.wait(10)
    others = [thread for thread in threads._members if thread not in here]
    for _ in others:
        kill_worker(threads)
    until(lambda: not any(thread.is_alive() for thread in others))
    threads.replace_dead()
    assert here[0].is_alive()
    go_on.set()
    assert over.wait(10)
    until(lambda: not here[0].is_alive())  # its executor is not in use any more
