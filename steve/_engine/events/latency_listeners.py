"""Functions that are told when jobs have been due for too long, and when that is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from steve._model.names import check_name
from steve._model.times import check_timeout
from steve._runtime.copy_on_write import CopyOnWrite
from steve._runtime.guard import call_guarded
from steve._runtime.hooks import name_of
from steve._runtime.log import logger
from steve._runtime.subscription import Subscription
from steve.stats import QueueLatency

LatencyListener = Callable[[QueueLatency], Any]

_ENDS_BELOW = 0.5
"""It is over when no job has been due for this part of the time: otherwise each job more or less would be told."""


class LatencyWatch:
    """One listener, and whether it was told that jobs wait for too long. Compared by identity: a function may listen twice."""

    def __init__(self, *, over: float, queue: str | None, callback: LatencyListener) -> None:
        self.over = over
        self.queue = queue
        self.callback = callback
        self.is_over = False  # only the thread that checks the latencies writes this

    def judge(self, seconds: float, lane: tuple[str, str] | None) -> QueueLatency | None:
        """What to tell it, if the oldest due job has waited for so long."""
        is_over = seconds > (self.over * _ENDS_BELOW if self.is_over else self.over)
        if is_over is self.is_over:
            return None
        self.is_over = is_over
        return QueueLatency(is_over, seconds, self.over, self.queue, lane)


class LatencyListeners:
    def __init__(self) -> None:
        self._entries: CopyOnWrite[tuple[LatencyWatch, ...]] = CopyOnWrite(())

    def reset_after_fork(self) -> None:
        self._entries.reset_after_fork()

    def add(self, over: float | timedelta, queue: str | None, callback: LatencyListener) -> Subscription:
        """Raises TypeError and ValueError."""
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        seconds, name = check(over, queue)
        mine = LatencyWatch(over=seconds, queue=name, callback=callback)
        self._entries.replace(lambda entries: (*entries, mine))
        return Subscription(
            lambda: self._entries.replace(lambda entries: tuple(entry for entry in entries if entry is not mine))
        )

    def all(self) -> tuple[LatencyWatch, ...]:
        return self._entries.value

    def tell(self, watch: LatencyWatch, latency: QueueLatency) -> None:
        if watch not in self._entries.value:
            return  # removed meanwhile
        raised = call_guarded(watch.callback, latency)
        if raised is not None:
            logger.error("a listener raised: %s, told how long jobs wait", name_of(watch.callback), exc_info=raised)
            del raised  # its traceback refers to this frame, and so to all its variables


def check(over: object, queue: object) -> tuple[float, str | None]:
    return check_timeout("over", over), None if queue is None else check_name("queue", queue)
