"""How workers go on without a loop.

A `while True` loop in a ThreadPoolExecutor would hang the interpreter at its exit when the program forgets `stop()`: the exit
waits for the executor's threads before anything else runs. So each worker is a chain of turns. A turn works for a short while
and submits the next one. At the interpreter's exit `submit` raises, and the chain ends.

Of the chains without work, one is idle: its turn waits for work. The others are parked: they have no turn until a thread that
brings jobs gives them one.

There is a chain for each worker, and one more for each handler that is stuck (`stuck.py`): that one has a slot, which is a
thread of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from steve._engine.upkeep.slot import Slot
from steve._engine.upkeep.threads import Threads
from steve._runtime.log import logger


class StopPort(Protocol):
    """Whether a pool begins no more jobs."""

    def stop(self) -> None: ...

    def is_stopping(self) -> bool: ...


class EnginePort(Protocol):
    """What the workers tell the engine."""

    def ask_to_stop(self) -> None: ...

    def on_last_worker(self) -> None:
        """The pool stops, no chain has a turn, and none will get one."""


class Turns:
    """Gives turns to the chains, and counts them. It knows nothing of jobs: `walk` and `on_park` do."""

    def __init__(self, *, threads: Threads, signals: StopPort, engine: EnginePort) -> None:
        self.workers = self.without_slots = threads.workers
        """How many chains there are, and how many of them have no slot. After `resize` there may be more for a while."""
        self.generation = 0
        """Increases with each `resize`."""
        self.stuck = 0
        """How many of them have a stuck handler."""
        self._threads = threads
        self.signals = signals
        self._engine = engine
        self._walk: Callable[[], bool] = lambda: False
        self._on_park: Callable[[], None] = lambda: None
        # Protects changes of the six below, of the three numbers above and of the slots' attributes. Only the idle chain may
        # reset _idle_thread without it. Nothing is called under this lock.
        self._counting = threading.Lock()
        self._active = 0  # chains with a turn, submitted or under way
        self._in_slots = 0  # those of them that have a slot
        self.slots: tuple[Slot, ...] = ()
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
        if self._idle_thread == threading.get_ident():  # otherwise `let_go_idle` was called
            self._idle_thread = None

    def let_go_idle(self, thread: int) -> bool:
        """If the chain on this thread is the idle one, which it is while it runs a job on its last chance, let another chain
        become idle. Returns whether it was."""
        with self._counting:
            was_idle = self._idle_thread == thread
            if was_idle:
                self._idle_thread = None
            return was_idle

    def has_idle(self) -> bool:
        return self._idle_thread is not None

    def at_work(self) -> int:
        """How many chains take or run jobs: all that have a turn, except the idle one and stuck ones."""
        return self._active - (self._idle_thread is not None) - self.stuck

    # -- giving turns ---------------------------------------------------------------------------------------------------

    def give(self, most: int) -> None:
        """Give a turn to each of `most` parked chains, or to all if there are fewer."""
        with self._counting:
            if self.signals.is_stopping():
                return
            turns = max(0, min(most, self.without_slots - self._active + self._in_slots))
            parked = [slot for slot in self.slots if not slot.has_turn][: most - turns] if self.slots else []
            self._active += turns + len(parked)
            self._in_slots += len(parked)
            for slot in parked:
                slot.has_turn = True
        for submitted in range(turns):
            if not self._submit():
                with self._counting:
                    self._active -= turns - submitted
                self.end_if_last()
                break
        for slot in parked:
            if not self._submit(slot):
                self._park(slot)

    def resubmit(self, turns: int) -> None:
        """Submit this many turns again, which were submitted and will never begin because their threads are dead."""
        for _ in range(turns):
            if not self._is_one_too_many() and not self._submit():
                self._park()

    def resize(self, workers: int) -> None:
        """From now on there are so many chains without a slot. Those beyond end after their present turn."""
        with self._counting:
            self.workers += workers - self.without_slots
            self.without_slots = workers
            self.generation += 1

    # -- slots ----------------------------------------------------------------------------------------------------------

    def open_slot(self) -> bool:
        """Add a chain with a slot. Returns False if the engine stops, or the system starts no more threads."""
        if self.signals.is_stopping():
            return False
        try:
            slot = self._threads.open_slot()
        except RuntimeError:
            return False
        with self._counting:
            self.slots = (*self.slots, slot)
            self.workers += 1
        self.give(1)
        return True

    def close_slot(self, stuck: set[int]) -> bool:
        """Close a slot whose thread is not one of these: its chain takes no job after its present turn. Returns False if there
        is none."""
        with self._counting:
            others = sorted((slot for slot in self.slots if not slot.is_of(stuck)), key=lambda slot: slot.has_turn)
            if not others:
                return False
            slot = others[0]
            self.slots = tuple(other for other in self.slots if other is not slot)
            self.workers -= 1
            slot.is_closing = True
            is_parked = not slot.has_turn
        if is_parked:
            slot.close()
        return True

    def replace_dead_slots(self) -> None:
        """Replace the slots whose threads have died."""
        for slot in self.slots:
            if slot.is_dead():
                with self._counting:
                    self.slots = tuple(other for other in self.slots if other is not slot)
                    self.workers -= 1
                    slot.is_closing = True
                self._park(slot) if slot.has_turn else slot.close()
                self.open_slot()

    def end_if_last(self) -> None:
        with self._counting:
            if self._has_ended or self._active or not self.signals.is_stopping():
                return
            self._has_ended = True
        self._engine.on_last_worker()

    def _turn(self, slot: Slot | None = None) -> None:
        """`slot`: the slot of the chain, if it has one."""
        again = True
        try:
            again = self._walk()
        except BaseException:
            # If the turn was broken off right before or after its wait, this chain still counts as the idle one, and no other
            # chain could become idle.
            self.leave_idle()
            with self._counting:
                self.broken += 1
            logger.exception("a worker's turn failed; the worker goes on")
        finally:
            if slot is None and self._active - self._in_slots > self.without_slots and self._is_one_too_many():
                pass
            elif self.signals.is_stopping() or (slot is not None and slot.is_closing) or not (again and self._submit(slot)):
                self._park(slot)

    def _park(self, slot: Slot | None = None) -> None:
        with self._counting:
            self._active -= 1
            if slot is not None:
                self._in_slots -= 1
                slot.has_turn = False
        if slot is not None and slot.is_closing:
            slot.close()
        self._on_park()
        self.end_if_last()

    def _is_one_too_many(self) -> bool:
        """If there are more chains without a slot than there should be, end one of them. Returns whether it has ended."""
        with self._counting:
            if self._active - self._in_slots <= self.without_slots:
                return False
            self._active -= 1
        self._on_park()
        self.end_if_last()
        return True

    def _submit(self, slot: Slot | None = None) -> bool:
        try:
            if slot is None:
                self._threads.submit(self._turn)
            else:
                slot.submit(partial(self._turn, slot))
        except RuntimeError:  # only if the interpreter exits without a stop(), because all threads were started before
            self.signals.stop()
            self._engine.ask_to_stop()
            return False
        return True
