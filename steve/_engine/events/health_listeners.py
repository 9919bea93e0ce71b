"""Functions that are told when the manager becomes unhealthy, and when it is healthy again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steve._runtime.copy_on_write import CopyOnWrite
from steve._runtime.guard import call_guarded
from steve._runtime.log import logger
from steve.health import Health

HealthListener = Callable[[Health], Any]


class HealthListeners:
    def __init__(self) -> None:
        self._entries: CopyOnWrite[tuple[tuple[bool, HealthListener], ...]] = CopyOnWrite(())

    def reset_after_fork(self) -> None:
        self._entries.reset_after_fork()

    def add(self, ok: bool, callback: HealthListener) -> None:
        """Call this function each time `Health.ok` becomes `ok`."""
        if not callable(callback):
            raise TypeError(f"a listener must be callable, not {type(callback).__name__}")
        self._entries.replace(lambda entries: (*entries, (ok, callback)))

    def tell(self, health: Health) -> None:
        for ok, callback in self._entries.value:
            if ok is health.ok:
                raised = call_guarded(callback, health)
                if raised is not None:
                    logger.error("a listener for health raised", exc_info=raised)
                    del raised  # its traceback refers to this frame, and so to all its variables
