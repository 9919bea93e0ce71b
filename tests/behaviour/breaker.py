"""Breaks off or holds up a manager's threads when they call a chosen function or return from it.

The breaker is a profile function (threading.setprofile). So it can raise an exception in the middle of the code, where no loop
expects one, and at the same place each time.
"""

import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, NamedTuple

Event = Literal["call", "return"]


class Place(NamedTuple):
    """What to do to a thread, and where."""

    thread: str
    """The beginning of the thread's name."""
    function: str
    event: Event
    file: str
    """The end of the path of the file that has the function."""
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
    """Acts on threads that are started inside its `with` block: each call once, on the next thread that reaches the place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects `_places`
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
        """Raise SystemExit in the thread at that place."""
        self._add(Place(thread, function, event, file, _raise))

    def kill_worker(self) -> None:
        """End the next worker thread that takes a turn from the executor's queue, before it begins the turn."""
        self.break_off("steve-worker", "run", file="concurrent/futures/thread.py")

    def hold(self, thread: str, function: str, event: Event = "call", file: str = ".py") -> Hold:
        """Hold the thread up at that place, until it is let go or the test is over."""
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
