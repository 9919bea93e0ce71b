"""Breaks threads of a manager off, or holds them up, at a function that they call or return from.

It is a profile function (threading.setprofile). So an exception comes out of the middle of the code, where no loop expects one,
and at the same place each time.
"""

import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, NamedTuple

Event = Literal["call", "return"]


class Place(NamedTuple):
    """Where something is done to a thread."""

    thread: str
    """The beginning of its name."""
    function: str
    event: Event
    file: str
    """The end of the path of the file with that function."""
    action: Callable[[], object]


class Hold:
    """A thread that is held up."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> None:
        self.held.set()
        self.let_go.wait(100)


def _raise() -> None:
    raise SystemExit


class Breaker:
    """Works on threads that are started inside its `with` block, each time once, when one next comes to the place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects the list
        self._places: list[Place] = []
        self._holds: list[Hold] = []

    def __enter__(self) -> "Breaker":
        threading.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)  # type: ignore[arg-type]
        for hold in self._holds:
            hold.let_go.set()

    def break_off(self, thread: str, function: str, event: Event = "call", file: str = ".py") -> None:
        """Raise SystemExit there."""
        self._add(Place(thread, function, event, file, _raise))

    def kill_worker(self) -> None:
        """Let the next worker thread that takes a turn from the executor's queue die with it."""
        self.break_off("steve-worker", "run", file="concurrent/futures/thread.py")

    def hold(self, thread: str, function: str, event: Event = "call", file: str = ".py") -> Hold:
        """Hold the thread up there, until it is let go or the test is over."""
        hold = Hold()
        self._holds.append(hold)
        self._add(Place(thread, function, event, file, hold))
        return hold

    def _add(self, place: Place) -> None:
        with self._lock:
            self._places.append(place)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._places:
            return
        code, name = frame.f_code, threading.current_thread().name
        with self._lock:
            for place in self._places:
                is_place = event == place.event and code.co_name == place.function and code.co_filename.endswith(place.file)
                if is_place and name.startswith(place.thread):
                    self._places.remove(place)
                    break
            else:
                return
        place.action()
