"""Tells the health listeners when the engine becomes unhealthy, and when it is healthy again. This duty has a thread of its
own, because a listener may be slow.
"""

from __future__ import annotations

from typing import Protocol

from steve._engine.events.health_listeners import HealthListeners
from steve._engine.upkeep.periodic import Duty
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve.health import Health


class HealthPort(Protocol):
    stopping: bool

    def health(self) -> Health: ...


class HealthWatch:
    def __init__(self, *, engine: HealthPort, listeners: HealthListeners, tuning: Tuning) -> None:
        self._engine = engine
        self._listeners = listeners
        self._interval = tuning.health_check
        self._was_ok = True

    def duties(self) -> list[Duty]:
        return [Duty("watch the health", self._interval, self._watch)]

    def _watch(self) -> None:
        health = self._engine.health()
        if health.ok is not self._was_ok and not self._engine.stopping:
            self._was_ok = health.ok
            if health.ok:
                logger.warning("healthy again")
            else:
                logger.error("not healthy: %s", "; ".join(health.problems))
            self._listeners.tell(health)
