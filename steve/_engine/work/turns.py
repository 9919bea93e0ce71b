"""How worker threads go on without a loop.

A `while True` loop in a ThreadPoolExecutor would hang the interpreter at its exit when the program forgets `stop()`: the exit
waits for the threads before anything else runs. So each worker is a chain of turns. A turn works for a short while and submits
the next one; at the exit `submit` raises, and the chain ends. Of the chains without work one is idle: its turn waits for work.
The others are parked: they have no turn, and whatever brings jobs gives them one.
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
        """No chain has a turn, and none will get one."""


class Turns:
    """Counts the chains. `has_enough()` and `may_wake()` ask the walk about the jobs that wait."""

    def __init__(self, *, threads: Threads, signals: RunSignals, engine: EnginePort) -> None:
        self.workers = threads.workers
        self._threads = threads
        self._signals = signals
        self._engine = engine
        self._walk: Callable[[], bool] = lambda: False
        self._on_park: Callable[[], None] = lambda: None
        # Protects the four below. Held to count, not to call.
        self._counting = threading.Lock()
        self._active = 0  # chains with a turn, submitted or under way
        self._has_idle = False  # one of them waits for work
        self._has_ended = False
        self.broken = 0
        """Turns that something broke off."""

    def begin(self, walk: Callable[[], bool], on_park: Callable[[], None]) -> None:
        """`walk()` does one turn's work and returns whether the chain goes on. `on_park()` is called when a chain has been
        parked: it gives it another turn where there is work after all."""
        self._walk = walk
        self._on_park = on_park
        self.give(1)

    # -- the idle chain -------------------------------------------------------------------------------------------------

    def become_idle(self) -> bool:
        """The calling chain is to wait for work. False: another one does."""
        with self._counting:
            if self._has_idle:
                return False
            self._has_idle = True
            return True

    def leave_idle(self) -> None:
        self._has_idle = False

    def has_idle(self) -> bool:
        return self._has_idle

    def at_work(self) -> int:
        """How many chains take jobs, or run one: all that have a turn, except the idle one."""
        return self._active - self._has_idle

    # -- giving turns ---------------------------------------------------------------------------------------------------

    def give(self, most: int) -> None:
        """Give a turn to so many parked chains, as far as there are any."""
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
        """So many turns were submitted and will never come: their threads are dead."""
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
        except RuntimeError:  # the interpreter exits without a stop(): all threads of the executor are started
            self._signals.stop()
            self._engine.ask_to_stop()
            return False
        return True
