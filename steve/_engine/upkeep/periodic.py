"""The loop of a thread that performs periodic duties. The maintenance thread, which is one of these, also carries out a request
to stop, because it never runs a handler and never waits for the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from steve._runtime.log import logger


class Duty(NamedTuple):
    """Something to do every `interval` seconds. If `work` raises, the error is logged, and `work` is called again after the
    next interval."""

    name: str
    interval: float
    work: Callable[[], object]


class Periodic:
    def __init__(self, *, duties: Iterable[Duty], on_stop: Callable[[], None] = lambda: None) -> None:
        """`on_stop()` is called on this thread after `ask_to_stop()`."""
        self._duties = list(duties)
        self._on_stop = on_stop
        # A SimpleQueue, because a signal handler may call its put(), whichever lock the interrupted code held.
        self._requests: SimpleQueue[str | Duty] = SimpleQueue()

    def ask_to_stop(self) -> None:
        """Takes no lock and logs nothing: a signal handler may call it."""
        self._requests.put("stop")

    def soon(self, duty: Duty) -> None:
        """Do this once, as soon as the thread has time. From any thread."""
        self._requests.put(duty)

    def end(self) -> None:
        self._requests.put("end")

    def run(self) -> None:
        now = time.monotonic()
        due = {duty: now + duty.interval for duty in self._duties}
        while True:
            try:
                request = self._requests.get(timeout=max(0.0, min(due.values()) - time.monotonic()))
            except Empty:
                for duty in self._duties:
                    if due[duty] <= time.monotonic():
                        due[duty] = time.monotonic() + duty.interval  # before the work, which may raise anything
                        _guarded(duty.name, duty.work)
            else:
                if request == "end":
                    return
                if isinstance(request, Duty):
                    _guarded(request.name, request.work)
                else:
                    _guarded("stopping", self._on_stop)


def _guarded(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        logger.exception("the duty %r failed; its turn will come again", name)
