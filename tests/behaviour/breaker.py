"""Breaks threads off: raises SystemExit in a thread of a manager, at a function that the thread calls or returns from.

It is a profile function (threading.setprofile), so that the exception comes out of the middle of the code, where no loop
expects one, and at the same place each time.
"""

import threading
from types import FrameType
from typing import Any, Literal, NamedTuple


class Place(NamedTuple):
    """Where a thread is broken off."""

    thread: str
    """The beginning of its name."""
    function: str
    event: Literal["call", "return"]
    file: str
    """The end of the path of the file with that function."""


class Breaker:
    """Works in threads that are started inside its `with` block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects the list
        self._places: list[Place] = []

    def __enter__(self) -> "Breaker":
        threading.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)  # type: ignore[arg-type]

    def break_off(self, thread: str, function: str, event: Literal["call", "return"] = "call", file: str = ".py") -> None:
        """Once, the next time that a thread comes to that place."""
        with self._lock:
            self._places.append(Place(thread, function, event, file))

    def kill_worker(self) -> None:
        """The next worker thread that takes a turn from the executor's queue dies with it."""
        self.break_off("steve-worker", "run", "call", "concurrent/futures/thread.py")

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._places:
            return
        code, name = frame.f_code, threading.current_thread().name
        with self._lock:
            for place in self._places:
                is_place = event == place.event and code.co_name == place.function and code.co_filename.endswith(place.file)
                if is_place and name.startswith(place.thread):
                    self._places.remove(place)
                    raise SystemExit
