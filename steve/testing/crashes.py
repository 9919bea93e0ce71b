"""crash_point(): kills the process at a moment at which a machine may fail, so that a test can see whether its jobs bear it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, NoReturn

from steve import JobManager, Run
from steve.testing.drains import names

CrashPoint = Literal["after claim", "before settle"]
POINTS = ("after claim", "before settle")


@contextmanager
def crash_point(manager: JobManager, point: CrashPoint, types: str | Iterable[str] | None = None) -> Iterator[None]:
    """Within the block, the first run of a job of these types (None: of any) kills this process, as SIGKILL does: no `finally`
    and no `atexit` runs. Use it in a process of its own, and look afterwards, in the test, what that has left behind:
    `drain(manager)` there takes over the job at once.

    `point`: "after claim": the job is claimed, and its handler has not begun. "before settle": the handler has returned or
    raised, and so have the hooks around it, and nothing is written about that.

    It works in a `drain` and in a started manager. Raises ValueError and TypeError.
    """
    if point not in POINTS:
        raise ValueError(f"crash_point: the point must be one of {', '.join(map(repr, POINTS))}, not {point!r}")

    def crash(run: Run) -> Iterator[None]:
        if point == "after claim":
            die()
        try:
            yield
        finally:
            die()

    with manager._inline.around_all(crash, names("types", types)):
        yield


def die() -> NoReturn:
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
        while True:  # until it arrives
            signal.pause()
    os._exit(137)  # Windows has no signal that ends a process without its help
