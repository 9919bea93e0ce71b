"""Threads that break off, for real: an exception raised into them from outside, as a debugger or a time limit may do."""

import ctypes
import threading
from collections.abc import Iterator

import pytest

from steve._threads import Threads
from tests.conftest import until


def break_off(thread: threading.Thread) -> None:
    """Raises SystemExit in the thread: when it comes back to Python code, so not while it waits."""
    assert thread.ident is not None
    if thread.is_alive():  # its number may be another's by now
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


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
    submitted: list[int] = []
    ran: list[int] = []

    def are_dead() -> bool:
        for thread in members:
            break_off(thread)
        submitted.append(1)
        threads.submit(lambda: ran.append(1))  # wakes a thread, which dies with it
        return not any(thread.is_alive() for thread in members)

    until(are_dead)
    threads.submit(lambda: None)  # for which nobody is left
    submitted.append(1)
    assert len(threads.dead()) == 3
    lost = threads.replace_dead()
    assert lost + len(ran) == len(submitted)
    assert lost >= 3
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

    def are_dead() -> bool:
        for thread in others:
            break_off(thread)
        threads.submit(lambda: None)
        return not any(thread.is_alive() for thread in others)

    until(are_dead)
    threads.replace_dead()
    assert here[0].is_alive()
    go_on.set()
    assert over.wait(10)
    until(lambda: not here[0].is_alive())  # its executor is not in use any more
