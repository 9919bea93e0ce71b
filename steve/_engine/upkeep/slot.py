"""Slot: a worker thread beside those of the executor, for as long as a handler is stuck. `work/turns.py` gives it its turns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from steve._engine.upkeep.thread_hooks import Departure, ThreadHooks


class Slot:
    def __init__(self, *, enter: Callable[[], None], hooks: ThreadHooks, look: float) -> None:
        """`enter`: what a worker thread does first. `hooks`, `look`: as for Departure. The thread starts with `open`."""
        self.has_turn = False
        self.is_closing = False
        """No further turn begins. `Turns` sets both, under its lock."""
        self._enter = enter
        self._hooks = hooks
        self._look = look
        self._threads: list[threading.Thread] = []
        self._departure: Departure | None = None
        # An executor, for the reason that turns.py gives.
        self._executor = ThreadPoolExecutor(1, "steve-worker-slot", initializer=self._begin)

    def _begin(self) -> None:
        self._threads.append(threading.current_thread())
        self._enter()

    def open(self) -> None:
        """Raises RuntimeError if the system starts no more threads."""
        self._executor.submit(int)

    def submit(self, turn: Callable[[], None]) -> None:
        """Raises RuntimeError when the interpreter exits."""
        self._executor.submit(turn)

    def is_of(self, threads: set[int]) -> bool:
        """Whether its thread is one of these."""
        return any(thread.ident in threads for thread in self._threads)

    def is_dead(self) -> bool:
        return any(not thread.is_alive() for thread in self._threads) and self._departure is None

    def has_ended(self) -> bool:
        return self._departure is not None and not any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Have the thread leave its hooks and end, after its turn."""
        if self._departure is not None:
            return
        departure = self._departure = Departure(hooks=self._hooks, members=self._threads, workers=1, look=self._look)
        try:
            self._executor.submit(departure.leave)
        except RuntimeError:  # the interpreter exits
            departure.give_up()
        self._executor.shutdown(wait=False)

    def wait_for_hooks(self) -> None:
        if self._departure is not None:
            self._departure.wait()
