"""TimeLimit is raised into a handler's call and nowhere else; the return value wins. tests/hammer does this at random moments.

Each test runs the call on a thread of its own, so that an exception that comes too late would not be raised into pytest.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from steve import TimeLimit
from steve._engine.work.window import Window
from tests.conftest import until


class Called:
    """A call in a window, on a thread of its own, which then goes on for a while with code that must not be interrupted."""

    def __init__(self, window: Window, handler: Callable[[Any], Any]) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.error_afterwards: BaseException | None = None
        self._window = window
        self._handler = handler
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            try:
                self.value = self._window.call(self._handler, 7)
            except BaseException as error:
                self.error = error
            until_then = time.monotonic() + 0.02
            while time.monotonic() < until_then:
                pass
        except BaseException as error:
            self.error_afterwards = error

    def end(self) -> "Called":
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.error_afterwards is None
        return self


@pytest.fixture
def window() -> Window:
    return Window()


@pytest.fixture
def inside() -> threading.Event:
    """Set by the handlers when they have begun."""
    return threading.Event()


def test_without_an_interrupt_the_call_returns_what_the_handler_returns(window: Window) -> None:
    assert Called(window, lambda argument: argument + 1).end().value == 8


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), KeyError(0), SystemExit()])
def test_without_an_interrupt_the_call_raises_what_the_handler_raises(window: Window, error: BaseException) -> None:
    def handler(argument: int) -> None:
        raise error

    assert Called(window, handler).end().error is error


def test_a_handler_in_a_loop_is_interrupted(window: Window, inside: threading.Event) -> None:
    def handler(argument: int) -> None:
        inside.set()
        while True:
            pass

    called = Called(window, handler)
    inside.wait(60)
    assert window.interrupt()
    assert isinstance(called.end().error, TimeLimit)


def test_a_handler_is_interrupted_once(window: Window, inside: threading.Event) -> None:
    caught: list[int] = []
    gate = threading.Event()

    def handler(argument: int) -> str:
        try:
            inside.set()
            while True:
                pass
        except TimeLimit:
            caught.append(1)
        gate.wait(60)
        return "done"

    called = Called(window, handler)
    inside.wait(60)
    window.interrupt()
    until(lambda: caught)
    window.interrupt()
    gate.set()
    assert called.end().value == "done"


def test_what_is_set_while_c_code_runs_comes_too_late_if_the_handler_returns_from_it(window: Window) -> None:
    """The handler has no step of Python code after its wait, so TimeLimit is raised when it has returned."""
    handler: Any = defaultdict(partial(time.sleep, 0.2)).__getitem__
    called = Called(window, handler)
    until(lambda: window._thread)
    assert window.interrupt()
    assert called.end().error is None


def test_an_error_of_the_handler_wins_as_well(window: Window, inside: threading.Event) -> None:
    def fail() -> None:
        inside.set()
        time.sleep(0.2)
        raise ValueError("no")

    handler: Any = defaultdict(fail).__getitem__
    called = Called(window, handler)
    inside.wait(60)
    window.interrupt()
    assert called.end().error is not None


def test_before_the_call_it_is_noted_and_the_handler_never_begins(window: Window) -> None:
    assert window.interrupt()
    began: list[Any] = []
    assert isinstance(Called(window, began.append).end().error, TimeLimit)
    assert began == []


def test_after_the_call_nothing_is_raised(window: Window) -> None:
    called = Called(window, lambda argument: argument)
    until(lambda: called.value)
    assert window.interrupt()
    assert called.end().value == 7


def test_while_the_window_is_shut_nothing_is_raised(window: Window, inside: threading.Event) -> None:
    gate = threading.Event()
    after: list[int] = []

    def handler(argument: int) -> None:
        window.shut()
        inside.set()
        gate.wait(60)
        window.unshut()
        after.append(1)
        inside.clear()
        while True:
            pass

    called = Called(window, handler)
    inside.wait(60)
    assert not window.interrupt()
    assert not window.interrupt()
    gate.set()
    until(lambda: not inside.is_set())
    assert window.interrupt()
    assert isinstance(called.end().error, TimeLimit)
    assert after == [1]


class Interrupting(Window):
    """TimeLimit is raised at the worst moment: while the window is being closed."""

    __slots__ = ("moments",)

    def __init__(self, moments: Iterator[str]) -> None:
        super().__init__()
        self.moments = moments

    def _close(self) -> None:
        moment = next(self.moments, "")
        if moment == "before":
            raise TimeLimit
        super()._close()
        if moment == "after":
            raise TimeLimit


@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_is_raised_while_the_window_is_closed_is_caught(moment: str) -> None:
    window = Interrupting(iter([moment]))
    assert Called(window, lambda argument: "done").end().value == "done"
    assert window._thread is None
