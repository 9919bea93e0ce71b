"""Functions that are told of each handler that is stuck: it has not returned long after its deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steve._runtime.copy_on_write import CopyOnWrite
from steve._runtime.guard import call_guarded
from steve._runtime.hooks import name_of
from steve._runtime.log import logger
from steve._runtime.subscription import Subscription
from steve.job import Job

StuckListener = Callable[[Job], Any]


class StuckListeners:
    def __init__(self) -> None:
        # In lists of one, which are compared by identity: the same function may listen twice.
        self._entries: CopyOnWrite[tuple[list[StuckListener], ...]] = CopyOnWrite(())

    def reset_after_fork(self) -> None:
        self._entries.reset_after_fork()

    def add(self, callback: StuckListener) -> Subscription:
        """Raises TypeError."""
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        mine = [callback]
        self._entries.replace(lambda entries: (*entries, mine))

        def remove(entries: tuple[list[StuckListener], ...]) -> tuple[list[StuckListener], ...]:
            return tuple(entry for entry in entries if entry is not mine)

        return Subscription(lambda: self._entries.replace(remove))

    def tell(self, job: Job) -> None:
        for (callback,) in self._entries.value:
            raised = call_guarded(callback, job)
            if raised is not None:
                logger.error("a listener raised: %s, told of the stuck job %s", name_of(callback), job.uid, exc_info=raised)
                del raised  # its traceback refers to this frame, and so to all its variables
