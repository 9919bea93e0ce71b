"""Worker threads enter and leave the hooks around threads, each once, though threads die or are busy."""

import contextvars
import logging
import threading
from collections.abc import Iterator

import pytest

from steve._engine.upkeep.thread_hooks import ThreadHooks
from steve._engine.upkeep.threads import Threads
from steve._engine.work.running import frames_now
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.upkeep.test_threads import kill, workers


class Noted:
    def __init__(self) -> None:
        self.entered: list[threading.Thread] = []
        self.left: list[threading.Thread] = []
        self.may_leave = threading.Event()
        self.may_leave.set()

    def hook(self) -> Iterator[None]:
        self.entered.append(threading.current_thread())
        yield
        self.may_leave.wait(60)
        self.left.append(threading.current_thread())


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def hooks(noted: Noted) -> ThreadHooks:
    hooks = ThreadHooks()
    hooks.hooks.add(noted.hook)
    return hooks


@pytest.fixture
def threads(hooks: ThreadHooks, noted: Noted) -> Iterator[Threads]:
    until(lambda: not workers())
    threads = Threads(workers=3, own_threads=threading.local(), tuning=Tuning(replace_check=0.01), hooks=hooks)
    threads.start_workers()
    until(lambda: len(noted.entered) == 3)
    yield threads
    noted.may_leave.set()
    threads.end_workers()


def test_the_wait_for_hooks_ends_when_all_threads_have_left(threads: Threads, noted: Noted) -> None:
    noted.may_leave.clear()
    threads.end_workers()
    waiter = threading.Thread(target=threads.wait_for_hooks)
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    noted.may_leave.set()
    waiter.join(60)
    assert set(noted.left) == set(noted.entered)


def test_each_thread_leaves_its_hooks_although_one_is_busy(threads: Threads, noted: Noted) -> None:
    busy, over = threading.Event(), threading.Event()

    def turn() -> None:
        busy.set()
        over.wait(60)

    threads.submit(turn)
    assert busy.wait(60)
    threads.end_workers()
    until(lambda: len(noted.left) == 2)
    until(lambda: len(workers()) == 3)  # the two wait for the third, so that none takes its call
    over.set()
    threads.wait_for_hooks()
    assert sorted(one.name for one in noted.left) == sorted(one.name for one in noted.entered)


def test_the_wait_for_hooks_does_not_wait_for_a_thread_that_died(threads: Threads, noted: Noted) -> None:
    meeting = threading.Event()
    held = [threading.Event(), threading.Event()]

    def turn(number: int) -> None:
        held[number].set()
        meeting.wait(60)

    for number in (0, 1):
        threads.submit(lambda number=number: turn(number))
        assert held[number].wait(60)
    (victim,) = _idle(2)
    kill([victim])
    meeting.set()
    threads.end_workers()
    threads.wait_for_hooks()
    assert set(noted.left) == set(noted.entered) - {victim}


def _idle(busy: int) -> list[threading.Thread]:
    """The workers that wait for a turn."""

    def waits(thread: threading.Thread) -> bool:
        assert thread.ident is not None
        frame = frames_now()[thread.ident]
        return "turn" not in [one.f_code.co_name for one in _frames(frame)]

    return until(lambda: found if len(found := [one for one in workers() if waits(one)]) == 3 - busy else [])


def _frames(frame: object) -> Iterator[object]:
    while frame is not None:
        yield frame
        frame = frame.f_back  # type: ignore[attr-defined]


def test_threads_that_replace_dead_ones_enter_the_hooks_and_the_living_leave_theirs(threads: Threads, noted: Noted) -> None:
    first = list(noted.entered)
    kill(first)
    assert threads.replace_dead() == 0
    until(lambda: len(noted.entered) == 6)
    threads.end_workers()
    threads.wait_for_hooks()
    assert set(noted.left) == set(noted.entered) - set(first)


def test_ending_twice_lets_each_thread_leave_once(threads: Threads, noted: Noted) -> None:
    enders = [threading.Thread(target=threads.end_workers) for _ in range(4)]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join(60)
    threads.wait_for_hooks()
    assert len(noted.left) == 3
    until(lambda: not workers())


def test_without_hooks_threads_end_at_once_and_nothing_is_waited_for() -> None:
    hooks = ThreadHooks()
    threads = Threads(workers=2, own_threads=threading.local(), tuning=Tuning(), hooks=hooks)
    threads.start_workers()
    until(lambda: len(workers()) == 2)
    threads.end_workers()
    threads.wait_for_hooks()
    until(lambda: not workers())
    assert not hooks.were_entered


def test_a_thread_that_begins_again_does_not_enter_twice_and_leaves_once(hooks: ThreadHooks, noted: Noted) -> None:
    hooks.enter()
    hooks.enter()
    assert len(noted.entered) == 1
    hooks.leave()
    hooks.leave()
    assert len(noted.left) == 1


def test_the_context_is_the_one_that_the_hooks_left_and_is_copied() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")

    def hook() -> Iterator[None]:
        variable.set(1)
        yield

    def set_again() -> None:
        assert variable.get() == 1
        variable.set(2)

    def body() -> None:
        hooks = ThreadHooks()
        hooks.hooks.add(hook)
        assert variable not in hooks.context()
        hooks.enter()
        variable.set(3)  # by other code on this thread
        for _ in range(2):
            hooks.context().run(set_again)
        hooks.leave()
        assert variable not in hooks.context()
        passed.append(True)

    passed: list[bool] = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join(60)
    assert passed


def test_a_hook_that_makes_no_context_manager_is_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    def nothing() -> None: ...

    hooks = ThreadHooks()
    hooks.hooks.add(nothing)
    hooks.enter()
    hooks.leave()
    (record,) = caplog.records
    assert (record.levelno, "nothing raised at the beginning of a thread" in record.getMessage()) == (logging.ERROR, True)
    assert record.exc_info is not None
    assert "not a context manager" in str(record.exc_info[1])
