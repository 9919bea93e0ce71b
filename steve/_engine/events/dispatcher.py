"""The queue of events, and the thread that tells the listeners, one event after the other, in the order of the commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from steve._engine.events.event import Event
from steve._engine.events.listeners import Listeners
from steve._engine.upkeep.backpressure import Backpressure
from steve._engine.upkeep.thread_hooks import ThreadHooks
from steve._model.tuning import Tuning
from steve._runtime.log import logger


class Dispatcher:
    def __init__(
        self, *, listeners: Listeners, on_all_told: Callable[[], None], tuning: Tuning, hooks: ThreadHooks | None = None
    ) -> None:
        """`on_all_told()` is called at the end, on the dispatcher's thread. `hooks`: those around this thread."""
        self._hooks = ThreadHooks() if hooks is None else hooks
        self._listeners = listeners
        self._on_all_told = on_all_told
        self._most = tuning.events_most
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self.backpressure = Backpressure(level=lambda: self._events.qsize() / self._most, on_full=self._warn)
        """It holds up the claims and the calls that cancel many jobs, never the settler, because outcomes must be written."""
        self._thread: int | None = None
        self._is_ended = False
        self._is_idle = False  # it becomes True only after an event was told
        self._taken = 0  # events taken from the queue; all are told, except perhaps the last

    def put(self, event: Event) -> None:
        self._events.put(event)

    def end(self) -> None:
        """No event comes after this."""
        self._is_ended = True
        self._events.put(None)

    def is_full(self, seconds: float = 0.0) -> bool:
        """While too many events wait, wait for so many seconds at most. Returns whether too many still do. A listener that asks
        gets False at once, because nothing is told before it returns."""
        if threading.get_ident() == self._thread or not self.backpressure.engage_if_full():
            return False
        self.backpressure.wait(seconds)
        return self.backpressure.is_engaged()

    def waiting(self) -> int:
        return max(0, self._events.qsize() - self._is_ended)  # without the end marker

    def progress(self) -> tuple[int, int]:
        """Roughly how many events were ever put here, and how many of these were told."""
        taken = self._taken
        return taken + self.waiting(), max(taken - 1, 0) + self._is_idle

    def run(self) -> None:
        self._thread = threading.get_ident()
        self._hooks.enter()
        with suppress(Empty):  # Empty: something interrupted this thread after it took the end marker
            while (event := self._events.get(block=not self._is_ended)) is not None:
                self._is_idle = False
                self._taken += 1
                self._listeners.tell(event)
                self._is_idle = True
                self.backpressure.release_if_drained()
        self._hooks.leave()  # before stop() returns
        self._on_all_told()

    def _warn(self) -> None:
        logger.warning("%d events wait for slow listeners: nothing is claimed until half are told", self._most)
