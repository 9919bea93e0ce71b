"""The settler's queue: verdicts that wait to be written, and those that PostgreSQL does not take at present.

A verdict stays until it is settled, or dropped because this process no longer holds the job. So verdicts wait here while the
database is away. When too many wait, workers begin no more jobs.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import NamedTuple

from steve._engine.events.event import Event
from steve._engine.upkeep.backpressure import Backpressure
from steve._model.outcome import Verdict
from steve._model.tuning import Tuning


class Batch(NamedTuple):
    """What the settler takes at once."""

    verdicts: list[Verdict]
    begun: list[Event]
    """Runs that began. Listeners hear of them before they hear of this batch's verdicts, and after those of earlier batches."""
    ended: bool
    """Nothing comes after this."""


class Deferred(NamedTuple):
    """A verdict that PostgreSQL does not take at present, or whose job's row is locked."""

    verdict: Verdict
    since: float
    """time.monotonic() of the first try."""
    doubtful: bool
    """An earlier try may have written it."""
    was_logged: bool


class SettleQueue:
    def __init__(self, *, tuning: Tuning) -> None:
        self._tuning = tuning
        self._verdicts: SimpleQueue[Verdict | Event | None] = SimpleQueue()
        self._weighing = threading.Lock()  # protects the four counters below; the last in the order of locks
        self._put = 0
        self._count = 0
        self._taken = 0
        self._bytes = 0
        self._is_ended = False
        self.deferred: list[Deferred] = []
        """The settler replaces the list as a whole. These verdicts count as waiting, so that backpressure begins in time."""
        self.aside: list[Deferred] = []
        """The same for verdicts whose jobs' rows somebody else has locked: see aside.py."""
        self.backpressure = Backpressure(level=self._level)

    def __len__(self) -> int:
        return self._count

    def _level(self) -> float:
        waiting = self._count + len(self.deferred) + len(self.aside)
        return max(waiting / self._tuning.unsettled_most, self._bytes / self._tuning.unsettled_bytes)

    # -- from any thread ------------------------------------------------------------------------------------------------

    def put(self, verdict: Verdict) -> None:
        with self._weighing:
            self._put += 1
            self._count += 1
            self._bytes += verdict.size
            self._verdicts.put(verdict)  # under the lock, so that reset_if_empty() finds the counters in step with the queue

    def announce(self, event: Event) -> None:
        """A run begins. The event goes through this queue, because the end of the previous attempt may still be in it."""
        self._verdicts.put(event)

    def end(self) -> None:
        """No verdict comes after this."""
        self._is_ended = True  # set as well as the marker, which may be lost if something interrupts the settler's wait
        self._verdicts.put(None)

    def progress(self) -> tuple[int, int]:
        """How many verdicts were ever put here, and how many of these are settled, deferred or given up."""
        with self._weighing:
            return self._put, self._put - self._count - self._taken

    def is_settled(self) -> bool:
        """Whether all verdicts that were ever put here are settled, deferred or given up."""
        with self._weighing:
            return not self._count and not self._taken

    # -- on the settler's thread ----------------------------------------------------------------------------------------

    def take(self, seconds: float | None = None) -> Batch:
        """Wait at most `seconds` until something is here, and take everything, up to the size of one statement. By calling
        this, the settler also reports that it has finished the previous batch. If that was large enough, it first sleeps, so
        that more comes together: `Tuning.gather`."""
        with self._weighing:
            busy, self._taken = self._taken >= self._tuning.gather_after, 0
        if busy and self._count < self._tuning.gathered and not self._is_ended:
            time.sleep(self._tuning.gather)
        verdicts: list[Verdict] = []
        begun: list[Event] = []
        size = 0
        ended = False
        try:
            next = self._verdicts.get(block=not self._is_ended, timeout=seconds)
            while next is not None:
                if isinstance(next, Event):
                    begun.append(next)
                else:
                    verdicts.append(next)
                    size += next.size
                    if len(verdicts) >= self._tuning.group_most or size >= self._tuning.group_bytes:
                        break
                next = self._verdicts.get_nowait()
            else:
                ended = True
        except Empty:
            ended = self._is_ended
        with self._weighing:
            self._count -= len(verdicts)
            self._taken = len(verdicts)
            self._bytes -= size
        self.backpressure.release_if_drained()
        return Batch(verdicts, begun, ended)

    def reset_if_empty(self) -> None:
        """Reset the counters when the queue is empty: an interrupted take() may have left them too high."""
        with self._weighing:
            if self._verdicts.empty():
                self._count = self._bytes = 0
