"""How workers go on without a loop.

A `while True` loop in a ThreadPoolExecutor would hang the interpreter at its exit when the program forgets `stop()`: the exit
waits for the executor's threads before anything else runs. So each worker is a chain of turns. A turn works for a short while
and submits the next one. At the interpreter's exit `submit` raises, and the chain ends.

Of the chains without work, one is idle: its turn waits for work. The others are parked: they have no turn until a thread that
brings jobs gives them one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from steve._engine.upkeep.threads import Threads
from steve._engine.work.signals import RunSignals
from steve._runtime.log import logger


class EnginePort(Protocol):
    """What the workers tell the engine."""

    def ask_to_stop(self) -> None: ...

    def on_last_worker(self) -> None:
        """The engine stops, no chain has a turn, and none will get one."""


class Turns:
    """Gives turns to the chains, and counts them. It knows nothing of jobs: `walk` and `on_park` do."""

    def __init__(self, *, threads: Threads, signals: RunSignals, engine: EnginePort) -> None:
        self.workers = threads.workers
        self._threads = threads
        self._signals = signals
        self._engine = engine
        self._walk: Callable[[], bool] = lambda: False
        self._on_park: Callable[[], None] = lambda: None
        # Protects changes of the four below. Only the idle chain may reset _idle_thread without it. Nothing is called under
        # this lock.
        self._counting = threading.Lock()
        self._active = 0  # chains with a turn, submitted or under way
        self._idle_thread: int | None = None  # threading.get_ident() of the thread whose turn waits for work
        self._has_ended = False
        self.broken = 0
        """How many turns an exception broke off."""

    def begin(self, walk: Callable[[], bool], on_park: Callable[[], None]) -> None:
        """Give the first turn. `walk()` does the work of one turn and returns whether the chain goes on. `on_park()` is called
        after a chain was parked, and gives another turn if there is work after all."""
        self._walk = walk
        self._on_park = on_park
        self.give(1)

    # -- the idle chain -------------------------------------------------------------------------------------------------

    def become_idle(self) -> bool:
        """Make the calling chain the idle one. Returns False if another chain is the idle one already."""
        with self._counting:
            if self._idle_thread is not None:
                return False
            self._idle_thread = threading.get_ident()
            return True

    def leave_idle(self) -> None:
        self._idle_thread = None

    def has_idle(self) -> bool:
        return self._idle_thread is not None

    def at_work(self) -> int:
        """How many chains take or run jobs, which is all that have a turn, except the idle one."""
        return self._active - (self._idle_thread is not None)

    # -- giving turns ---------------------------------------------------------------------------------------------------

    def give(self, most: int) -> None:
        """Give a turn to so many parked chains, or to all if there are fewer."""
        with self._counting:
            turns = 0 if self._signals.is_stopping() else min(most, self.workers - self._active)
            self._active += turns
        for submitted in range(turns):
            if not self._submit():
                with self._counting:
                    self._active -= turns - submitted
                self.end_if_last()
                return

    def resubmit(self, turns: int) -> None:
        """So many turns were submitted and will never begin, because their threads are dead."""
        for _ in range(turns):
            if not self._submit():
                self._park()

    def end_if_last(self) -> None:
        with self._counting:
            if self._has_ended or self._active or not self._signals.is_stopping():
                return
            self._has_ended = True
        self._engine.on_last_worker()

    def _turn(self) -> None:
        again = True
        try:
            again = self._walk()
        except BaseException:
            # If the turn was broken off right before or after its wait, this chain still counts as the idle one, and no other
            # chain could become idle.
            if self._idle_thread == threading.get_ident():
                self.leave_idle()
            with self._counting:
                self.broken += 1
            logger.exception("a worker's turn failed; the worker goes on")
        finally:
            if self._signals.is_stopping() or not (again and self._submit()):
                self._park()

    def _park(self) -> None:
        with self._counting:
            self._active -= 1
        self._on_park()
        self.end_if_last()

    def _submit(self) -> bool:
        try:
            self._threads.submit(self._turn)
        except RuntimeError:  # only if the interpreter exits without a stop(), because all threads were started before
            self._signals.stop()
            self._engine.ask_to_stop()
            return False
        return True
